"""The tables of lookback: the least windows, the curves, and what the data alone say."""

from collections.abc import Sequence

from unrecur.report.rows import Results, Row, entries, section, series, value, words
from unrecur.report.sheets import DIGITS, Sheet
from unrecur.report.text import ABSENT, number

RULES = {
    "measurable": "no measurable gain",
    "margin": "within the margin",
    "one_standard_error": "within one standard error",
    "best": "best measured",
}


def least_sheet(results: Results) -> Sheet:
    """Tabulate the least windows of the whole target, of each horizon, and of each column.

    Args:
        results: The results of a lookback.

    Returns:
        One row each.
    """
    parts = [("all", section(results, "least"))]
    for name, found in (("{} ahead", "horizon"), ("of {}", "column")):
        parts += [
            (name.format(words(entry, found)), section(entry, "least"))
            for entry in entries(results, f"{found}s")
        ]
    return Sheet(
        columns=("last inputs that do", *RULES.values()),
        rows=[[name, *(number(value(least, rule)) for rule in RULES)] for name, least in parts],
    )


def curve_sheet(results: Results) -> Sheet:
    """Tabulate the curve of all inputs.

    Args:
        results: The results of a lookback.

    Returns:
        One row a length.
    """
    heads = ("metric", "standard error", "above the best", "standard error of that", "parameters")
    return Sheet(
        columns=("k", *heads),
        rows=[
            [*_measured(point), number(value(point, "parameters"))]
            for point in entries(results, "points")
        ],
    )


def horizons_sheet(results: Results) -> Sheet:
    """Tabulate the curve of each horizon.

    Args:
        results: The results of a lookback.

    Returns:
        One row a length of a horizon.
    """
    return _curves(entries(results, "horizons"), "horizon")


def columns_sheet(results: Results) -> Sheet:
    """Tabulate the curve of each column.

    Args:
        results: The results of a lookback.

    Returns:
        One row a length of a column.
    """
    return _curves(entries(results, "columns"), "column")


def _curves(found: Sequence[Row], name: str) -> Sheet:
    """Tabulate several curves."""
    heads = ("k", "metric", "standard error", "above the best", "standard error of that")
    return Sheet(
        columns=(name, *heads),
        rows=[
            [words(entry, name, ABSENT), *_measured(point)]
            for entry in found
            for point in entries(entry, "points")
        ],
        names=2,
    )


def _measured(point: Row) -> list[str]:
    """Write a point."""
    keys = ("metric", "standard_error", "above_best", "above_best_error")
    return [number(value(point, "k")), *(number(value(point, key), DIGITS) for key in keys)]


def signal_sheet(results: Results) -> Sheet:
    """Tabulate the partial autocorrelations and the predictive information.

    Args:
        results: The results of a lookback.

    Returns:
        One row a lag or a length.
    """
    partial = dict(enumerate(series(section(results, "partial_autocorrelation"), "values"), 1))
    information = {value(p, "k"): p for p in entries(section(results, "information"), "points")}
    return Sheet(
        columns=("k", "partial autocorrelation", "information, nats", "bias taken off, nats"),
        rows=[
            [number(k), number(partial.get(k), 3)]
            + [number(value(information.get(k, {}), key), 3) for key in ("nats", "bias")]
            for k in sorted({*partial, *(int(k) for k in information if k is not None)})
        ],
    )
