"""The discretised mixture of logistics: it is a distribution, the one it says, and stable."""

import math

import pytest
import torch

from unrecur import InputError
from unrecur.layers.mixture import LogisticMixture


def values(bits, dtype=torch.float64):
    """All values of a sample."""
    return torch.linspace(-1, 1, 2**bits, dtype=dtype)


def all_probabilities(parameters, bits):
    """P of each value, for one row of parameters."""
    samples = values(bits, parameters.dtype)
    mixture = LogisticMixture(bits)
    rows = parameters.expand(len(samples), -1)
    return torch.exp(-mixture.negative_log_likelihood(rows, samples))


@pytest.mark.parametrize("bits", [1, 2, 8, 12])
@pytest.mark.parametrize(
    ("mean", "log_scale"), [(0.0, -2.0), (0.9, -7.0), (-3.0, 0.0), (0.1, 3.0), (0.3, -12.0)]
)
def test_the_probabilities_sum_to_one(bits, mean, log_scale):
    parameters = torch.tensor([0.3, -1.0, mean, -mean, log_scale, -1.0], dtype=torch.float64)
    assert float(all_probabilities(parameters, bits).sum()) == pytest.approx(1, abs=1e-12)
    single = all_probabilities(parameters.float(), min(bits, 8))
    assert float(single.sum()) == pytest.approx(1, abs=1e-4)


def test_each_probability_is_a_difference_of_distribution_functions():
    torch.manual_seed(0)
    bits, parameters = 6, torch.randn(9, dtype=torch.float64)
    weights, means, scales = parameters.chunk(3)
    weights, scales = weights.softmax(0), scales.exp()

    def below(x):
        return float((weights * torch.sigmoid((x - means) / scales)).sum())

    half = 1 / (2**bits - 1)
    edges = [below(float(x) + half) for x in values(bits)[:-1]]
    expected = [b - a for a, b in zip([0.0, *edges], [*edges, 1.0], strict=True)]
    got = all_probabilities(parameters, bits)
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=0)


@pytest.mark.parametrize("log_scale", [-100.0, -14.0, 0.0, 14.0, 100.0])
@pytest.mark.parametrize("mean", [-1e4, 0.0, 1.0])
@pytest.mark.parametrize("sample", [-1.0, 0.123, 1.0])
def test_single_precision_is_finite_with_finite_gradients(log_scale, mean, sample):
    parameters = torch.tensor([[0.0, mean, log_scale]], requires_grad=True)
    nats = LogisticMixture(16).negative_log_likelihood(parameters, torch.tensor([sample]))
    (gradient,) = torch.autograd.grad(nats.sum(), parameters)
    assert nats.isfinite().all()
    assert gradient.isfinite().all()


def test_single_precision_agrees_with_double():
    torch.manual_seed(0)
    parameters = torch.randn(200, 6, dtype=torch.float64)
    parameters[:, 4:] -= 3
    samples = torch.rand(200, dtype=torch.float64) * 2 - 1
    mixture = LogisticMixture(16)
    exact = mixture.negative_log_likelihood(parameters, samples)
    single = mixture.negative_log_likelihood(parameters.float(), samples.float())
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=1e-4)


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    samples = torch.tensor([-1.0, 0.2, 1.0], dtype=torch.float64)
    parameters = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda p: LogisticMixture(4).negative_log_likelihood(p, samples), parameters
    )


def test_draws_have_the_probabilities_they_should():
    bits, side = 3, 400
    parameters = torch.tensor([0.5, -0.5, -0.6, 0.4, -1.5, -0.5], dtype=torch.float64)
    grid = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    uniform = torch.cartesian_prod(grid, grid)
    drawn = LogisticMixture(bits).at(parameters.expand(len(uniform), -1), uniform)
    number = torch.round((drawn + 1) / 2 * (2**bits - 1)).long()
    torch.testing.assert_close(values(bits)[number], drawn)
    shares = number.bincount(minlength=2**bits) / len(uniform)
    expected = all_probabilities(parameters, bits)
    torch.testing.assert_close(shares.double(), expected, atol=4 / side, rtol=0)


def test_a_draw_at_the_ends_of_the_unit_interval_is_a_sample():
    ends = torch.tensor([[0.0, 0.0], [1 - 1e-7, 1 - 1e-7]])
    drawn = LogisticMixture(16).at(torch.zeros(2, 6), ends)
    assert drawn.tolist() == [-1.0, 1.0]


def test_the_likeliest_mean_is_the_sample():
    mean = torch.zeros(1, requires_grad=True)
    fixed = torch.tensor([0.0]), torch.tensor([math.log(0.1)])
    nats = LogisticMixture(8).negative_log_likelihood(
        torch.cat([fixed[0], mean, fixed[1]])[None], torch.tensor([0.5])
    )
    (gradient,) = torch.autograd.grad(nats.sum(), mean)
    assert float(gradient) < 0  # the mean should grow towards 0.5


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="3 numbers"):
        LogisticMixture().negative_log_likelihood(torch.zeros(1, 4), torch.zeros(1))
    with pytest.raises(InputError, match="at most 16"):
        LogisticMixture(17)
    with pytest.raises(InputError, match="bits"):
        LogisticMixture(0)
