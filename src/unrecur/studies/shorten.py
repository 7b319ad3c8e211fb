"""The least window: how few of the last inputs a trained recurrent model needs."""

from collections.abc import Sequence

from unrecur.audits.memory import sight, windows_of
from unrecur.core.model import AbstractSequenceModel
from unrecur.data.task import Task


def left_out(lengths: Sequence[int], k: int) -> float:
    """Give the share of steps at which a window of k inputs leaves earlier ones out.

    Args:
        lengths: The lengths of the sequences.
        k: The length of the window.

    Returns:
        The share, from 0 (the window holds every sequence whole) to 1.

    Example:
        >>> left_out([10, 4], 5)
        0.35714285714285715
    """
    return sum(max(length - k, 0) for length in lengths) / sum(lengths)


def least_window(
    models: list[AbstractSequenceModel], task: Task, full: float, tolerance: float
) -> int:
    """Find a short window that costs a model at most a part of its validation metric.

    One window for all seeds of a model, judged by the mean of their metrics. Powers of 2 are tried
    from below, then the gap under the first that is good enough is halved until it is closed: the
    least window where the metric only gets better with k, and one whose predecessor is not good
    enough in any case.

    Args:
        models: The same model with several seeds.
        task: The task.
        full: The mean of their validation metrics.
        tolerance: The part.

    Returns:
        The window.
    """
    sights = [sight(model, task, "valid") for model in models]

    def good(k: int) -> bool:
        metrics = [one.point(k).scores.metric for one in sights]
        return sum(metrics) / len(metrics) <= (1 + tolerance) * full

    longest = max(len(x) for x, _ in task.splits["valid"])
    # The last window holds every sequence whole: it is good up to rounding, and taken untried.
    *tried, high = windows_of(longest)
    high = next((k for k in tried if good(k)), high)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if good(middle) else (middle, high)
    return high
