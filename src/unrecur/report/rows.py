"""Reading a study's plain rows: numbers that may be missing, rows by model, curves over seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from unrecur import _check

Results = Mapping[str, Any]
Row = Mapping[str, Any]
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


def by_model(results: Results) -> dict[str, list[Row]]:
    """Group the rows of a study by model, in the order the models first appear.

    Args:
        results: The results of a study.

    Returns:
        The rows (one per seed) of each model.

    Raises:
        InputError: The results have no list of rows, or a row does not name its model.
    """
    rows = results.get("rows") if isinstance(results, Mapping) else None
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        raise _check.InputError(
            "expected the results of a study, a dict with a list 'rows', got "
            f"{type(results).__name__}. Pass what the study returned or json.load gave."
        )
    groups: dict[str, list[Row]] = {}
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping) or "model" not in row:
            raise _check.InputError(
                f"expected every row to name its 'model', row {number} does not. "
                "Rerun the study or repair the file."
            )
        groups.setdefault(str(row["model"]), []).append(row)
    return groups


def is_floor(rows: Sequence[Row]) -> bool:
    """Say whether the rows of a model are those of a floor, which learns nothing about time.

    Args:
        rows: The rows of one model.

    Returns:
        Whether they are.
    """
    return rows[0].get("family") == "floor"


def section(results: Results, name: str) -> Mapping[str, Any]:
    """Look up a part of the results that may be missing.

    Args:
        results: The results of a study, or one of its parts.
        name: The part.

    Returns:
        The part, empty where it is missing or None.
    """
    return results.get(name) or {}


def value(row: Mapping[str, Any], *path: str) -> float | None:
    """Look up a number that may be missing.

    Args:
        row: A row, or any nested mapping.
        path: The keys that lead to the number.

    Returns:
        The number; None where a key is missing, or where there is no finite number.

    Example:
        >>> value({"metric": {"test": 7.5}}, "metric", "test"), value({}, "metric", "test")
        (7.5, None)
    """
    found: Any = row
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return found if math.isfinite(found) else None


def values(rows: Sequence[Mapping[str, Any]], *path: str) -> list[float]:
    """Collect a number from every row that has it.

    Args:
        rows: Rows.
        path: The keys that lead to the number.

    Returns:
        The numbers that are there.
    """
    return [found for row in rows if (found := value(row, *path)) is not None]


def middle(numbers: Sequence[float]) -> float | None:
    """Take the median where there is one.

    Args:
        numbers: Any numbers, or none.

    Returns:
        Their median, or None.
    """
    return median(numbers) if numbers else None


def history(row: Row, part: str) -> Curve:
    """Read a training curve of one row.

    Args:
        row: The row.
        part: "train" or "valid".

    Returns:
        Pairs of epoch and loss.
    """
    points = ((value(entry, "epoch"), value(entry, part)) for entry in row.get("history") or [])
    return [(epoch, loss) for epoch, loss in points if epoch is not None and loss is not None]


def median_history(rows: Sequence[Row], part: str) -> Curve:
    """Take the median training curve over the seeds of one model.

    It ends at the last epoch that every seed reached: a median over the seeds that happen to be
    left would jump when one stops.

    Args:
        rows: The rows of one model.
        part: "train" or "valid".

    Returns:
        Pairs of epoch and loss.
    """
    curves = [dict(curve) for row in rows if (curve := history(row, part))]
    shared = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
    return [(epoch, median(curve[epoch] for curve in curves)) for epoch in shared]


def windows(rows: Sequence[Row]) -> list[Window]:
    """Take a model's memory curve over its seeds.

    Args:
        rows: The rows of one model.

    Returns:
        One point for each k that any seed measured, in order.
    """
    points: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        for point in row.get("memory") or []:
            points.setdefault(point["k"], []).append(point)
    return [_window(k, points[k]) for k in sorted(points)]


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
