"""The mu-law against its formula, and the categorical distribution over its codes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from unrecur import InputError
from unrecur.layers.distribution import bits, pick
from unrecur.layers.mu_law import MuLawCategorical, mu_law_decode, mu_law_encode


@pytest.mark.parametrize("levels", [2, 3, 5, 16, 255, 256, 65536])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_codes_come_back_exactly(levels, dtype):
    codes = torch.arange(levels)
    samples = mu_law_decode(codes, levels, dtype)
    assert torch.equal(mu_law_encode(samples, levels), codes)
    assert float(samples[0]) == pytest.approx(-1, abs=1e-6)
    assert float(samples[-1]) == pytest.approx(1, abs=1e-6)
    assert (samples.diff() > 0).all()


@given(st.floats(-1, 1), st.integers(2, 1000))
def test_a_code_is_the_nearest_of_the_formula(x, levels):
    mu = levels - 1
    position = (math.copysign(math.log1p(mu * abs(x)) / math.log1p(mu), x) + 1) / 2 * mu
    code = int(mu_law_encode(torch.tensor([x], dtype=torch.float64), levels))
    assert abs(code - position) <= 0.5 + 1e-9


def test_known_values():
    # f(1/15) = log(18) / log(256) = 0.5212..., and 127.5 (f + 1) = 193.96.
    assert mu_law_encode(torch.tensor([1 / 15]), 256).tolist() == [194]
    # f(1/17) = log(16) / log(256) = 1/2, which lies between the codes 191 and 192.
    below, above = mu_law_decode(torch.tensor([191, 192]), 256, torch.float64)
    assert below < 1 / 17 < above
    assert mu_law_encode(torch.tensor([0.0, -7.0, 7.0]), 256).tolist() == [128, 0, 255]


def test_the_categorical_is_a_cross_entropy():
    torch.manual_seed(0)
    scores, samples = torch.randn(3, 7, 16), torch.rand(3, 7) * 2 - 1
    nats = MuLawCategorical(16).negative_log_likelihood(scores, samples)
    expected = functional.cross_entropy(scores.mT, mu_law_encode(samples, 16), reduction="none")
    torch.testing.assert_close(nats, expected)
    torch.testing.assert_close(bits(nats), nats / math.log(2))


def test_draws_have_the_probabilities_they_should():
    torch.manual_seed(0)
    scores, number = torch.randn(8), 10_000
    uniform = (torch.arange(number)[:, None] + 0.5) / number
    drawn = MuLawCategorical(8).at(scores.expand(number, -1), uniform)
    shares = mu_law_encode(drawn, 8).bincount(minlength=8) / number
    torch.testing.assert_close(shares, scores.softmax(0), atol=2 / number, rtol=0)


def test_a_draw_is_the_generators():
    scores = torch.randn(5, 8)
    one, two = (
        MuLawCategorical(8).sample(scores, torch.Generator().manual_seed(1)) for _ in range(2)
    )
    assert torch.equal(one, two)
    assert one.shape == (5,)


def test_no_category_beyond_the_last_is_picked():
    third = torch.full((1, 3), 1 / 3)
    short = third * (1 - 1e-6)  # as if the sum had been rounded down
    assert pick(short, torch.tensor([1 - 1e-8])).tolist() == [2]
    assert pick(torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([0.0])).tolist() == [1]


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="levels"):
        mu_law_encode(torch.zeros(1), 1)
    with pytest.raises(InputError, match="expected 256 scores"):
        MuLawCategorical(256).negative_log_likelihood(torch.zeros(1, 10), torch.zeros(1))
