"""Curves of one model over its seeds: training histories, memory against the number of inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from unrecur.report.rows import Row, entries, middle, value, values

Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class Window:
    """One point of a model's memory curve: what seeing the last k inputs gives, over its seeds.

    Args:
        k: The number of inputs seen.
        metric: The median of the task metric over seeds.
        low: The smallest metric of a seed.
        high: The largest metric of a seed.
        error_median: The median over seeds of the median output error.
        error_max: The largest output error of any seed.
        bound: The largest proved bound of any seed, where every seed has one.
    """

    k: int
    metric: float | None
    low: float | None
    high: float | None
    error_median: float | None
    error_max: float | None
    bound: float | None


def history(row: Row, part: str) -> Curve:
    """Read a training curve of one row.

    Args:
        row: The row.
        part: "train" or "valid".

    Returns:
        Pairs of epoch and loss.
    """
    points = ((value(entry, "epoch"), value(entry, part)) for entry in entries(row, "history"))
    return [(epoch, loss) for epoch, loss in points if epoch is not None and loss is not None]


def history_band(rows: Sequence[Row], part: str) -> list[tuple[float, float, float, float]]:
    """Take the median training curve over the seeds of one model, and its band.

    It ends at the last epoch that every seed reached: a median over the seeds that happen to be
    left would jump when one stops.

    Args:
        rows: The rows of one model.
        part: "train" or "valid".

    Returns:
        For each epoch its number, the lowest loss of a seed, the median, the highest.
    """
    curves = [dict(curve) for row in rows if (curve := history(row, part))]
    shared = sorted(set.intersection(*map(set, curves))) if curves else []
    return [
        (epoch, min(at), median(at), max(at))
        for epoch in shared
        if (at := [curve[epoch] for curve in curves])
    ]


def windows(rows: Sequence[Row]) -> list[Window]:
    """Take a model's memory curve over its seeds.

    Args:
        rows: The rows of one model.

    Returns:
        One point for each k that any seed measured, in order.
    """
    points: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        for point in entries(row, "memory"):
            if (k := value(point, "k")) is not None:
                points.setdefault(int(k), []).append(point)
    return [_window(k, points[k]) for k in sorted(points)]


def thinned(points: Sequence[Any], most: int) -> list[Any]:
    """Keep some evenly spaced points where there are more than a picture bears.

    Args:
        points: The points in their order.
        most: How many to keep at most, 2 or more.

    Returns:
        The points that are kept, the first and the last among them.

    Example:
        >>> thinned(range(100), 4), thinned("abc", 4)
        ([0, 33, 66, 99], ['a', 'b', 'c'])
    """
    last = len(points) - 1
    if last < most:
        return list(points)
    return [points[round(at * last / (most - 1))] for at in range(most)]


def window_metrics(row: Row) -> Curve:
    """Read the memory curve of one row.

    Args:
        row: The row.

    Returns:
        Pairs of k and metric, in order of k.
    """
    points = ((value(point, "k"), value(point, "metric")) for point in entries(row, "memory"))
    return sorted((k, metric) for k, metric in points if k is not None and metric is not None)


def _window(k: int, points: list[Mapping[str, Any]]) -> Window:
    metrics, bounds = values(points, "metric"), values(points, "bound")
    # A bound of some seeds only, beside the worst error of all, could look broken when it is not.
    proved = len(bounds) == len(points)
    return Window(
        k=k,
        metric=middle(metrics),
        low=min(metrics, default=None),
        high=max(metrics, default=None),
        error_median=middle(values(points, "output_error_median")),
        error_max=max(values(points, "output_error_max"), default=None),
        bound=max(bounds) if proved else None,
    )
