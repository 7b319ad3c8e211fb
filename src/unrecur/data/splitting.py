"""Splits by time: what comes first is for training."""

from collections.abc import Sequence

import numpy as np

from unrecur._check import InputError
from unrecur.data.resample import Grid
from unrecur.data.times import instant

Splitting = Sequence[float] | Sequence[int] | Sequence[str]
FRACTIONS = (0.7, 0.1, 0.2)


def cuts(grid: Grid, split: Splitting = FRACTIONS, timed: bool = True) -> np.ndarray:
    """Say at which step of each series training, validation and test end.

    Series with times are all cut at the same two times, so that nothing is learnt from what is
    later than a test; without times each is cut by itself.

    Args:
        grid: The series.
        split: Three fractions of the steps, of sum 1; three numbers of steps, of each series; or
            two times, at which validation and test begin.
        timed: Whether the series have times.

    Returns:
        [series, 3] of step numbers.

    Raises:
        InputError: The split is none of these, asks for more steps than there are, or leaves one
            of the three empty.
    """
    lengths = grid.series.lengths
    kinds = {type(part) for part in split}
    if kinds == {str} and len(split) == 2:
        ends = _at_times(grid, [str(part) for part in split], timed)
    elif len(split) == 3 and kinds == {int}:
        sizes = np.array(split, np.int64)
        ends = np.repeat(np.cumsum(sizes)[None], len(lengths), 0)
        if sizes.min() < 1 or (ends[:, 2] > lengths).any():
            raise InputError(
                f"{grid.series.name}: a split of {list(split)} steps needs {int(ends[0, 2])} in "
                f"each series, got one of {int(lengths.min())}."
            )
    elif len(split) == 3 and kinds <= {int, float} and _sum_to_one(split):
        ends = _by_fractions(grid, float(split[0]), float(split[0]) + float(split[1]), timed)
    else:
        raise InputError(
            "expected a split of three fractions of sum 1, as in 0.7, 0.1, 0.2, of three numbers "
            f"of steps, or of two times, got {list(split)}."
        )
    sizes = np.diff(ends, axis=1, prepend=0).sum(0)
    if (sizes < 1).any():
        raise InputError(
            f"{grid.series.name}: expected steps in all splits, got {sizes[0]} for training, "
            f"{sizes[1]} for validation and {sizes[2]} for test. Change the split."
        )
    return ends


def _sum_to_one(split: Sequence[float | str]) -> bool:
    parts = [float(part) for part in split]
    return min(parts) > 0 and abs(sum(parts) - 1) < 1e-6


def _at_times(grid: Grid, split: list[str], timed: bool) -> np.ndarray:
    """Cut at two times."""
    if not (timed and grid.series.dated):
        raise InputError(
            f"a split at the times {', '.join(split)} needs dates: name the column that holds them "
            "(time)."
        )
    first, second = (instant(text) for text in split)
    if first >= second:
        raise InputError(f"expected two times in order, got {split[0]} and {split[1]}.")
    lengths = grid.series.lengths
    return np.stack([grid.position(first), grid.position(second), lengths], 1)


def _by_fractions(grid: Grid, first: float, second: float, timed: bool) -> np.ndarray:
    """Cut at fractions of all steps, at the same times for all series."""
    lengths = grid.series.lengths
    if not timed or len(lengths) == 1:
        # The small number undoes the rounding of 0.7 + 0.1.
        inner = [np.floor(part * lengths + 1e-9).astype(np.int64) for part in (first, second)]
        return np.stack([*inner, lengths], 1)
    starts = np.repeat(grid.start - grid.series.offsets[:-1] * grid.step, lengths)
    times = np.sort(starts + np.arange(grid.series.rows) * grid.step)
    inner = []
    for part in (first, second):
        time = times[min(int(part * len(times) + 1e-9), len(times) - 1)]
        inner.append(np.clip(-(-(time - grid.start) // grid.step), 0, lengths))
    return np.stack([*inner, lengths], 1)
