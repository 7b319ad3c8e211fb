"""The numbers of each figure as a table, for those who cannot see it and those who want to copy."""

from collections.abc import Sequence
from dataclasses import dataclass

from unrecur.report.rows import Results, Row, by_model, middle, section, value, values, windows
from unrecur.report.summary import summarise
from unrecur.report.text import ABSENT, microseconds, number, percent

DIGITS = 6


@dataclass(frozen=True)
class Sheet:
    """A table of texts.

    Args:
        columns: The heads.
        rows: The cells, as many in each row as there are heads.
        names: How many leading columns name the row.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 1


def verdict_sheet(results: Results) -> Sheet:
    """Tabulate the comparisons of the verdict.

    Args:
        results: The results of a study.

    Returns:
        One row a comparison.
    """
    keys = ("feed_forward_metric", "recurrent_metric")
    shares = ("relative_difference", "low", "high")
    columns = ("feed-forward", "recurrent", "its metric", "recurrent metric", "difference")
    return Sheet(
        columns=(*columns, "interval from", "to"),
        rows=[
            [str(entry.get("feed_forward", ABSENT)), str(entry.get("recurrent", ABSENT))]
            + [number(value(entry, key), DIGITS) for key in keys]
            + [percent(value(entry, key), sign=True) for key in shares]
            for entry in section(results, "verdict").get("comparisons") or []
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
        columns=("model", "seed", "parameters", "train", "validation", "test", "best epoch", "stopped by"),
        rows=[
            [model, _seed(row), number(value(row, "parameters"))]
            + [number(value(row, "metric", part), DIGITS) for part in ("train", "valid", "test")]
            + [number(value(row, "best_epoch")), str(row.get("stopped") or ABSENT)]
            for model, rows in by_model(results).items()
            for row in rows
        ],
        names=2,
    )


def memory_sheet(results: Results) -> Sheet:
    """Tabulate the memory curves.

    Args:
        results: The results of a study.

    Returns:
        One row a model and k, and one for each model without truncation.
    """
    lines: list[list[str]] = []
    for model, rows in by_model(results).items():
        curve = windows(rows)
        for window in curve:
            shown = (window.metric, window.low, window.high)
            errors = (window.error_median, window.error_max, window.bound)
            lines.append([model, str(window.k), *(number(x, DIGITS) for x in (*shown, *errors))])
        if curve:
            full = number(middle(values(rows, "full_metric")), DIGITS)
            lines.append([model, "all", full, *[ABSENT] * 5])
    metrics = ("metric, median", "lowest seed", "highest seed")
    errors = ("error, median", "error, largest", "proved bound")
    return Sheet(columns=("model", "k", *metrics, *errors), rows=lines, names=2)


def training_sheet(results: Results) -> Sheet:
    """Tabulate the training curves.

    Args:
        results: The results of a study.

    Returns:
        One row an epoch of a seed of a model.
    """
    return Sheet(
        columns=("model", "seed", "epoch", "train loss", "validation loss"),
        rows=[
            [model, _seed(row), number(value(entry, "epoch"))]
            + [number(value(entry, part), DIGITS) for part in ("train", "valid")]
            for model, rows in by_model(results).items()
            for row in rows
            for entry in row.get("history") or []
        ],
        names=3,
    )


def speed_sheet(results: Results) -> Sheet:
    """Tabulate the speeds.

    Args:
        results: The results of a study.

    Returns:
        One row a model that was timed.
    """
    return Sheet(
        columns=("model", "training, frames/s", "whole sequences, frames/s", "one step, µs"),
        rows=[
            [line.model, number(line.train_rate), number(line.forward_rate), microseconds(line.step_seconds)]
            for line in summarise(results)
            if not line.train_rate is line.forward_rate is line.step_seconds is None
        ],
    )


def summary_sheet(results: Results) -> Sheet:
    """Tabulate a study, one line a model.

    Args:
        results: The results of a study.

    Returns:
        One row a model.
    """
    metrics = ("train", "validation", "test", "spread of test")
    speeds = ("training, frames/s", "one step, µs")
    return Sheet(
        columns=("model", "family", "parameters", "seeds", *metrics, *speeds, "least k"),
        rows=[
            [line.model, line.family, number(line.parameters), str(line.seeds)]
            + [number(x) for x in (line.train, line.valid, line.test)]
            + [number(line.spread, 2), number(line.train_rate)]
            + [microseconds(line.step_seconds), number(line.least_k)]
            for line in summarise(results)
        ],
        names=2,
    )


def _seed(row: Row) -> str:
    return str(row.get("seed", ABSENT))
