"""The difference of one model between two runs, with its interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from scipy.special import stdtrit

from unrecur.report.rows import Row, series, values

FARTHEST = 200.0  # of a logarithm, so that every number stays finite
Losses = Sequence[Sequence[float]]  # by seed and test sequence


@dataclass(frozen=True)
class Difference:
    """What a model gained or lost from one run to the other.

    Args:
        relative_difference: metric in B / metric in A - 1.
        low: The lower end of its interval; None where a run has one seed.
        high: The upper end.
        paired: Whether both were seen on the same test sequences, one by one.
    """

    relative_difference: float
    low: float | None
    high: float | None
    paired: bool


def difference(
    first: Sequence[Row], second: Sequence[Row], confidence: float, *, same_split: bool
) -> Difference | None:
    """Compare one model in two runs by the logarithm of the ratio of its test metrics.

    The variance is that of the seeds of both runs, which are taken as independent, and, on the same
    test split, that of the paired differences over its sequences. The interval is the logarithm
    plus and minus its standard error times a quantile of Student's t (Satterthwaite's degrees of
    freedom), given as relative differences. On different splits the interval is over seeds alone.

    Args:
        first: The rows of the model in run A.
        second: Those in run B.
        confidence: Of the interval.
        same_split: Whether both runs have the same test split.

    Returns:
        The difference; None where a run has no positive test metric.
    """
    ours, theirs = (values(rows, "metric", "test") for rows in (second, first))
    if not ours or not theirs or min(*ours, *theirs) <= 0:
        return None
    middle = math.log(fmean(ours) / fmean(theirs))
    losses = [_losses(rows) for rows in (second, first)] if same_split else []
    lengths = {len(seed) for run in losses for seed in run}
    paired = len(lengths) == 1 and 0 not in lengths
    # Each part of the variance with its degrees of freedom.
    parts = [_of_seeds(metrics) for metrics in (ours, theirs) if len(metrics) > 1]
    if len(parts) < 2:
        return Difference(math.expm1(middle), None, None, paired)
    if paired:
        parts.append(_of_sequences(*losses))
    total = sum(part for part, _ in parts)
    reach = 0.0
    if total > 0:
        freedom = total**2 / sum(part**2 / count for part, count in parts)
        reach = math.sqrt(total) * float(stdtrit(freedom, (1 + confidence) / 2))
    low, high = (math.expm1(min(middle + side * reach, FARTHEST)) for side in (-1, 1))
    return Difference(math.expm1(middle), low, high, paired)


def _losses(rows: Sequence[Row]) -> list[list[float]]:
    """Read the losses of a model by seed and sequence; nothing where some are missing."""
    seeds = [series(row, "test_losses") for row in rows]
    known = [[loss for loss in seed if loss is not None] for seed in seeds]
    whole = all(len(seed) > 1 and seed == kept for seed, kept in zip(seeds, known, strict=True))
    return known if whole and all(sum(seed) > 0 for seed in known) else [[]]


def _of_seeds(metrics: Sequence[float]) -> tuple[float, int]:
    """Give the variance of the logarithm of a mean over seeds, and its degrees of freedom."""
    return variance(metrics) / fmean(metrics) ** 2 / len(metrics), len(metrics) - 1


def _of_sequences(ours: Losses, theirs: Losses) -> tuple[float, int]:
    """Give the variance of the log ratio over paired sequences, and its degrees of freedom."""
    means = [[fmean(at) for at in zip(*run, strict=True)] for run in (ours, theirs)]
    totals = [sum(run) for run in means]
    # The log ratio, to first order in what one sequence adds to it.
    shares = [a / totals[0] - b / totals[1] for a, b in zip(*means, strict=True)]
    return len(shares) * variance(shares), len(shares) - 1
