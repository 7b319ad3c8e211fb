"""A model card: what a model is and what it forgets, in Markdown, from its audit."""

import math

from unrecur._version import __version__
from unrecur.audits.audit import Audit, RecurrenceAudit
from unrecur.audits.tiers import Window
from unrecur.certificates.certificate import Evidence
from unrecur.core.field import Field
from unrecur.data.task import Task
from unrecur.models.spec import Spec

TIERS = {
    Evidence.PROVED: "from the weights alone: for every input in the box, of any length",
    Evidence.PROVED_ON_INPUT: "for the inputs of the audit, whatever came before them",
    Evidence.STATISTICAL: "for a new sequence drawn like those of the audit, with probability 0.95",
    Evidence.MEASURED: "what was seen on the inputs of the audit, no more",
}
ABSENT = "-"
USE = """\
```python
import unrecur

spec, model = unrecur.from_pretrained("path/to/this/folder")
```
"""


def model_card(spec: Spec, field: Field, audit: Audit | None, task: Task | None) -> str:
    """Write a model's card.

    Args:
        spec: What built the model.
        field: Its receptive field.
        audit: What its audit found; None where there is none.
        task: What it was trained on; None where that is not said.

    Returns:
        Markdown, with the front matter that the Hugging Face Hub reads.

    Example:
        >>> spec = Spec("gru", {"in_features": 3, "out_features": 2, "hidden": 4})
        >>> print(model_card(spec, spec.build().receptive_field, None, None).split("##")[1])
         Model
        <BLANKLINE>
        - architecture: `gru`, 118 parameters
        - options: in_features = 3, out_features = 2, hidden = 4
        - receptive field: all inputs so far
        <BLANKLINE>
        <BLANKLINE>
    """
    lines = [
        "---",
        "library_name: unrecur",
        "tags:",
        "- sequence-model",
        f"- {spec.name}",
        "---",
        "",
        f"# {spec.name} by unrecur {__version__}",
        "",
        "## Model",
        "",
        f"- architecture: `{spec.name}`, {spec.parameters:,} parameters",
        "- options: " + ", ".join(f"{name} = {_plain(v)}" for name, v in spec.options.items()),
        f"- receptive field: {_field(field)}",
        "",
        *_trained_on(task),
        *_forgets(audit),
        "## Use",
        "",
        USE,
    ]
    return "\n".join(lines)


def _field(field: Field) -> str:
    """Say which inputs an output sees."""
    past = f"the last {field.past + 1} inputs" if math.isfinite(field.past) else "all inputs so far"
    if field.causal:
        return past
    ahead = f"the next {field.future}" if math.isfinite(field.future) else "all to come"
    return f"{past}, and {ahead}"


def _trained_on(task: Task | None) -> list[str]:
    """Name the task and its data."""
    if task is None:
        return []
    hashes = [f"- {split}: SHA-256 `{_plain(digest)}`" for split, digest in task.hashes.items()]
    said = f"{_plain(task.title)} (`{_plain(task.name)}`), measured by {_plain(task.metric)}."
    return ["## Task", "", said, "", *hashes, ""]


def _forgets(audit: Audit | None) -> list[str]:
    """Say what the audit found."""
    head = ["## What it forgets", ""]
    if audit is None:
        return [*head, "Not audited: `unrecur audit` says how far back it looks.", ""]
    lines = head
    for found in audit.recurrences:
        lines += _recurrence(found)
    tiers = [f"- {tier}: {meaning}" for tier, meaning in TIERS.items()]
    return [*lines, "What a window rests on:", "", *tiers, ""]


def _recurrence(found: RecurrenceAudit) -> list[str]:
    """Tabulate the least windows of one recurrence, and give the advice."""
    asked: dict[tuple[str, float], dict[Evidence, Window]] = {}
    for window in found.windows:
        asked.setdefault((window.of, window.eps), {})[window.evidence] = window
    lengths = found.subject.sequences.lengths
    rows = [
        f"| {of} | {eps:g} | " + " | ".join(_cell(by.get(tier)) for tier in TIERS) + " |"
        for (of, eps), by in asked.items()
    ]
    return [
        f"`{_plain(found.name)}`, audited on {len(lengths)} sequence(s), {int(lengths.sum()):,} "
        "steps: the least number of last inputs k that gives",
        "",
        f"| | error up to | {' | '.join(TIERS)} |",
        f"|---|---|{'---|' * len(TIERS)}",
        *rows,
        "",
        *(f"- {_plain(advice.say)} {_plain(advice.why)}" for advice in found.advice),
        *(f"- Note: {_plain(note)}" for note in found.notes),
        "",
    ]


def _cell(window: Window | None) -> str:
    """Write a least window; `none` where the evidence does not reach that far."""
    if window is None or not window.known:
        return ABSENT
    return "none" if window.k is None else f"{window.k:,}"


def _plain(value: object) -> str:
    """Write what others named on one line, with nothing in it that Markdown would read."""
    text = " ".join(str(value).split())
    return "".join(" " if sign in "|`<>" else sign for sign in text)
