"""Regular time: each series on a grid of equal steps."""

from dataclasses import dataclass, field, replace

import numpy as np

from unrecur._check import InputError
from unrecur.data.series import Series, Text
from unrecur.data.times import MICROSECOND, duration

MOST_STEPS = 8  # of the grid for each row: more are gaps, not data
DAY = 86400 * MICROSECOND
MONTH = 28 * DAY  # the shortest


@dataclass(frozen=True)
class Grid:
    """Series at equal steps.

    Attributes:
        series: Their columns, a row for each step.
        start: The time of the first step of each series, in ticks or months.
        step: How many ticks or months a step is.
        months: Whether time is counted in months.
        shift: Ticks that are added to times before months are counted: a day, where rows are of
            last days, so that all are of first ones.
        into: How many ticks after the beginning of its month the first row of each series then is.
    """

    series: Series
    start: np.ndarray
    step: int
    months: bool = False
    shift: int = 0
    into: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))

    def position(self, ticks: int) -> np.ndarray:
        """Say how many steps of each series lie before a time.

        Args:
            ticks: The time, in ticks.

        Returns:
            The numbers, at most the length of the series.
        """
        time = ticks
        if self.months:
            # The rows of a month stand where that of the first month stands in it.
            moved = np.array([ticks + self.shift])
            time = _months(moved)[0] + (_into_month(moved) > self.into)
        return np.clip(-(-(time - self.start) // self.step), 0, self.series.lengths)


def on_grid(series: Series, frequency: str | float | None = None) -> Grid:
    """Put series on a grid of equal steps from the first time of each.

    Every row goes to the nearest step of the grid. Numbers of one step are averaged, of text the
    last is taken; steps without rows are missing values. Dates that are all the same
    day, or all the last, of a month are counted in months.

    Args:
        series: The series, in order of time.
        frequency: How long a step is, see `duration`; None for the commonest step of all series.

    Returns:
        The series on their grids; what was done is in their notes.

    Raises:
        InputError: There is no step, or the grid would have many times more steps than rows.
    """
    if series.ticks is None:
        if frequency is not None:
            raise InputError("a frequency needs times: name the column that holds them (time).")
        return Grid(series, np.zeros(len(series.lengths), np.int64), 1)
    ticks, months, shift, into = series.ticks, False, 0, np.zeros(1, np.int64)
    steps = _steps(ticks, series.offsets)
    if frequency is not None:
        step = duration(frequency, series.dated, series.per_unit)
    elif not len(steps):
        raise InputError(f"{series.name}: expected two rows or more in a series, got one in each.")
    else:
        step = _commonest(steps)
        moved = _monthly(ticks) if series.dated and step >= MONTH else None
        if moved is not None:
            months, shift = True, moved
            into = _into_month(ticks[series.offsets[:-1]] + shift)
            ticks = _months(ticks + shift)
            series = replace(series, notes=[*series.notes, "Time is counted in months."])
            steps = _steps(ticks, series.offsets)
            step = _commonest(steps)
    start = ticks[series.offsets[:-1]]
    if (steps == step).all():
        return Grid(series, start, step, months, shift, into)
    return Grid(_resampled(series, ticks, start, step, months), start, step, months, shift, into)


def _steps(ticks: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Give the times between the rows of each series."""
    return np.delete(np.diff(ticks), offsets[1:-1] - 1)


def _commonest(steps: np.ndarray) -> int:
    """Find the commonest step, the shortest of several."""
    if (steps == steps[0]).all():
        return int(steps[0])
    values, counts = np.unique(steps, return_counts=True)
    return int(values[counts.argmax()])


def _monthly(ticks: np.ndarray) -> int | None:
    """Say what to add to times of the same day of all months; None where they are not."""
    for shift in (0, DAY):  # the days after last days are all first ones
        days = (ticks + shift).astype("datetime64[us]").astype("datetime64[D]")
        day = days - days.astype("datetime64[M]")
        if (day == day[0]).all():
            return shift
    return None


def _into_month(ticks: np.ndarray) -> np.ndarray:
    """Give the ticks since the beginning of the month."""
    times = ticks.astype("datetime64[us]")
    return (times - times.astype("datetime64[M]")).astype(np.int64)


def _months(ticks: np.ndarray) -> np.ndarray:
    """Count months since 1970."""
    return ticks.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)


def _resampled(
    series: Series, ticks: np.ndarray, start: np.ndarray, step: int, months: bool
) -> Series:
    """Bring rows to the steps of the grid."""
    lengths = series.lengths
    bins = (ticks - np.repeat(start, lengths) + step // 2) // step
    new_lengths = bins[series.offsets[1:] - 1] + 1
    total = int(new_lengths.sum())
    if total > MOST_STEPS * series.rows + 1000:
        raise InputError(
            f"{series.name}: {series.rows:,} rows at steps of {_words(series, step, months)} are "
            f"{total:,} steps, most of them empty. Give the step with frequency, or look for wrong "
            "times."
        )
    offsets = np.concatenate([[0], np.cumsum(new_lengths)])
    bins += np.repeat(offsets[:-1], lengths)
    starts = np.flatnonzero(np.diff(bins, prepend=-1))  # the first row of each step that has some
    taken = bins[starts]
    merged = series.rows - len(taken)
    note = (
        "Times are irregular: rows are brought to the nearest of equal steps of "
        f"{_words(series, step, months)}"
    )
    if merged or total > len(taken):
        note += (
            f"; {total - len(taken):,} of {total:,} steps have no row, and {merged:,} rows are "
            "averaged with another of their step"
        )
    note += "."
    numbers = series.numbers
    for name in list(numbers):  # column by column, so that little is held twice
        numbers[name] = _scattered(numbers[name], starts, taken, total)
    last = np.append(starts[1:], series.rows) - 1
    texts = {}
    for name, text in series.texts.items():
        codes = np.full(total, -1, np.int32)
        codes[taken] = text.codes[last]
        texts[name] = Text(codes, text.values)
    return Series(
        series.name,
        numbers,
        texts,
        offsets,
        None,
        series.dated,
        series.per_unit,
        [*series.notes, note],
    )


def _scattered(values: np.ndarray, starts: np.ndarray, taken: np.ndarray, total: int) -> np.ndarray:
    """Average the known numbers of each step."""
    known = ~np.isnan(values)
    sums = np.add.reduceat(np.where(known, values, 0), starts)
    counts = np.add.reduceat(known, starts, dtype=np.int64)
    out = np.full(total, np.nan)
    out[taken] = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    return out


def _words(series: Series, step: int, months: bool) -> str:
    """Say how long a step is."""
    if months:
        return f"{step} months" if step > 1 else "1 month"
    return f"{step / MICROSECOND:g} s" if series.dated else f"{step / series.per_unit:g}"
