"""What else is in a study: trials matched by latency or time, failures, recipes left out."""

from unrecur.report.ranking import Rank, ranking
from unrecur.report.rows import (
    Results,
    by_model,
    entries,
    matched,
    matched_by,
    middle,
    values,
    words,
)
from unrecur.report.sheets import DIGITS, STEP_TIME, Sheet
from unrecur.report.text import ABSENT, microseconds, number

TITLES = {
    "parameters": "Matched by parameters",
    "latency": "Matched by the latency of a step",
    "time": "Matched by the time of training",
}


def match_sheets(results: Results) -> dict[str, Sheet]:
    """Tabulate the trials by what they were matched by.

    Args:
        results: The results of a study, all of its rows.

    Returns:
        A table for each kind of match, by its title; none where all trials are of the usual kind.
    """
    kinds = {matched_by(row) for rows in by_model(results).values() for row in rows}
    if kinds <= {"parameters"}:
        return {}
    return {title: _sheet(matched(results, by)) for by, title in TITLES.items() if by in kinds}


def _sheet(results: Results) -> Sheet:
    groups = by_model(results)
    test = ("test", "interval of test", "seeds")
    return Sheet(
        columns=("model", "rank", "family", *test, "parameters", STEP_TIME, "training, s"),
        rows=[
            [*_cells(rank), number(middle(values(groups[rank.summary.model], "seconds")), 3)]
            for rank in ranking(results)
        ],
        about=(0,),
    )


def _cells(rank: Rank) -> list[str]:
    line = rank.summary
    return [
        line.model,
        number(rank.place),
        line.family,
        number(line.test, DIGITS),
        rank.test.text() if rank.test else ABSENT,
        str(line.seeds),
        number(line.parameters),
        microseconds(line.step_seconds),
    ]


def failures_sheet(results: Results) -> Sheet:
    """Tabulate the trials that failed.

    Args:
        results: The results of a study.

    Returns:
        One row a trial.
    """
    return Sheet(
        columns=("model", "seed", "stage", "reason"),
        rows=[
            [words(entry, name, ABSENT) for name in ("model", "seed", "stage", "reason")]
            for entry in entries(results, "failures")
        ],
        names=3,
        prose=(3,),
        about=(0,),
    )


def skipped_sheet(results: Results) -> Sheet:
    """Tabulate the recipes that could not take part.

    Args:
        results: The results of a study.

    Returns:
        One row a recipe.
    """
    return Sheet(
        columns=("model", "family", "reason"),
        rows=[
            [words(entry, name, ABSENT) for name in ("model", "family", "reason")]
            for entry in entries(results, "skipped")
        ],
        names=2,
        prose=(2,),
    )
