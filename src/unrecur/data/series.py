"""Several series out of one table: told apart, in order of time, each time once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unrecur._check import InputError, extra
from unrecur.data.table import Table


@dataclass(frozen=True)
class Text:
    """A column of text as numbers.

    Attributes:
        codes: For each row which value it has; -1 where it is missing.
        values: The values, in the order they are first met.
    """

    codes: np.ndarray
    values: tuple[str, ...]


@dataclass
class Series:
    """Series of a table, one after the other, each in order of time.

    Attributes:
        name: Where they come from, for messages.
        numbers: The columns of numbers, float64, NaN where missing.
        texts: The columns of text.
        offsets: Where each series begins, and the end, [series + 1].
        ticks: The time of each row, int64; None where rows are steps.
        dated: Whether a tick is a microsecond.
        per_unit: How many ticks a unit of times that are numbers has.
        notes: What was done, a sentence each.
    """

    name: str
    numbers: dict[str, np.ndarray]
    texts: dict[str, Text]
    offsets: np.ndarray
    ticks: np.ndarray | None = None
    dated: bool = False
    per_unit: int = 1
    notes: list[str] = field(default_factory=list)

    @property
    def lengths(self) -> np.ndarray:
        """How many rows each series has."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.offsets[-1])


def series_of(table: Table, time: str | None, id: str | None, text: Sequence[str] = ()) -> Series:
    """Take the series of a table apart.

    Rows are sorted by time within each series. Rows that are the same in every column are taken
    once; two others of one series at one time are an error.

    Args:
        table: The table.
        time: The column of its times, in ticks; None where rows are steps.
        id: The column of text that says which series a row belongs to; None for one series.
        text: Columns of numbers that are taken as text.

    Returns:
        The series; what was done is in their notes.

    Raises:
        InputError: Two rows have one time, or a row has no series.
    """
    notes = list(table.clock.notes) if table.clock else []
    frame = table.frame
    ids = _codes(frame[id]) if id else None
    if ids is not None and (ids.codes < 0).any():
        row = int(np.argmax(ids.codes < 0))
        raise InputError(
            f"{table.source.where(row)}, column '{id}': expected the name of a series in every "
            "row, got an empty cell."
        )
    ticks = frame[time].to_numpy() if time else None
    order = _order(ids, ticks, notes)
    kept = _once(table, order, ids, ticks, time, notes)
    if kept is not None:
        order = (np.arange(frame.height) if order is None else order)[kept]
    codes = np.zeros(frame.height, np.int64) if ids is None else ids.codes
    codes = codes if order is None else codes[order]
    borders = np.flatnonzero(np.diff(codes)) + 1
    numbers, texts = _columns(frame, order, {time, id} - {None}, set(text))
    if ids is not None:
        notes.append(f"{len(borders) + 1} series are told apart by '{id}'.")
    return Series(
        table.source.name,
        numbers,
        texts,
        np.concatenate([[0], borders, [len(codes)]]).astype(np.int64),
        ticks if ticks is None or order is None else ticks[order],
        bool(table.clock and table.clock.dated),
        table.clock.per_unit if table.clock else 1,
        notes,
    )


def _codes(column: Any) -> Text:
    """Number the values of a column in the order they are first met."""
    polars = extra("polars", "tables")
    values = column.drop_nulls().unique(maintain_order=True)
    codes = column.cast(polars.Enum(values)).to_physical().cast(polars.Int32).fill_null(-1)
    return Text(codes.to_numpy(), tuple(values.to_list()))


def _order(ids: Text | None, ticks: np.ndarray | None, notes: list[str]) -> np.ndarray | None:
    """Order rows by series and time; None where they are in order."""
    order = None
    if ids is not None and (np.diff(ids.codes) < 0).any():
        order = np.argsort(ids.codes, kind="stable")
    if ticks is None:
        return order
    sorted_ticks = ticks if order is None else ticks[order]
    within = np.ones(max(0, len(ticks) - 1), bool)
    if ids is not None:
        codes = ids.codes if order is None else ids.codes[order]
        within = codes[1:] == codes[:-1]
    if not ((np.diff(sorted_ticks) < 0) & within).any():
        return order
    new = np.lexsort((ticks,) if ids is None else (ticks, ids.codes))
    moved = int((new != (np.arange(len(new)) if order is None else order)).sum())
    notes.append(f"{moved:,} rows were not in order of time; all are sorted by time.")
    return new


def _once(
    table: Table,
    order: np.ndarray | None,
    ids: Text | None,
    ticks: np.ndarray | None,
    time: str | None,
    notes: list[str],
) -> np.ndarray | None:
    """Mark the rows that stay when the same row comes several times; None where all do."""
    if ticks is None:
        return None
    order = np.arange(len(ticks)) if order is None else order
    again = np.diff(ticks[order]) == 0
    if ids is not None:
        again &= np.diff(ids.codes[order]) == 0
    rows = np.flatnonzero(again)
    if not len(rows):
        return None
    earlier, later = table.frame[order[rows]], table.frame[order[rows + 1]]
    other = np.zeros(len(rows), bool)
    for name in table.frame.columns:
        other |= earlier[name].ne_missing(later[name]).to_numpy()
    if other.any():
        first = rows[int(np.argmax(other))]
        one, two = sorted((int(order[first]), int(order[first + 1])))
        series = f" of series '{ids.values[ids.codes[two]]}'" if ids is not None else ""
        raise InputError(
            f"{table.source.where(two)}, column '{time}': expected each time once{series}, got one "
            f"again from {table.source.where(one)}, with other values ({int(other.sum())} such "
            "rows). If clocks were set back, write times in UTC or with their offset; if there are "
            "several series, name the column that tells them apart (id)."
        )
    notes.append(
        f"{len(rows):,} rows that repeat another in every column that is read are taken once."
    )
    return np.concatenate([[True], ~again])


def _columns(
    frame: Any, order: np.ndarray | None, left_out: set[Any], as_text: set[str]
) -> tuple[dict[str, np.ndarray], dict[str, Text]]:
    """Take the columns out of a frame, in order."""
    polars = extra("polars", "tables")
    numbers: dict[str, np.ndarray] = {}
    texts: dict[str, Text] = {}
    for name in frame.columns:
        if name in left_out:
            continue
        column = frame[name]
        if column.dtype == polars.Float64 and name in as_text:
            whole = (column.drop_nulls() % 1 == 0).all()
            column = (column.cast(polars.Int64) if whole else column).cast(polars.String)
        if column.dtype == polars.Float64:
            values = column.to_numpy()
            numbers[name] = values if order is None else values[order]
        else:
            text = _codes(column)
            texts[name] = text if order is None else Text(text.codes[order], text.values)
    return numbers, texts


def joined(parts: Mapping[str, Series]) -> Series:
    """Put the series of several tables one after the other.

    Args:
        parts: The series of each, with the same columns.

    Returns:
        All of them.

    Raises:
        InputError: The columns differ.
    """
    first, *others = parts.values()
    for part in others:
        columns = ({*part.numbers}, {*part.texts})
        if columns != ({*first.numbers}, {*first.texts}) or part.dated != first.dated:
            raise InputError(
                f"{part.name}: expected the columns of {first.name} with the same kinds of values, "
                f"got numbers {sorted(part.numbers)} and text {sorted(part.texts)}."
            )
    every = list(parts.values())
    offsets = np.cumsum([0, *(length for part in every for length in part.lengths)])
    return Series(
        first.name,
        {name: np.concatenate([part.numbers[name] for part in every]) for name in first.numbers},
        {name: _joined_text([part.texts[name] for part in every]) for name in first.texts},
        offsets.astype(np.int64),
        None if first.ticks is None else np.concatenate([part.ticks for part in every]),
        first.dated,
        first.per_unit,
        [f"{split}: {note}" for split, part in parts.items() for note in part.notes],
    )


def _joined_text(parts: list[Text]) -> Text:
    """Number the values of several columns alike."""
    values = tuple(dict.fromkeys(value for part in parts for value in part.values))
    number = {value: at for at, value in enumerate(values)}
    codes = []
    for part in parts:
        new = np.array([number[value] for value in part.values] + [-1], np.int32)
        codes.append(new[part.codes])
    return Text(np.concatenate(codes), values)
