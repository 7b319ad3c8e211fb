"""The statistical audit of truncation, on small real models."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

import unrecur
from oracles import windowed
from unrecur.audits.conformal import conformal_curve, truncation_errors
from unrecur.cells import GRU, LSTM
from unrecur.certificates.certificate import Evidence
from unrecur.certificates.conformal import conformal_bound
from unrecur.core.compose import Pointwise, Serial
from unrecur.layers.embedding import Embedding
from unrecur.layers.recurrent import Recurrent


def gru(seed=0):
    torch.manual_seed(seed)
    layer = Recurrent([GRU(2, 5)])
    with torch.no_grad():
        for weight in layer.parameters():
            weight.mul_(2)
    return Serial(layer, Pointwise(torch.nn.Linear(5, 2), 5, 2)).eval()


def held_out(count, seed=0, shortest=1, longest=30):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(shortest, longest + 1, (count,), generator=generator)
    return [torch.randn(int(length), 2, generator=generator) for length in lengths]


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    k=st.integers(1, 22),
    seed=st.integers(0, 100),
)
def test_errors_are_those_of_the_model_run_afresh(lengths, k, seed):
    model = gru(seed)
    generator = torch.Generator().manual_seed(seed)
    sequences = [torch.randn(length, 2, generator=generator) for length in lengths]
    found = truncation_errors(model, sequences, [k, k + 1])
    for row, x in zip(found, sequences, strict=True):
        with torch.no_grad():
            expected = (windowed(model, x[None], k) - model(x[None])[0]).abs().max()
        assert float(row[0]) == pytest.approx(float(expected), abs=2e-6)
        assert len(x) > k or float(row[0]) == 0.0


def test_coverage_on_new_sequences():
    """Calibration sets drawn from a pool, and one new sequence from the rest."""
    model, pool = gru(), held_out(150, shortest=6)
    scores = truncation_errors(model, pool, [4])[:, 0]
    assert len(scores.unique()) == len(scores)
    generator, repeats, held = torch.Generator().manual_seed(1), 1500, 0
    for _ in range(repeats):
        drawn = scores[torch.randperm(len(scores), generator=generator)[:40]]
        held += float(drawn[-1]) <= conformal_bound(drawn[:-1], 0.9).quantile
    low, high = binom.interval(0.999, repeats, 36 / 40)
    assert low <= held <= high


def test_a_curve_falls_and_counts_what_is_exact():
    sequences = held_out(80)
    curve = conformal_curve(gru(), sequences, ks=[16, 4, 2, 30], coverage=0.9)
    assert [point.k for point in curve.points] == [2, 4, 16, 30]
    assert curve.evidence is Evidence.STATISTICAL
    quantiles = [point.bound.quantile for point in curve.points]
    assert quantiles == sorted(quantiles, reverse=True)
    assert quantiles[-1] == 0.0
    assert curve.points[-1].exact == len(sequences)
    assert curve.points[1].exact == sum(len(x) <= 4 for x in sequences)
    # Chosen by its bound, a window keeps the coverage only where all were bounded at once.
    assert curve.window(quantiles[2]) == 16
    assert curve.window(1e-30) == 30
    single = conformal_curve(gru(), sequences, ks=[2], simultaneous=False)
    assert single.window(1e-30) is None


def test_one_by_one_is_tighter_and_choosing_from_it_is_refused():
    sequences = held_out(80)
    at_once = conformal_curve(gru(), sequences, ks=[2, 4], coverage=0.9)
    by_itself = conformal_curve(gru(), sequences, ks=[2, 4], coverage=0.9, simultaneous=False)
    for wide, narrow in zip(at_once.points, by_itself.points, strict=True):
        assert narrow.bound.quantile <= wide.bound.quantile
        assert narrow.bound.coverage == 0.9
        assert wide.bound.coverage == 0.95
    with pytest.raises(ValueError, match="simultaneous=True"):
        by_itself.window(0.1)


def test_too_few_sequences_say_how_many_are_needed():
    curve = conformal_curve(gru(), held_out(20), ks=[2, 4], coverage=0.95)
    assert curve.evidence is Evidence.UNKNOWN
    assert curve.needed == 39
    assert math.isinf(curve.points[0].bound.quantile)
    assert curve.window(1e9) is None


def test_a_block_is_as_good_as_a_list():
    x = torch.randn(25, 12, 2, generator=torch.Generator().manual_seed(0))
    listed = conformal_curve(gru(), list(x), ks=[3, 12])
    assert conformal_curve(gru(), x, ks=[3, 12]) == listed
    assert listed.points[1].exact == 25


def test_tokens():
    torch.manual_seed(0)
    model = Serial(Embedding(6, 4), Recurrent([LSTM(4, 3)])).eval()
    generator = torch.Generator().manual_seed(0)
    sequences = [torch.randint(0, 6, (5 + n,), generator=generator) for n in range(20)]
    curve = conformal_curve(model, sequences, ks=[4])
    assert 0 < curve.points[0].bound.quantile < 1


def test_what_cannot_be_bounded_is_refused():
    sequences = held_out(25, shortest=8)
    with pytest.raises(ValueError, match="training mode"):
        conformal_curve(gru().train(), sequences, ks=[2])
    with pytest.raises(ValueError, match="at least one window and one sequence"):
        conformal_curve(gru(), sequences, ks=[])
    with pytest.raises(ValueError, match="at least one window and one sequence"):
        conformal_curve(gru(), [], ks=[2])
    with pytest.raises(ValueError, match="k must be a whole number"):
        conformal_curve(gru(), sequences, ks=[0, 2])
    with pytest.raises(ValueError, match="coverage must be"):
        conformal_curve(gru(), sequences, ks=[2], coverage=95.0)
    sequences[3] = sequences[3] * math.nan
    with pytest.raises(ValueError, match="scores must be finite"):
        conformal_curve(gru(), sequences, ks=[2])


def test_it_works_on_a_built_model():
    model = unrecur.build("lstm", in_features=2, out_features=2, hidden=4, layers=2).eval()
    assert conformal_curve(model, held_out(19), ks=[8]).evidence is Evidence.STATISTICAL
