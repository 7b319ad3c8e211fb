"""The end of a study: the least window of the best recurrent model, and the verdict."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unrecur._check import CorruptFileError
from unrecur.audits.memory import LONGEST_WINDOW
from unrecur.data.task import Task
from unrecur.models.spec import Spec, load_model
from unrecur.studies.config import StudyConfig
from unrecur.studies.contexts import contexts
from unrecur.studies.trade import field_sentences, metric_sentences, pays_until, ratio_sentences
from unrecur.studies.trial import can_be_truncated, model_file
from unrecur.studies.truncated import Truncated, truncate
from unrecur.studies.verdict import Verdict, decide
from unrecur.train.devices import fabric_on

Row = dict[str, Any]
# A window counts as feed-forward in the verdict if at so many of the test steps it leaves earlier
# inputs out; one that holds whole sequences is the recurrent model under another name.
RESTRICTS = 0.5


def conclude(task: Task, rows: list[Row], config: StudyConfig, folder: Path) -> dict[str, Any]:
    """Truncate the best recurrent model and decide.

    Models are compared on the seeds that all of them have: a trial that failed leaves its seed out.

    Args:
        task: The task.
        rows: The rows of all trials.
        config: The settings of the study.
        folder: The study's folder, with the models.

    Returns:
        The verdict, the truncation, and the comparison by context: JSON values.

    Raises:
        CorruptFileError: A model is missing or is not that of its row.
    """
    by_name = comparable(rows)
    best = best_recurrent(by_name)
    if best is None:
        return nothing("No recurrent model has finished a trial.", config)
    losses = {
        name: np.array([row["test_losses"] for row in found]) for name, found in by_name.items()
    }
    candidates = {
        name: losses[name] for name in by_name if kind_of(by_name[name]) == "feed-forward"
    }
    windows = {name: k for name in candidates if (k := inputs_seen(by_name[name][0])) is not None}
    steps = task.counted("test").astype(float)
    models = [_model(row, folder, config) for row in by_name[best]]
    short, parts, notes, context = None, {}, [], []
    if all(can_be_truncated(model) for model in models):
        seen = {name: (k, losses[name]) for name, k in windows.items()}
        context = contexts(task, seen, (best, losses[best]), models, config.confidence)
        seeds = [row["seed"] for row in by_name[best]]
        short = truncate(best, models, seeds, task, losses[best], config.tolerance)
        name = f"{best} on {short.record['k']} inputs"
        if short.losses is None:
            notes.append(f"{best} on its last {LONGEST_WINDOW} inputs is still worse than on all.")
        elif short.record["left_out"] >= RESTRICTS:
            candidates[name], parts[name] = short.losses, short.sequences
            windows[name] = short.record["k"]
        else:
            notes.append(
                f"{name} is no feed-forward candidate: at {100 * short.record['left_out']:.0f} % "
                "of the test steps only does it leave earlier inputs out."
            )
    else:
        notes.append(f"{best} cannot be truncated: it looks ahead, or starts from a source.")
    verdict = decide(
        candidates,
        (best, losses[best]),
        floors_of(task, by_name),
        steps,
        config.margin,
        config.confidence,
        parts,
    )
    if verdict.comparisons:
        verdict = _with_trade(verdict, by_name, windows, short, task.unit)
    verdict = replace(verdict, reasons=[*verdict.reasons, *notes])
    return {
        "verdict": verdict.as_json(),
        "truncation": short.record if short else None,
        "context": context,
    }


def best_recurrent(by_name: Mapping[str, list[Row]]) -> str | None:
    """Choose a recurrent model, on the validation split: the test split is for the verdict alone.

    Args:
        by_name: The rows of each model.

    Returns:
        The best on average over seeds; None where there is none.
    """
    names = [name for name, found in by_name.items() if kind_of(found) == "recurrent"]
    return min(names, key=lambda name: mean_metric(by_name[name], "valid"), default=None)


def comparable(rows: Sequence[Row], match: str = "parameters") -> dict[str, list[Row]]:
    """Group the rows that are compared by model.

    Args:
        rows: The rows of all trials.
        match: What is equal in those that are compared.

    Returns:
        The rows of each model, of the seeds that all trained models have.
    """
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        if row.get("match", "parameters") == match:
            by_name.setdefault(row["model"], []).append(row)
    trained = [found for found in by_name.values() if kind_of(found) != "floor"]
    common = (
        set.intersection(*({row["seed"] for row in found} for found in trained))
        if trained
        else set()
    )
    return {
        name: found
        if kind_of(found) == "floor"
        else [row for row in found if row["seed"] in common]
        for name, found in by_name.items()
        if common or kind_of(found) == "floor"
    }


def nothing(why: str, config: StudyConfig) -> dict[str, Any]:
    """Conclude nothing.

    Args:
        why: Why, in a sentence.
        config: The settings of the study.

    Returns:
        What `conclude` gives.
    """
    verdict = Verdict("undecided", why, [], config.margin, config.confidence, [])
    return {"verdict": verdict.as_json(), "truncation": None, "context": []}


def inputs_seen(row: Row) -> int | None:
    """Count the inputs that an output of a trial's model sees.

    Args:
        row: The trial's row.

    Returns:
        The number; None where there is no limit, or the model looks ahead.
    """
    with torch.device("meta"):
        field = Spec(row["spec"]["name"], row["spec"]["options"]).build().receptive_field
    return int(field.length) if field.causal and math.isfinite(field.length) else None


def _with_trade(
    verdict: Verdict,
    by_name: dict[str, list[Row]],
    windows: dict[str, int],
    short: Truncated | None,
    unit: str,
) -> Verdict:
    """Say what the best candidate gives up and gains, and from where recurrence does not pay."""
    entry = verdict.comparisons[0]
    name = entry.feed_forward
    said = [metric_sentences(entry, unit)]
    if name in by_name:
        said.append(ratio_sentences(by_name[name], by_name[entry.recurrent]))
    if name in windows:
        record = short.record if short and name not in by_name else None
        said.append(field_sentences(windows[name], record))
    return replace(
        verdict,
        gives_up=[sentence for lost, _ in said for sentence in lost],
        gains=[sentence for _, won in said for sentence in won],
        pays_until=pays_until(windows, verdict.comparisons, verdict.margin),
    )


def floors_of(task: Task, by_name: Mapping[str, list[Row]]) -> dict[str, float]:
    """Give what models reach that have not learnt to use any context.

    Args:
        task: The task.
        by_name: The rows of each model.

    Returns:
        The test metrics of the floors, and that of a model that knows nothing.
    """
    floors = {name: found for name, found in by_name.items() if kind_of(found) == "floor"}
    return {
        **{name: mean_metric(found, "test") for name, found in floors.items()},
        "chance": task.chance_level,
    }


def kind_of(rows: Sequence[Row]) -> str:
    """Give the family of a model.

    Args:
        rows: The rows of its trials.

    Returns:
        "recurrent", "feed-forward" or "floor".
    """
    return rows[0]["family"]


def mean_metric(rows: Sequence[Row], split: str) -> float:
    """Average a model's metric over seeds.

    Args:
        rows: The rows of its trials.
        split: Of which split.

    Returns:
        The mean.
    """
    return sum(row["metric"][split] for row in rows) / len(rows)


def _model(row: Row, folder: Path, config: StudyConfig) -> Any:
    """Load the model of a finished trial."""
    path = model_file(folder, row["model"], row["seed"])
    try:
        spec, model = load_model(path)
    except FileNotFoundError as error:
        raise CorruptFileError(
            f"the study's model {path} is missing. Delete {folder} and run the study again."
        ) from error
    if asdict(spec) != row["spec"]:
        raise CorruptFileError(
            f"{path} is not the model of its row. Delete {folder} and run again."
        )
    return model.to(fabric_on(config.device).device)
