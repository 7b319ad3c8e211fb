"""A table made ready to be studied: read, told apart, on a grid, and cut in three."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unrecur import _check
from unrecur._check import InputError
from unrecur.data.columns import Columns, repeated
from unrecur.data.resample import Grid, on_grid
from unrecur.data.sequences import SPLITS, Split
from unrecur.data.series import Series, Text, joined, series_of
from unrecur.data.splitting import FRACTIONS, Splitting, cuts
from unrecur.data.table import read_table
from unrecur.data.windows import Pieces, pieces

LENGTH, CONTEXT = 128, 96
FEWEST_PIECES = 20  # of the test split, where there are as many steps


@dataclass(frozen=True)
class Plan:
    """What of a table is used, and as what.

    Attributes:
        target: The columns that are predicted.
        inputs: The other columns whose past is given; None for all.
        time: The column of times; None where rows are steps.
        id: The column that tells series apart; None for one series.
        static: Columns with one value in each series.
        known: Columns whose future is known.
        frequency: How long a step is; None for the commonest.
        split: Fractions, numbers of steps, or two times; see `cuts`.
        length: How many steps are predicted in a sequence; None for 128, or fewer for a short test.
        context: How many steps before them are read; None for 96, or one season.
        name: The task's name; None for that of the file.
    """

    target: tuple[str, ...]
    inputs: Sequence[str] | None = None
    time: str | None = None
    id: str | None = None
    static: Sequence[str] = ()
    known: Sequence[str] = ()
    frequency: str | float | None = None
    split: Splitting = FRACTIONS
    length: int | None = None
    context: int | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.time is not None and self.time == self.id:
            raise InputError(
                f"column '{self.time}' is named both for times and for series. Name one column for "
                "each."
            )
        if self.length is not None:
            _check.positive_integer(self.length, "length")
        if self.context is not None and self.context != 0:
            _check.positive_integer(self.context, "context")

    @property
    def columns(self) -> list[str] | None:
        """The columns that are read; None for all."""
        if self.inputs is None:
            return None
        return list(dict.fromkeys([*self.target, *self.inputs, *self.static, *self.known]))


@dataclass(frozen=True)
class Prepared:
    """Series on grids, and where each split of them ends.

    Attributes:
        plan: What is used.
        series: The columns, a row for each step.
        ends: The step of each series at which training, validation and test end.
        name: The task's name.
        sha256: Of the files, in the order of the splits where each has its own.
        notes: What was done so far.
    """

    plan: Plan
    series: Series
    ends: np.ndarray
    name: str
    sha256: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def train(self) -> np.ndarray:
        """Marks the rows of training."""
        offsets, lengths = self.series.offsets, self.series.lengths
        step = np.arange(self.series.rows) - np.repeat(offsets[:-1], lengths)
        return step < np.repeat(self.ends[:, 0], lengths)

    def columns(self, scaled: Mapping[str, np.ndarray], ahead: int, season: int = 0) -> Columns:
        """Build the inputs: targets first, then their gaps, then numbers, then text.

        Args:
            scaled: The scaled targets whose past is given; none where they are not.
            ahead: How many steps ahead known columns are given.
            season: The season that differences are over; 0 where none are read.

        Returns:
            The columns.
        """
        series, plan = self.series, self.plan
        built = Columns(series.offsets, self.train, season)
        built.add_targets(scaled)
        for name in [name for name in series.numbers if name not in plan.target]:
            values = series.numbers.pop(name)
            if name in plan.static:
                values = repeated(values, series.offsets, name, series.name)
            built.add_number(name, values, ahead if name in plan.known else 0)
        for name, text in series.texts.items():
            if name not in plan.target:
                filled = self._static_text(name, text) if name in plan.static else text
                built.add_text(name, filled, ahead if name in plan.known else 0)
        return built

    def _static_text(self, name: str, text: Text) -> Text:
        """Repeat the value of each series."""
        codes = np.where(text.codes < 0, np.nan, text.codes)
        filled = repeated(codes, self.series.offsets, name, self.series.name)
        return Text(np.nan_to_num(filled, nan=-1).astype(np.int32), text.values)

    def pieces(self, leads: tuple[int, ...], season: int) -> dict[Split, Pieces]:
        """Cut each split into pieces.

        Step t counts in a split if all its targets, t + leads, lie in it.

        Args:
            leads: Which steps ahead are predicted.
            season: How many steps a naive forecast looks back; 0 where there is none.

        Returns:
            The pieces of each split.

        Raises:
            InputError: A split has no step whose targets all lie in it.
        """
        offsets = self.series.offsets
        before = np.concatenate([np.zeros_like(self.ends[:, :1]), self.ends[:, :2]], 1)
        begins = offsets[:-1, None] + np.maximum(0, before - min(leads))
        ends = offsets[:-1, None] + self.ends - max(leads)
        counted = np.maximum(0, ends - begins).sum(0)
        for split, steps, count in zip(
            SPLITS, np.diff(self.ends, axis=1, prepend=0).sum(0), counted, strict=True
        ):
            if not count:
                raise InputError(
                    f"{self.series.name}: the split '{split}' has {steps} steps, too few to "
                    f"predict {max(leads)} ahead within it. Give it more, or shorten the horizon."
                )
        length = self.plan.length or max(1, min(LENGTH, int(counted[2]) // FEWEST_PIECES))
        context = max(CONTEXT, season) if self.plan.context is None else self.plan.context
        return {
            split: pieces(begins[:, number], ends[:, number], offsets, length, context)
            for number, split in enumerate(SPLITS)
        }


def prepare(source: Any, plan: Plan, text: Sequence[str] = ()) -> Prepared:
    """Read a table, put it on a grid and cut it in three.

    Args:
        source: A path, a polars data frame, or one of these for each split.
        plan: What of it is used.
        text: Columns of numbers that are taken as text.

    Returns:
        The series; what was done is in the notes.

    Raises:
        InputError: The table or the plan is malformed, or a split is empty.
    """
    by_split = isinstance(source, Mapping)
    tables = {
        name: read_table(origin, plan.columns, plan.time, [plan.id] if plan.id else [])
        for name, origin in (source.items() if by_split else [("", source)])
    }
    grids: dict[str, Grid] = {}
    notes, hashes = [], []
    for name, table in tables.items():
        origin = table.source
        hashes.append(origin.sha256)
        if origin.sha256:
            file = Path(origin.name).name
            notes.append(f"{file}: {table.frame.height:,} rows, SHA-256 {origin.sha256}.")
        grids[name] = on_grid(series_of(table, plan.time, plan.id, text), plan.frequency)
    _check_columns(plan, next(iter(grids.values())).series)
    if by_split:
        if {*grids} != {*SPLITS}:
            raise InputError(
                f"expected a table for each of {', '.join(SPLITS)}, got {list(grids)}."
            )
        grids = {split: grids[split] for split in SPLITS}
        series = joined({name: grid.series for name, grid in grids.items()})
        ends = np.concatenate(
            [
                grid.series.lengths[:, None] * (np.arange(3) >= number)
                for number, grid in enumerate(grids.values())
            ]
        )
    else:
        series = grids[""].series
        ends = cuts(grids[""], plan.split, plan.time is not None)
    notes += series.notes
    sizes = np.diff(ends, axis=1, prepend=0).sum(0)
    left = series.rows - int(ends[:, 2].sum())
    notes.append(
        f"Split by time: {sizes[0]:,} steps for training, {sizes[1]:,} for validation, "
        f"{sizes[2]:,} for test" + (f"; the {left:,} after them are left out." if left else ".")
    )
    first = next(iter(tables.values())).source
    name = plan.name or (Path(first.name).name.partition(".")[0] if first.sha256 else "table")
    return Prepared(plan, series, ends, name, tuple(hashes), tuple(notes))


def _check_columns(plan: Plan, series: Series) -> None:
    """Check that the plan's columns exist and have one part to play."""
    roles = [*plan.target, *plan.static, *plan.known]
    there = [*series.numbers, *series.texts]
    for name in roles:
        if name not in there:
            raise InputError(
                f"{series.name}: expected a column '{name}', besides those of times and series, "
                f"got {', '.join(there[:20])}."
            )
        if roles.count(name) > 1:
            raise InputError(f"column '{name}' is named {roles.count(name)} times. Name it once.")
