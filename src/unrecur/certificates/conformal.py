"""A quantile with a guarantee: split conformal prediction, for scores of whole sequences.

Nothing is assumed of the model or of the law of the scores, only that the new sequence is
exchangeable with those measured: its length is drawn as theirs were, and it took no part in
training. The unit is the sequence, as steps of one sequence are not exchangeable.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from jaxtyping import Float
from scipy.special import betaincinv
from torch import Tensor

from unrecur import _check
from unrecur._check import InputError
from unrecur.certificates.certificate import Evidence


@dataclass(frozen=True)
class ConformalBound:
    """A bound that a new score stays below with a stated probability.

        P(score of a new sequence <= quantile) >= coverage,

    over the draw of the calibration sequences and of the new one. Given the calibration sequences
    the coverage is itself random: Beta(rank, count + 1 - rank) where scores are drawn independently
    from a continuous law, and stochastically at least that where there are ties (Vovk,
    Conditional validity of inductive conformal predictors, 2012).

    Attributes:
        quantile: The rank-th smallest score, in the scores' units; infinite where there are too few
            sequences.
        coverage: The probability promised of this bound.
        count: n, the number of calibration sequences.
        rank: ceil((n + 1) coverage).
        needed: The least number of sequences with a finite quantile.
        evidence: `STATISTICAL`; `UNKNOWN` where the quantile is infinite.
    """

    quantile: float
    coverage: float
    count: int
    rank: int
    needed: int
    evidence: Evidence

    def interval(self, level: float = 0.9) -> tuple[float, float]:
        """Give the central interval of the coverage that this very calibration set has.

        Args:
            level: The probability that the interval holds it, above 0 and below 1.

        Returns:
            The ends; (1, 1) where the quantile is infinite.

        Raises:
            InputError: The level is not between 0 and 1.
        """
        _check_probability(level, "level")
        if self.rank > self.count:
            return 1.0, 1.0
        tails = ((1 - level) / 2, (1 + level) / 2)
        low, high = (float(betaincinv(self.rank, self.count + 1 - self.rank, p)) for p in tails)
        return low, high


def sequences_needed(coverage: float, among: int = 1) -> int:
    """Give the least number of calibration sequences whose quantile is finite.

    n >= c / (1 - c), with c = 1 - (1 - coverage) / among.

    Args:
        coverage: The probability to promise, above 0 and below 1.
        among: Of how many bounds at once it is promised.

    Returns:
        The number of sequences.

    Raises:
        InputError: The coverage is not between 0 and 1, or among is no whole number of at least 1.

    Example:
        >>> sequences_needed(0.95), sequences_needed(0.99), sequences_needed(0.95, among=8)
        (19, 99, 159)
    """
    exact = _exact(coverage, among)
    return math.ceil(exact / (1 - exact))


def conformal_bound(
    scores: Float[Tensor, " N"] | Sequence[float], coverage: float = 0.95, among: int = 1
) -> ConformalBound:
    """Bound the score of a new sequence by an order statistic of measured ones.

    The bound is the ceil((n + 1) coverage)-th smallest score (Papadopoulos et al., Inductive
    confidence machines for regression, 2002; Lei et al., Distribution-free predictive inference for
    regression, 2018, section 2.2).

    Args:
        scores: One score for each calibration sequence, such as the largest error over its steps.
        coverage: The probability to promise, above 0 and below 1; read as the decimal it prints as.
        among: Of how many bounds at once it is promised: each of them is then given the coverage
            1 - (1 - coverage) / among (Bonferroni).

    Returns:
        The bound; infinite and `UNKNOWN` where there are fewer than `needed` sequences.

    Raises:
        InputError: There is no score, one is NaN or infinite, the coverage is not between 0 and 1,
            or among is no whole number of at least 1.

    Example:
        >>> bound = conformal_bound([float(score) for score in range(19)], coverage=0.95)
        >>> bound.quantile, bound.rank, bound.evidence.name
        (18.0, 19, 'STATISTICAL')
        >>> few = conformal_bound([0.1, 0.2], coverage=0.95)
        >>> few.quantile, few.needed, few.evidence.name
        (inf, 19, 'UNKNOWN')
    """
    needed, exact = sequences_needed(coverage, among), _exact(coverage, among)
    values = torch.as_tensor(scores, dtype=torch.float64).detach().cpu()
    if values.dim() != 1 or len(values) == 0:
        raise InputError(
            f"expected one score for each sequence, shape [sequences], got {list(values.shape)}."
        )
    _check.finite(values, "scores")
    count = len(values)
    rank = math.ceil((count + 1) * exact)
    if rank > count:
        return ConformalBound(math.inf, float(exact), count, rank, needed, Evidence.UNKNOWN)
    quantile = float(values.sort().values[rank - 1])
    return ConformalBound(quantile, float(exact), count, rank, needed, Evidence.STATISTICAL)


def _exact(coverage: float, among: int) -> Fraction:
    """Give the coverage of each of several bounds that are to hold at once.

    Args:
        coverage: The coverage of all; 0.95 is taken as 19/20, so that ranks come out whole.
        among: How many there are.

    Returns:
        1 - (1 - coverage) / among.

    Raises:
        InputError: The coverage is not between 0 and 1, or among is no whole number of at least 1.
    """
    _check_probability(coverage, "coverage")
    _check.positive_integer(among, "among")
    return 1 - (1 - Fraction(repr(float(coverage)))) / among


def _check_probability(value: float, name: str) -> None:
    """Check that a number lies strictly between 0 and 1.

    Args:
        value: The number.
        name: What it is, for the message.

    Raises:
        InputError: It does not.
    """
    if not 0 < value < 1:
        raise InputError(f"{name} must be above 0 and below 1, got {value}.")
