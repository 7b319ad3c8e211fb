"""The end of a study: the least window of the best recurrent model, and the verdict."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from unrecur._check import CorruptFileError
from unrecur.audits.memory import LONGEST_WINDOW, sight, windowed_scores
from unrecur.data.task import Some, Task
from unrecur.models.spec import load_model
from unrecur.studies.config import StudyConfig
from unrecur.studies.shorten import least_window, left_out
from unrecur.studies.trial import can_be_truncated, model_file
from unrecur.studies.verdict import decide
from unrecur.train.devices import fabric_on

Row = dict[str, Any]
# A window counts as feed-forward in the verdict if at so many of the test steps it leaves earlier
# inputs out; one that holds whole sequences is the recurrent model under another name.
RESTRICTS = 0.5
VISITS = 2**23  # steps of a model for the test split seen through windows; else a part of it is


@dataclass(frozen=True)
class Truncated:
    """A model on its least window, on the test split.

    Attributes:
        record: What the results say of it: JSON values.
        losses: The sum of its losses by seed and sequence; None where no window is good enough.
        sequences: The numbers of these sequences.
    """

    record: dict[str, Any]
    losses: np.ndarray | None = None
    sequences: np.ndarray = field(default_factory=lambda: np.arange(0))


def conclude(task: Task, rows: list[Row], config: StudyConfig, folder: Path) -> dict[str, Any]:
    """Truncate the best recurrent model and decide.

    Args:
        task: The task.
        rows: The rows of all trials.
        config: The settings of the study.
        folder: The study's folder, with the models.

    Returns:
        The verdict and the truncation: JSON values.

    Raises:
        CorruptFileError: A model is missing or is not that of its row.
    """
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row["model"], []).append(row)
    recurrent = {name: found for name, found in by_name.items() if _kind(found) == "recurrent"}
    # All choices are made on the validation split; the test split is for the verdict alone.
    best = min(recurrent, key=lambda name: _mean(recurrent[name], "valid"))
    losses = {
        name: np.array([row["test_losses"] for row in found]) for name, found in by_name.items()
    }
    candidates = {name: losses[name] for name in by_name if _kind(by_name[name]) == "feed-forward"}
    steps = task.counted("test").astype(float)
    models = [_model(row, folder, config) for row in recurrent[best]]
    short, parts, notes = None, {}, []
    if all(can_be_truncated(model) for model in models):
        short = truncate(best, models, task, losses[best], steps, config)
        name = f"{best} on {short.record['k']} inputs"
        if short.losses is None:
            notes.append(f"{best} on its last {LONGEST_WINDOW} inputs is still worse than on all.")
        elif short.record["left_out"] >= RESTRICTS:
            candidates[name], parts[name] = short.losses, short.sequences
        else:
            notes.append(
                f"{name} is no feed-forward candidate: at {100 * short.record['left_out']:.0f} % "
                "of the test steps only does it leave earlier inputs out."
            )
    else:
        notes.append(f"{best} cannot be truncated: it looks ahead, or starts from a source.")
    floors = {n: _mean(found, "test") for n, found in by_name.items() if _kind(found) == "floor"}
    verdict = decide(
        candidates, (best, losses[best]), floors, steps, config.margin, config.confidence, parts
    )
    verdict = replace(verdict, reasons=[*verdict.reasons, *notes])
    return {"verdict": verdict.as_json(), "truncation": short.record if short else None}


def truncate(
    name: str,
    models: list[Any],
    task: Task,
    losses: np.ndarray,
    steps: np.ndarray,
    config: StudyConfig,
) -> Truncated:
    """Truncate a model to its least window, and see what the test split says about it.

    Args:
        name: The model's name.
        models: The model, by seed.
        task: The task.
        losses: Its losses on all inputs, by seed and test sequence.
        steps: The number of steps of each test sequence that count.
        config: The settings of the study.

    Returns:
        What was found.
    """
    record: dict[str, Any] = {
        "model": name,
        "seeds": list(range(len(models))),
        "tolerance": config.tolerance,
    }
    k = least_window(models, task, config.tolerance)
    if k is None:
        return Truncated(record | {"k": None})
    most = int(task.steps("test") * min(1.0, VISITS / (k * steps.sum())))
    part = task.part("test", most)
    kept = part.splits["test"]
    sequences = kept.index if isinstance(kept, Some) else np.arange(len(steps))
    short = np.array([windowed_scores(m, part, "test", k).loss.tolist() for m in models])
    sights = [sight(model, task, "test") for model in models]
    points = [seen.point(k, seen.certify()) for seen in sights]
    bounds = [point.bound for point in points if point.bound is not None]
    counted = steps[sequences].sum()
    record |= {
        "k": k,
        "left_out": left_out(task, "test", k),
        "metric": float(short.sum(1).mean() / counted),
        "full_metric": float(losses[:, sequences].sum(1).mean() / counted),
        "output_error_max": max(point.error_max for point in points),
        "bound": max(bounds) if len(bounds) == len(points) else None,
    }
    return Truncated(record, short, sequences)


def _kind(rows: list[Row]) -> str:
    return rows[0]["family"]


def _mean(rows: list[Row], split: str) -> float:
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
