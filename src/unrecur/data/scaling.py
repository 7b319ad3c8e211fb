"""Scales of numbers, from what is known in training alone."""

from dataclasses import dataclass

import numpy as np

from unrecur._check import InputError

CONSTANT = 1e-9  # deviations this small beside the values are rounding
SAME = 1e-6  # differences this small beside standard deviations are rounding of float32


@dataclass(frozen=True)
class Standard:
    """How a column of inputs is scaled: (value - mean) / deviation.

    Attributes:
        mean: Of the column in training.
        deviation: Its standard deviation there; 0 where it is constant or never known.
    """

    mean: float
    deviation: float


def standard(values: np.ndarray, train: np.ndarray) -> Standard:
    """Measure a column in training.

    Args:
        values: The column, NaN where missing.
        train: Which rows are for training.

    Returns:
        Its scale.
    """
    seen = values[train]
    seen = seen[~np.isnan(seen)]
    if not len(seen):
        return Standard(0.0, 0.0)
    mean, deviation = float(seen.mean()), float(seen.std())
    return Standard(mean, deviation if deviation > CONSTANT * abs(mean) else 0.0)


def seasonal_spread(
    values: np.ndarray, offsets: np.ndarray, train: np.ndarray, season: int
) -> float:
    """Measure the differences of a column over one season, in training.

    Over short steps they are far smaller than the column, which makes learning slow. Their mean is
    not taken out, so that "as one season ago" stays 0.

    Args:
        values: The scaled column of all series, without gaps.
        offsets: Where each series begins, and the end.
        train: Which rows are for training.
        season: How many steps back.

    Returns:
        The root mean square of the differences, from the second season of each series on; 0 where
        they are rounding.

    Example:
        >>> column, train = np.array([1.0, 1, 2, 9, 7, 7]), np.array([1, 1, 1, 0, 1, 1], bool)
        >>> round(seasonal_spread(column, np.array([0, 4, 6]), train, 1) ** 2, 6)  # of 0, 1 and 0
        0.333333
    """
    rows = np.flatnonzero(train)
    rows = rows[rows - season >= np.repeat(offsets[:-1], np.diff(offsets))[rows]]
    differences = values[rows] - values[rows - season]
    spread = float(np.sqrt(np.mean(np.square(differences), dtype=np.float64)))
    return spread if spread > SAME else 0.0


@dataclass(frozen=True)
class TargetScale:
    """How a target is scaled: (value - center_s) / scale_s for series s.

    An error of 1 so scaled is `weight` times the error of a simple forecast, the same in all
    series, so that the mean absolute error times the weight is the mean absolute scaled error.

    Attributes:
        center: For each series.
        scale: For each series.
        weight: What the simple forecast's error comes to, 1 over it.
    """

    center: np.ndarray
    scale: np.ndarray
    weight: float

    def apply(self, values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Scale a target.

        Args:
            values: The target of all series, one after the other.
            lengths: How many rows each has.

        Returns:
            The scaled target.
        """
        return (values - np.repeat(self.center, lengths)) / np.repeat(self.scale, lengths)


def target_scale(
    values: np.ndarray, offsets: np.ndarray, train: np.ndarray, season: int, name: str
) -> tuple[TargetScale, int]:
    """Measure a target in training.

    With q_s the mean of |y_t - y_(t - season)| over the training steps of series s (Hyndman and
    Koehler 2006), the scale of s is q_s r, where one number r for all series makes the variance of
    the scaled target 1 in training; of one series this is the standard deviation. Where q_s is 0
    or unknown, the mean of the others takes its place. Without a season (0), q is the mean
    distance from the median, of all series together.

    Args:
        values: The target of all series, NaN where missing.
        offsets: Where each series begins, and the end.
        train: The number of training steps of each.
        season: How many steps back the simple forecast looks; 0 for the median.
        name: The target's name, for messages.

    Returns:
        The scale, and the number of series that take the mean of the others.

    Raises:
        InputError: The target is constant in training, or there are too few steps to tell.
    """
    count = len(train)
    parts = [values[begin : begin + size] for begin, size in zip(offsets, train, strict=False)]
    if season == 0:
        parts, count = [np.concatenate(parts)], 1
    known = np.array([int((~np.isnan(part)).sum()) for part in parts])
    errors = np.array([_simple_error(part, season) for part in parts])
    means = np.array([_mean(part) for part in parts])
    variances = np.array(
        [_mean((part - mean) ** 2) for part, mean in zip(parts, means, strict=True)]
    )
    good = (errors > CONSTANT * np.abs(means)) & (variances > 0)
    if not good.any():
        raise InputError(
            f"target '{name}': expected it to change in training (over {max(season, 1)} steps), "
            f"got {int(known.sum())} known values that give no scale. Is it constant, or training "
            "shorter than the season?"
        )
    error = np.where(good, errors, errors[good].mean())
    center = np.where(known > 0, means, means[good].mean())
    spread = np.sqrt(np.average(variances[good] / errors[good] ** 2, weights=known[good]))
    series = len(train) // count
    scale = TargetScale(np.tile(center, series), np.tile(error * spread, series), float(spread))
    return scale, int((~good).sum())


def _mean(values: np.ndarray) -> float:
    """Average what is known; 0 where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def _simple_error(values: np.ndarray, season: int) -> float:
    """Give the mean absolute error of the simple forecast."""
    if season == 0:
        return _mean(np.abs(values - np.median(values[~np.isnan(values)]))) if len(values) else 0.0
    return _mean(np.abs(values[season:] - values[:-season]))
