"""The numbers of each figure as a table, for those who cannot see it and those who want to copy."""

from collections.abc import Sequence
from dataclasses import dataclass

from unrecur.report.rows import (
    Results,
    Row,
    by_model,
    lines,
    middle,
    section,
    value,
    values,
    words,
)
from unrecur.report.series import history_band, windows
from unrecur.report.summary import summarise
from unrecur.report.text import ABSENT, microseconds, number, percent
from unrecur.report.wording import comparisons

DIGITS = 6
STEP_TIME = "one step, \N{MICRO SIGN}s"
SPLITS = ("train", "validation", "test")
GAP = (None, None, None)


@dataclass(frozen=True)
class Sheet:
    """A table of texts.

    Args:
        columns: The heads.
        rows: The cells, as many in each row as there are heads.
        names: How many leading columns name the row.
        prose: The places of columns that hold sentences or codes, which may be broken anywhere.
        about: The places of columns that name models; a reader who hides one hides its rows.
        left_out: How many more rows there were.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 1
    prose: Sequence[int] = ()
    about: Sequence[int] = ()
    left_out: int = 0


def verdict_sheet(results: Results) -> Sheet:
    """Tabulate the comparisons of the verdict.

    Args:
        results: The results of a study.

    Returns:
        One row a comparison.
    """
    keys = ("feed_forward_metric", "recurrent_metric")
    shares = ("relative_difference", "low", "high")
    names = ("feed-forward", "recurrent", "feed-forward metric", "recurrent metric")
    return Sheet(
        columns=(*names, "difference", "interval from", "to"),
        rows=[
            [words(entry, name, ABSENT) for name in ("feed_forward", "recurrent")]
            + [number(value(entry, key), DIGITS) for key in keys]
            + [percent(value(entry, key), sign=True) for key in shares]
            for entry in comparisons(results)
        ],
        names=2,
    )


def size_sheet(results: Results) -> Sheet:
    """Tabulate the size and the metrics of every seed.

    Args:
        results: The results of a study.

    Returns:
        One row a seed of a model.
    """
    return Sheet(
        columns=("model", "seed", "parameters", *SPLITS, "best epoch", "stopped by"),
        rows=[
            [model, _seed(row), number(value(row, "parameters"))]
            + [number(value(row, "metric", part), DIGITS) for part in ("train", "valid", "test")]
            + [number(value(row, "best_epoch")), words(row, "stopped", ABSENT)]
            for model, rows in by_model(results).items()
            for row in rows
        ],
        names=2,
        about=(0,),
    )


def memory_sheet(results: Results) -> Sheet:
    """Tabulate the memory curves.

    Args:
        results: The results of a study.

    Returns:
        One row a model and k, and one for each model without truncation.
    """
    cells: list[list[str]] = []
    for model, rows in by_model(results).items():
        curve = windows(rows)
        for window in curve:
            shown = (window.metric, window.low, window.high)
            errors = (window.error_median, window.error_max, window.bound)
            cells.append([model, str(window.k), *(number(x, DIGITS) for x in (*shown, *errors))])
        if curve:
            full = number(middle(values(rows, "full_metric")), DIGITS)
            cells.append([model, "all", full, *[ABSENT] * 5])
    metrics = ("metric, median", "lowest seed", "highest seed")
    bounds = ("error, median", "error, largest", "certified bound")
    return Sheet(columns=("model", "k", *metrics, *bounds), rows=cells, names=2, about=(0,))


def training_sheet(results: Results) -> Sheet:
    """Tabulate the training curves over seeds.

    Args:
        results: The results of a study.

    Returns:
        One row an epoch of a model that all its seeds finished.
    """
    rows = []
    for model, found in by_model(results).items():
        train, valid = (
            {epoch: edges for epoch, *edges in history_band(found, part)}
            for part in ("train", "valid")
        )
        rows += [
            [model, number(epoch)]
            + [number(x, DIGITS) for x in (*train.get(epoch, GAP), *valid.get(epoch, GAP))]
            for epoch in sorted(train.keys() | valid.keys())
        ]
    ends = ("lowest seed", "median", "highest seed")
    heads = [f"{part} loss, {end}" for part in ("train", "validation") for end in ends]
    return Sheet(columns=("model", "epoch", *heads), rows=rows, names=2, about=(0,))


def speed_sheet(results: Results) -> Sheet:
    """Tabulate the speeds.

    Args:
        results: The results of a study.

    Returns:
        One row a model that was timed.
    """
    timed = [
        (line.model, line.train_rate, line.forward_rate, line.step_seconds)
        for line in summarise(results)
    ]
    return Sheet(
        columns=("model", "training, steps/s", "whole sequences, steps/s", STEP_TIME),
        rows=[
            [model, number(train), number(forward), microseconds(step)]
            for model, train, forward, step in timed
            if any(speed is not None for speed in (train, forward, step))
        ],
        about=(0,),
    )


def certificate_sheet(results: Results) -> Sheet:
    """Tabulate the certificates, those of a model that say the same in one row.

    Args:
        results: The results of a study.

    Returns:
        One row for each statement about a model.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for model, rows in by_model(results).items():
        for row in rows:
            if found := section(row, "certificate"):
                said = (words(found, "evidence", ABSENT), words(found, "norm") or ABSENT)
                why = (
                    "; ".join(lines(found, name)) or ABSENT for name in ("assumptions", "reasons")
                )
                groups.setdefault((model, *said, *why), []).append(row)
    return Sheet(
        columns=("model", "seeds", "evidence", "norm", "largest rate", "assumptions", "reasons"),
        rows=[
            [model, ", ".join(map(_seed, rows)), evidence, norm, _largest_rate(rows), *why]
            for (model, evidence, norm, *why), rows in groups.items()
        ],
        names=4,
        prose=(5, 6),
        about=(0,),
    )


def _largest_rate(rows: Sequence[Row]) -> str:
    return number(max(values(rows, "certificate", "rate"), default=None))


def _seed(row: Row) -> str:
    return words(row, "seed", ABSENT)
