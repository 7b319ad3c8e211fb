"""The least window: how few of the last inputs a trained recurrent model needs."""

from collections.abc import Sequence

import numpy as np

from unrecur.audits.memory import sight, windowed_scores, windows_of
from unrecur.core.model import AbstractSequenceModel
from unrecur.data.sequences import Some, Split, known_steps
from unrecur.data.task import Task

VISITS = 2**23  # steps of a model for the test split seen through windows; else a part of it is


def windowed_losses(
    models: Sequence[AbstractSequenceModel], task: Task, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Score models that see only the last k inputs on the test split, or on a part of a large one.

    Args:
        models: The same model with several seeds.
        task: The task.
        k: The length of the window.

    Returns:
        The sums of the losses by seed and sequence, and the numbers of these sequences.
    """
    most = int(task.steps("test") * min(1.0, VISITS / (k * task.counted("test").sum())))
    part = task.part("test", most)
    kept = part.splits["test"]
    sequences = kept.index if isinstance(kept, Some) else np.arange(len(task.splits["test"]))
    losses = [windowed_scores(model, part, "test", k).loss.tolist() for model in models]
    return np.array(losses), sequences


def left_out(task: Task, split: Split, k: int) -> float:
    """Give the share of a split's steps at which a window of k inputs leaves earlier ones out.

    Args:
        task: The task.
        split: The split.
        k: The length of the window.

    Returns:
        The share of the steps that count, from 0 (the window holds all inputs so far) to 1.
    """
    before = np.cumsum(task.lengths(split)) - task.lengths(split)
    beyond = total = 0
    for number, start in enumerate(before.tolist()):
        known = known_steps(task.pair(split, number)[1])
        total += int(known.sum())
        beyond += int(known[max(k - task.continuous * start, 0) :].sum())
    return beyond / total


def least_window(models: list[AbstractSequenceModel], task: Task, tolerance: float) -> int | None:
    """Find a short window that costs a model at most a part of its validation metric.

    One window for all seeds of a model, judged by the mean of their metrics. Powers of 2 are tried
    from below, then the gap under the first that is good enough is halved until it is closed: the
    least window where the metric only gets better with k, and one whose predecessor is not good
    enough in any case.

    Args:
        models: The same model with several seeds.
        task: The task.
        tolerance: The part.

    Returns:
        The window; None where none of those tried on a stream, which has no end, is good enough.
    """
    sights = [sight(model, task, "valid") for model in models]
    full = sum(seen.scores.metric for seen in sights) / len(sights)

    def good(k: int) -> bool:
        metrics = [one.point(k).scores.metric for one in sights]
        return sum(metrics) / len(metrics) <= (1 + tolerance) * full

    *tried, last = windows_of(sights[0].longest)
    high = next((k for k in tried if good(k)), None)
    if high is None:
        # The last window holds every sequence whole: it is good up to rounding, and taken untried.
        if task.continuous and not good(last):
            return None
        high = last
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if good(middle) else (middle, high)
    return high
