"""The conformal bound, held to the coverage it promises."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, kstest

from unrecur.certificates.certificate import Evidence
from unrecur.certificates.conformal import conformal_bound, sequences_needed

REPEATS = 1000


def draws(law, count, seed):
    """Scores of `count` sequences and of one new one, many times over."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(REPEATS, count + 1, generator=generator, dtype=torch.float64)
    return {"uniform": scores, "heavy": 1 / scores, "ties": (3 * scores).floor()}[law]


@pytest.mark.parametrize("law", ["uniform", "heavy", "ties"])
@pytest.mark.parametrize(("count", "coverage"), [(19, 0.95), (30, 0.9), (50, 0.5)])
def test_coverage_is_what_is_promised(law, count, coverage):
    scores = draws(law, count, seed=0)
    bounds = [conformal_bound(row[:count], coverage) for row in scores]
    held = sum(
        float(row[count]) <= bound.quantile for row, bound in zip(scores, bounds, strict=True)
    )
    # Without ties the coverage is rank / (n + 1) exactly, with them at least that.
    exact = bounds[0].rank / (count + 1)
    assert coverage <= exact < coverage + 1 / (count + 1)
    low, high = binom.interval(0.999, REPEATS, exact)
    assert held >= low
    assert law == "ties" or held <= high


def test_coverage_of_one_calibration_set_is_beta():
    """A uniform score is at most q with probability q: the quantile is the set's own coverage."""
    bounds = [conformal_bound(row[:40], 0.9) for row in draws("uniform", 40, seed=1)]
    quantiles = [bound.quantile for bound in bounds]
    rank = bounds[0].rank
    assert kstest(quantiles, "beta", args=(rank, 41 - rank)).pvalue > 0.01
    low, high = bounds[0].interval(0.8)
    inside = sum(low <= quantile <= high for quantile in quantiles)
    ends = binom.interval(0.999, REPEATS, 0.8)
    assert ends[0] <= inside <= ends[1]


def test_bounds_at_once_hold_at_once():
    """Four scores of each sequence, independent: the worst case of Bonferroni."""
    generator = torch.Generator().manual_seed(2)
    scores = torch.rand(REPEATS, 60, 4, generator=generator, dtype=torch.float64)
    held = 0
    for row in scores:
        bounds = [conformal_bound(row[:-1, j], 0.9, among=4).quantile for j in range(4)]
        held += all(float(row[-1, j]) <= bounds[j] for j in range(4))
    assert held >= binom.interval(0.999, REPEATS, 0.9)[0]


@settings(max_examples=100, deadline=None)
@given(
    scores=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
    coverage=st.floats(0.01, 0.99),
    among=st.integers(1, 5),
)
def test_the_bound_is_an_order_statistic(scores, coverage, among):
    bound = conformal_bound(scores, coverage, among)
    assert (bound.quantile < math.inf) == (len(scores) >= bound.needed)
    assert bound.count == len(scores)
    if bound.rank <= bound.count:
        assert bound.evidence is Evidence.STATISTICAL
        at_most = sum(score <= bound.quantile for score in scores)
        assert at_most >= bound.rank > sum(score < bound.quantile for score in scores)
        low, high = bound.interval()
        assert 0 <= low <= high <= 1
    else:
        assert bound.evidence is Evidence.UNKNOWN
        assert bound.interval() == (1.0, 1.0)


@pytest.mark.parametrize("coverage", [0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999])
@pytest.mark.parametrize("among", [1, 3, 7])
def test_as_many_sequences_as_needed_are_enough(coverage, among):
    needed = sequences_needed(coverage, among)
    assert needed == math.ceil(round(among / (1 - coverage) - 1, 6))
    assert math.isfinite(conformal_bound(torch.zeros(needed), coverage, among).quantile)
    assert needed == 1 or math.isinf(
        conformal_bound(torch.zeros(needed - 1), coverage, among).quantile
    )


def test_one_sequence():
    assert conformal_bound([3.0], 0.5).quantile == 3.0
    few = conformal_bound([3.0], 0.95)
    assert math.isinf(few.quantile)
    assert few.needed == 19


def test_ties():
    bound = conformal_bound([1.0] * 30 + [2.0] * 10, coverage=0.7)
    assert (bound.rank, bound.quantile) == (29, 1.0)
    assert conformal_bound([0.0] * 19).quantile == 0.0


@pytest.mark.usefixtures("unchecked")
def test_what_is_no_score_is_refused():
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="scores must be finite"):
            conformal_bound([0.1] * 30 + [bad])
    for shape in ((0,), (3, 4), ()):
        with pytest.raises(ValueError, match="one score for each sequence"):
            conformal_bound(torch.zeros(shape))
    for coverage in (0.0, 1.0, 95.0, math.nan):
        with pytest.raises(ValueError, match="coverage must be above 0 and below 1"):
            conformal_bound([0.1] * 30, coverage)
    with pytest.raises(ValueError, match="among must be"):
        conformal_bound([0.1] * 30, among=0)
    with pytest.raises(ValueError, match="level must be"):
        conformal_bound([0.1] * 30).interval(1.0)
