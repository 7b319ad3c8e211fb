"""Fit how gaps fall with the window, and hold the slope against the theorem."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FEWEST = 4  # points of a fit


@dataclass(frozen=True)
class Fit:
    """A least-squares line through log gap.

    Attributes:
        slope: Of log(gap / form) in k, where the theorem's bound is form(k) rate^k; per input.
        plain_slope: Of log gap itself.
        difference: slope against log rate, relative: above 0, the gap falls faster.
        points: How many gaps it goes through.
        first: The shortest window of them.
        last: The longest.
    """

    slope: float
    plain_slope: float
    difference: float
    points: int
    first: int
    last: int


def fit(
    windows: Sequence[int],
    gaps: Sequence[float],
    rate: float,
    floor: float,
    form: Sequence[float],
) -> Fit | None:
    """Fit the slope of log gap in k.

    The fit starts at k = 1 / log(1 / rate), where k rate^k begins to fall, and ends before the
    first gap that rounding reaches.

    Args:
        windows: The lengths k, in rising order.
        gaps: The gap at each.
        rate: The rate of the theorem, above 0 and below 1.
        floor: Gaps up to this may be rounding.
        form: What the theorem's bound is beside rate^k at each k: k for a bound of k rate^k.

    Returns:
        The fit; None where fewer than four gaps are left.

    Example:
        >>> found = fit([5, 10, 15, 20], [3 * 0.5**k for k in (5, 10, 15, 20)], 0.5, 0.0, [1.0] * 4)
        >>> abs(found.difference) < 1e-12
        True
    """
    begin = -1 / math.log(rate)
    end = next((k for k, gap in zip(windows, gaps, strict=True) if gap <= floor), math.inf)
    kept = [
        (k, gap, factor)
        for k, gap, factor in zip(windows, gaps, form, strict=True)
        if begin <= k < end
    ]
    if len(kept) < FEWEST:
        return None
    k, gap, factor = np.array(kept).T
    slope = float(np.polyfit(k, np.log(gap / factor), 1)[0])
    plain = float(np.polyfit(k, np.log(gap), 1)[0])
    difference = slope / math.log(rate) - 1
    return Fit(slope, plain, difference, len(kept), int(k[0]), int(k[-1]))


def anchored(
    windows: Sequence[int], gaps: Sequence[float], shape: Sequence[float], line: Fit
) -> list[float]:
    """Move a curve of the theorem, whose factor is out of reach, to the height of the gaps.

    Args:
        windows: The lengths k.
        gaps: The gap at each.
        shape: The curve at each, up to a factor.
        line: The fit; over its windows the curve and the gaps have the same geometric mean.

    Returns:
        The curve.
    """
    kept = [line.first <= k <= line.last for k in windows]
    ratio = np.log(np.array(gaps)[kept] / np.array(shape)[kept]).mean()
    return [float(np.exp(ratio)) * height for height in shape]


def decades(gaps: Sequence[float]) -> float:
    """Say by how many powers of ten a gap falls from the shortest window to its least.

    Args:
        gaps: The gaps, shortest window first.

    Returns:
        The decades, at least 0; infinite where a gap is 0.

    Example:
        >>> decades([1.0, 2.0, 0.01, 0.1])
        2.0
    """
    least = min(gaps)
    return math.inf if least == 0 else math.log10(gaps[0] / least)
