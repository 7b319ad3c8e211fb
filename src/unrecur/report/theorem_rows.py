"""Reading the rows of the theorem's experiment: curves over the seeds of a case."""

from collections.abc import Sequence
from typing import Any

from unrecur.report.rows import Row, middle, section, series

Curve = list[tuple[float, float | None]]
Edges = list[tuple[float, float | None, float | None]]


def over_seeds(rows: Sequence[Row], part: str, name: str) -> Edges:
    """Give where the curves of all seeds lie.

    Args:
        rows: The rows of one case.
        part: "gaps", "proved" or "shapes".
        name: Which curve of the part.

    Returns:
        For each window the smallest and the largest value; None where there is none above 0.
    """
    return [
        (k, min(kept, default=None), max(kept, default=None)) for k, kept in _at(rows, part, name)
    ]


def median_curve(rows: Sequence[Row], part: str, name: str) -> Curve:
    """Give the median over seeds of a curve.

    Args:
        rows: The rows of one case.
        part: "gaps", "proved" or "shapes".
        name: Which curve of the part.

    Returns:
        For each window the median of what is above 0, or None.
    """
    return [(k, middle(kept)) for k, kept in _at(rows, part, name)]


def _at(rows: Sequence[Row], part: str, name: str) -> list[tuple[float, list[float]]]:
    """Collect the values at each window; what is 0 has no place on a logarithmic axis."""
    found: dict[float, list[float]] = {}
    for row in rows:
        values = series(section(row, part), name)
        for k, value in zip(series(row, "windows"), values, strict=False):
            if k is not None:
                found.setdefault(k, []).extend([value] if value else [])
    return sorted(found.items())


def by_step(rows: Sequence[Row], name: str, place: int) -> Curve:
    """Give the median over seeds of a gap against the number of training steps.

    Args:
        rows: The rows of one case.
        name: "weights_by_step" or "outputs_by_step".
        place: Which window.

    Returns:
        For each number of steps the median gap.
    """
    found: dict[float, list[float]] = {}
    for row in rows:
        gaps = section(row, "gaps")
        values = table_line(gaps.get(name), place)
        for n, value in zip(series(gaps, "checkpoints"), values, strict=False):
            if n is not None:
                found.setdefault(n, []).extend([value] if value else [])
    return [(n, middle(kept)) for n, kept in sorted(found.items())]


def table_line(table: Any, place: int) -> list[float | None]:
    """Look up a line of a table that may be missing.

    Args:
        table: A list of lists of numbers, one a window.
        place: Which window.

    Returns:
        Its numbers, none where it is missing.
    """
    known = isinstance(table, list) and place < len(table)
    return series({"line": table[place]}, "line") if known else []
