"""The audit: how far back a recurrent model looks, and what follows from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from unrecur import _check
from unrecur._check import InputError
from unrecur.audits.advice import Advice, advise
from unrecur.audits.blocks import Sequences, run_all
from unrecur.audits.budget import fit_budget, fit_module, weights_of
from unrecur.audits.capture import capture, check_rerun
from unrecur.audits.curve import FINER, Curve, measure_curve, windows_to
from unrecur.audits.from_file import from_file, sequences_given
from unrecur.audits.gradient_flow import InputFlow
from unrecur.audits.outputs import Outputs, see_outputs
from unrecur.audits.per_cell import CellAudit, audit_cells, audit_inputs
from unrecur.audits.subject import Decision, Metric, Subject
from unrecur.audits.tiers import Proofs, Window, least_windows, prove
from unrecur.interop.modules import find_in_module
from unrecur.interop.read import read_recurrences

ERRORS = (0.1, 0.01, 0.001)
BUDGET = 2e12  # multiplications: about a minute on two cores
GRADIENTS = 10  # part of it for the gradients of all cells, and as much for those of inputs
Progress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class RecurrenceAudit:
    """What was found about one recurrence.

    Attributes:
        subject: The recurrence with its inputs.
        outputs: The model's outputs.
        curve: The memory curve.
        proofs: What is proved.
        windows: The least windows for each error, at each tier of evidence.
        cells: What was found about each cell.
        inputs: How far gradients reach back to the inputs.
        advice: What to do.
        notes: What the audit could not see, and what it left out.
    """

    subject: Subject
    outputs: Outputs
    curve: Curve
    proofs: Proofs
    windows: list[Window]
    cells: list[CellAudit]
    inputs: InputFlow
    advice: list[Advice]
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The recurrence's place in the model."""
        return self.subject.recurrence.name

    def window(self, of: str, eps: float, evidence: str = "measured") -> int | None:
        """Look up a least window.

        Args:
            of: "state", "output" or "decision".
            eps: One of the errors that were asked for.
            evidence: The tier, as `Evidence` writes it.

        Returns:
            The least k; None where there is none.

        Raises:
            InputError: That was not asked for.
        """
        for window in self.windows:
            if (window.of, window.eps, str(window.evidence)) == (of, eps, evidence):
                return window.k
        known = sorted({(w.of, w.eps, str(w.evidence)) for w in self.windows})
        raise InputError(f"expected one of {known}, got {(of, eps, evidence)}.")


@dataclass(frozen=True, eq=False)
class Audit:
    """The audit of a model.

    Attributes:
        source: The file, or the type of the module.
        recurrences: What was found about each recurrence.
    """

    source: str
    recurrences: tuple[RecurrenceAudit, ...]

    def __getitem__(self, name: str) -> RecurrenceAudit:
        """Give what was found about one recurrence."""
        _check.known_name(name, [found.name for found in self.recurrences], "recurrence")
        return next(found for found in self.recurrences if found.name == name)


def audit(
    model: nn.Module | str | Path,
    x: Any,
    metric: Metric | None = None,
    decision: Decision | None = None,
    select: str | None = None,
    output: Callable[[Any], Tensor] | None = None,
    input_box: Any = None,
    errors: tuple[float, ...] = ERRORS,
    budget: float = BUDGET,
    progress: Progress | None = None,
) -> Audit:
    """Find out how far back a recurrent model looks, and what follows from it.

    The model is compared, at every step of its inputs, with itself started afresh k inputs ago:
    its state, its outputs, what is decided by them, and a metric of yours. To that come proofs
    where there are any (`certify`, `certify_on`), conformal bounds where there are sequences
    enough, the flow of gradients, half-lives of units, gates, and spectra. Everything but the
    proofs is about these inputs.

    Args:
        model: A module that holds a recurrence, whatever is around it, in evaluation mode; or a
            file that `read_recurrences` reads.
        x: What the module is called with: a tensor, a tuple of arguments, a dict of keyword
            arguments, or a list of sequences. For a file: the recurrence's own inputs, a block
            [B, T, D], a sequence [T, D] or a list of sequences; for an ONNX model a dict of its
            inputs by name.
        metric: The task's score of all outputs, as one number.
        decision: What is decided by an output: "argmax" over the last axis, a threshold, or a
            function from a sequence's outputs to whole numbers.
        select: The name of the recurrence; all of them if left out.
        output: Takes the output that counts out of what the module returns (the first tensor); for
            a file: makes the model's outputs of the recurrence's, [B, T, E].
        input_box: The inputs to prove it for, as for `certify`; the box that these fill if left
            out.
        errors: The errors to find windows for, in units of the state and the output.
        budget: How many multiplications to spend. Sequences too long for it are cut into
            stretches, evenly spread, which are audited as sequences of their own.
        progress: Is told what is done, and which part of the whole, from 0 to 1.

    Returns:
        The audit.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: There is no recurrence, the module is in training mode or cannot be rerun, the
            inputs do not fit, are not finite or never change, or an argument is malformed.
        CorruptFileError: The file is damaged.

    Example:
        >>> import torch, unrecur
        >>> _ = torch.manual_seed(0)
        >>> lstm = torch.nn.LSTM(3, 8, batch_first=True).eval()
        >>> report = unrecur.audit(lstm, torch.randn(4, 100, 3))
        >>> found = report["lstm"]
        >>> found.window("output", 0.01), found.window("output", 0.001)
        (11, 17)
        >>> found.advice[0].say
        'Truncate it to 17 inputs.'
    """
    if not errors:
        raise InputError("expected at least one error to find windows for, got none.")
    for eps in errors:
        _check.positive(eps, "an error")
    _check.positive(budget, "budget")
    tell = progress or (lambda what, part: None)
    if isinstance(model, nn.Module):
        source = type(model).__name__
        found = find_in_module(model)
        if not found:
            read_recurrences(model)  # which says what is missing
        names = list(found) if select is None else [_check.known_name(select, found, "recurrence")]
        layers = [cells for name in names for cells in found[name]().cells]
        x, notes = fit_module(model, x, layers, budget)
        makers: list[Callable[[], Subject]] = [
            partial(capture, model, x, name, output) for name in names
        ]
    else:
        source = str(model)
        recurrences = read_recurrences(model, select)
        notes = ()
        if not isinstance(x, Mapping):
            layers = [cells for each in recurrences for cells in each.cells]
            x, notes = fit_budget(sequences_given(x), layers, budget)
        makers = [partial(from_file, each, Path(model), x, output) for each in recurrences]
    done = []
    for number, make in enumerate(makers):
        share = partial(_tell_share, tell, number, len(makers))
        share("running the model", 0.0)
        subject = replace(make(), stretches=bool(notes))
        # A bound on the model's outputs says nothing of what a user makes of them.
        whole = model if isinstance(model, nn.Module) and len(makers) == 1 else None
        whole = whole if output is None else None
        done.append(
            audit_subject(
                subject,
                whole,
                None if notes else metric,
                decision,
                input_box,
                errors,
                budget,
                notes,
                share,
            )
        )
    tell("done", 1.0)
    return Audit(source, tuple(done))


def _tell_share(tell: Progress, number: int, count: int, what: str, part: float) -> None:
    """Tell how much of the whole a part of one recurrence is."""
    tell(what, (number + part) / count)


def audit_subject(
    subject: Subject,
    model: nn.Module | None,
    metric: Metric | None,
    decision: Decision | None,
    input_box: Any,
    errors: tuple[float, ...],
    budget: float,
    notes: tuple[str, ...],
    tell: Progress,
) -> RecurrenceAudit:
    """Audit one recurrence; see `audit`."""
    sequences, layers = subject.sequences, subject.layers
    _check_changes(sequences)
    reference = run_all(layers, sequences, subject.initial)
    for layer in reference.states:
        for states in layer:
            _check.finite(states, "the states of the recurrence on these inputs")
    check_rerun(subject, reference)
    outputs = see_outputs(subject, reference, decision, metric)
    longest = int(sequences.lengths.max())
    levels = len(windows_to(longest))
    fine = len(sequences.x) * (3 + FINER) * levels * weights_of(layers) <= budget

    def at_window(k: int) -> None:
        tell(f"windows of {k} inputs", 0.1 + 0.6 * k.bit_length() / levels)

    curve = measure_curve(subject, reference, outputs, fine, at_window)
    tell("proofs", 0.7)
    proofs = prove(subject, model, input_box)
    windows = least_windows(subject, curve, outputs, proofs, errors)
    tell("gradients", 0.8)
    count = sum(len(layer) for layer in layers)
    cells = audit_cells(subject, reference, budget / GRADIENTS / count)
    inputs = audit_inputs(subject, reference, outputs, budget / GRADIENTS)
    flows, units = [cell.flow for cell in cells], [cell.units for cell in cells]
    advice = advise(subject, curve, outputs, windows, flows, inputs, units)
    notes = (*subject.recurrence.notes, *subject.notes, *notes)
    if not fine:
        notes = (*notes, "each window was measured with up to twice its inputs, to save time")
    return RecurrenceAudit(subject, outputs, curve, proofs, windows, cells, inputs, advice, notes)


def _check_changes(sequences: Sequences) -> None:
    """Check that the inputs change within some sequence."""
    spread = max(float((part - part[:1]).abs().max()) for part in sequences.split(sequences.x))
    if spread == 0:
        raise InputError(
            "the inputs never change: on silence or constants an audit sees nothing of what a "
            "model remembers. Give inputs as it meets them in use."
        )
