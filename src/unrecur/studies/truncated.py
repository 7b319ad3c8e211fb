"""The best recurrent model on its least window: what the test split says about it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unrecur.audits.memory import sight
from unrecur.core.model import AbstractSequenceModel
from unrecur.data.task import Task
from unrecur.studies.shorten import least_window, left_out, windowed_losses


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


def truncate(
    name: str,
    models: Sequence[AbstractSequenceModel],
    seeds: list[int],
    task: Task,
    losses: np.ndarray,
    tolerance: float,
) -> Truncated:
    """Truncate a model to its least window, and see what the test split says about it.

    Args:
        name: The model's name.
        models: The model, by seed.
        seeds: The seeds.
        task: The task.
        losses: Its losses on all inputs, by seed and test sequence.
        tolerance: How much of its validation metric it may lose, relative.

    Returns:
        What was found.
    """
    record: dict[str, Any] = {
        "model": name,
        "seeds": seeds,
        "tolerance": tolerance,
    }
    k = least_window(list(models), task, tolerance)
    if k is None:
        return Truncated(record | {"k": None})
    short, sequences = windowed_losses(models, task, k)
    sights = [sight(model, task, "test") for model in models]
    points = [seen.point(k, seen.certify()) for seen in sights]
    bounds = [point.bound for point in points if point.bound is not None]
    counted = float(task.counted("test")[sequences].sum())
    record |= {
        "k": k,
        "left_out": left_out(task, "test", k),
        "metric": float(short.sum(1).mean() / counted),
        "full_metric": float(losses[:, sequences].sum(1).mean() / counted),
        "output_error_max": max(point.error_max for point in points),
        "bound": max(bounds) if len(bounds) == len(points) else None,
    }
    return Truncated(record, short, sequences)
