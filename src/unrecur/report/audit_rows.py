"""Reading the plain dict of an audit, any part of which may be missing: its recurrences, cells."""

from collections.abc import Mapping, Sequence
from typing import Any

from unrecur import _check
from unrecur.report.rows import Row, entries, section, series, value, words
from unrecur.report.style import Look, look

Point = tuple[float, float]
MODEL = "the model's outputs"  # as a record writes whose outputs are bounded
QUANTITIES = {"state": "state", "hidden state": "hidden", "output": "output"}  # and their keys
KINDS = ("counter", "latch", "saturated", "dead")


def recurrences(record: Mapping[str, Any]) -> list[Row]:
    """Look up the recurrences of an audit.

    Args:
        record: The record of an audit.

    Returns:
        One entry a recurrence.

    Raises:
        InputError: This is no record of an audit.
    """
    if not isinstance(record.get("recurrences"), list | tuple):
        raise _check.InputError(
            "expected the record of an audit, a dict with a list 'recurrences', got one with the "
            f"keys {sorted(map(str, record))}. Pass what to_record gave or the audit's JSON."
        )
    return entries(record, "recurrences")


def cells(found: Row) -> list[tuple[Row, Look]]:
    """Look up the cells of a recurrence, each with its look, the same in every figure.

    Args:
        found: What was found about the recurrence.

    Returns:
        The cells from the bottom up.
    """
    rows = entries(found, "cells")
    return [(row, look(cell_name(row), place)) for place, row in enumerate(rows)]


def cell_name(cell: Row) -> str:
    """Look up what a cell is called.

    Args:
        cell: A cell.

    Returns:
        Its layer and direction.
    """
    return words(cell, "name", "cell")


def points(mapping: Row, x: str, y: str) -> list[Point]:
    """Pair two lists of numbers.

    Args:
        mapping: The part that holds both.
        x: The name of one.
        y: The name of the other.

    Returns:
        The pairs in which no number is missing.
    """
    both = zip(series(mapping, x), series(mapping, y), strict=False)
    return [(across, up) for across, up in both if across is not None and up is not None]


def nested(rows: Sequence[Row], x: str, *path: str) -> list[Point]:
    """Pair a number of each row with another.

    Args:
        rows: Rows.
        x: The key of one.
        path: The keys that lead to the other.

    Returns:
        The pairs in which no number is missing.
    """
    both = ((value(row, x), value(row, *path)) for row in rows)
    return [(across, up) for across, up in both if across is not None and up is not None]


def levels(found: Row) -> list[Row]:
    """Look up the windows at which sequences were compared one by one.

    Args:
        found: What was found about a recurrence.

    Returns:
        One entry a window.
    """
    return entries(section(found, "curve"), "levels")


def errors(found: Row, of: str) -> dict[str, list[Point]]:
    """Gather the curves of the errors of one quantity against the window.

    Args:
        found: What was found about a recurrence.
        of: One of `QUANTITIES`.

    Returns:
        The worst from k on, the worst at k, quantiles over sequences, and the proved bounds.
    """
    curve, proofs, key = section(found, "curve"), section(found, "proofs"), QUANTITIES[of]
    if key == "hidden" and section(found, "outputs").get("own") is True:
        curve, proofs = {}, {}  # what the recurrence shows is the output itself
    # Outputs are bounded of the whole model, or else of the recurrence alone.
    bounded = {"state": "state", "output" if words(proofs, "of") == MODEL else "hidden": "output"}
    bound, rungs = bounded.get(key, ""), entries(curve, "levels")
    return {
        "onward": points(section(curve, key), "k", "onward"),
        "value": points(section(curve, key), "k", "value"),
        **{part: nested(rungs, "k", key, part) for part in ("low", "median", "high")},
        "proved": nested(entries(proofs, "bounds"), "k", bound),
        "on_inputs": points(section(proofs, "on_inputs"), "k", bound),
    }


def count_of(cell: Row, kind: str) -> int:
    """Count the numbers of a cell's state of one kind.

    Args:
        cell: A cell.
        kind: One of `KINDS`.

    Returns:
        How many there are.
    """
    return round(value(cell, "units", "kinds", kind, "count") or 0)
