"""The numbers of the theorem's experiment as tables."""

import math
from collections.abc import Sequence

from unrecur.report.rows import Results, Row, by_model, entries, section, series, value, words
from unrecur.report.sheets import Sheet
from unrecur.report.text import ABSENT, number, percent
from unrecur.report.theorem_rows import table_line

GAPS = {
    "weights": "weights",
    "outputs": "outputs, own weights",
    "same_outputs": "outputs, same weights",
    "gradient": "gradient, same weights",
}
CLAIMS = {
    "attained": "falls at the certified rate, within 10%",
    "bounded": "falls at the certified rate or faster",
    "flat": "does not fall",
}


def cases_sheet(results: Results) -> Sheet:
    """Tabulate what was claimed of each case, and what came of it.

    Args:
        results: The results of the experiment.

    Returns:
        One row a case.
    """
    return Sheet(
        columns=(
            "case",
            "claimed of both gaps",
            "holds",
            "slopes off by",
            "decades fallen",
        ),
        rows=[
            [
                words(case, "name", ABSENT),
                CLAIMS.get(words(case, "claim"), ABSENT),
                "yes" if case.get("holds") is True else "no",
                _range(series(case, "differences"), signed=True),
                _range(series(case, "decades")),
            ]
            for case in entries(results, "cases")
        ],
        prose=(1,),
    )


def _range(ends: list[float | None], signed: bool = False) -> str:
    """Write the smallest and the largest over seeds and gaps."""
    if len(ends) != 2:
        return ABSENT
    low, high = (percent(end, sign=True) if signed else number(end, 3) for end in ends)
    return f"{low} to {high}"


def fits_sheet(results: Results) -> Sheet:
    """Tabulate the fits.

    Args:
        results: The results of the experiment.

    Returns:
        One row for each gap of each seed of each case that is certified.
    """
    columns = ("case", "seed", "gap of", "certified \N{GREEK SMALL LETTER LAMDA}")
    more = (
        "log \N{GREEK SMALL LETTER LAMDA}",
        "slope",
        "off by",
        "plain slope",
        "points",
        "from k",
        "to k",
    )
    return Sheet(
        columns=(*columns, *more),
        rows=[
            [model, words(row, "seed", ABSENT), title, *_fit(row, gap)]
            for model, rows in by_model(results).items()
            for row in rows
            if section(row, "fits")
            for gap, title in GAPS.items()
        ],
        names=3,
    )


def _fit(row: Row, gap: str) -> list[str]:
    line, rate = section(section(row, "fits"), gap), value(row, "certificate", "rate")
    names = ("plain_slope", "points", "first", "last")
    return [
        number(rate),
        number(math.log(rate) if rate else None),
        number(value(line, "slope")),
        percent(value(line, "difference"), sign=True),
        *(number(value(line, name)) for name in names),
    ]


def gaps_sheet(results: Results, names: Sequence[str]) -> Sheet:
    """Tabulate gaps against k, each with its theory.

    Args:
        results: The results of the experiment.
        names: Which gaps.

    Returns:
        One row a window of a seed of a case.
    """
    return Sheet(
        columns=("case", "seed", "k", *(head for name in names for head in _heads(name))),
        rows=[
            [model, words(row, "seed", ABSENT), number(k)]
            + [
                number(_at(row, part, name, place), 3)
                for name in names
                for part in ("gaps", "shapes", "proved")
            ]
            for model, rows in by_model(results).items()
            for row in rows
            for place, k in enumerate(series(row, "windows"))
        ],
        names=3,
    )


def _heads(name: str) -> tuple[str, str, str]:
    return f"{GAPS[name]}: gap", "the theorem's shape", "proved bound"


def _at(row: Row, part: str, name: str, place: int) -> float | None:
    found = series(section(row, part), name)
    return found[place] if place < len(found) else None


def steps_sheet(results: Results) -> Sheet:
    """Tabulate the gaps against the number of gradient steps.

    Args:
        results: The results of the experiment.

    Returns:
        One row for each window and number of steps of a seed of a case.
    """
    rows = []
    for model, runs in by_model(results).items():
        for row in runs:
            gaps = section(row, "gaps")
            tables = [gaps.get(f"{name}_by_step") for name in ("weights", "outputs")]
            for place, k in enumerate(series(row, "windows")):
                lines = [table_line(table, place) for table in tables]
                rows += [
                    [model, words(row, "seed", ABSENT), number(k), number(n)]
                    + [number(line[at] if at < len(line) else None, 3) for line in lines]
                    for at, n in enumerate(series(gaps, "checkpoints"))
                ]
    return Sheet(("case", "seed", "k", "N", "weights: gap", "outputs: gap"), rows, names=4)


def runs_sheet(results: Results) -> Sheet:
    """Tabulate what was run.

    Args:
        results: The results of the experiment.

    Returns:
        One row a seed of a case.
    """
    radius = "spectral radius"
    columns = ("case", "seed", "weights", "loss at start", "at end", f"{radius} at start", "at end")
    return Sheet(
        columns=(*columns, "certified \N{GREEK SMALL LETTER LAMDA}", "window by the theorem"),
        rows=[
            [model, words(row, "seed", ABSENT), number(value(row, "parameters"))]
            + [
                number(value(row, part, end))
                for part in ("loss", "radius")
                for end in ("start", "end")
            ]
            + [number(value(row, "certificate", "rate"))]
            + [number(value(row, "proved", "training_window"))]
            for model, rows in by_model(results).items()
            for row in rows
        ],
        names=2,
    )
