"""Intervals of means over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from scipy.special import stdtrit

from unrecur.report.rows import Results, value
from unrecur.report.text import ABSENT, number

USUAL = 0.95  # where a study does not say with which confidence it decides


@dataclass(frozen=True)
class Interval:
    """A mean with its interval.

    Args:
        mean: The mean.
        low: The lower end; None for one number, which says nothing about its spread.
        high: The upper end.
    """

    mean: float
    low: float | None
    high: float | None

    def text(self) -> str:
        """Write the interval.

        Returns:
            The text; a dash where there is no interval.

        Example:
            >>> Interval(2.0, 1.5, 2.5).text()
            '1.500 to 2.500'
        """
        if self.low is None or self.high is None:
            return ABSENT
        return f"{number(self.low)} to {number(self.high)}"


def mean_interval(numbers: Sequence[float], confidence: float) -> Interval | None:
    """Give the mean and its interval by Student's t.

    Args:
        numbers: One number a seed.
        confidence: Of the interval.

    Returns:
        The interval; None without numbers.

    Example:
        >>> found = mean_interval([1.0, 2.0, 3.0], 0.95)
        >>> found.text()
        '-0.4841 to 4.484'
    """
    if not numbers:
        return None
    mean, count = fmean(numbers), len(numbers)
    if count == 1:
        return Interval(mean, None, None)
    reach = stdev(numbers) / sqrt(count) * float(stdtrit(count - 1, (1 + confidence) / 2))
    return Interval(mean, mean - reach, mean + reach)


def confidence_of(results: Results) -> float:
    """Look up the confidence with which a study decides.

    Args:
        results: The results of a study.

    Returns:
        That of the verdict; the usual one where it is missing or no confidence.
    """
    found = value(results, "verdict", "confidence")
    return found if found is not None and 0 < found < 1 else USUAL
