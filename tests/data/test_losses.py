"""Losses against torch's and scikit-learn's, and what is not known."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_pinball_loss

from unrecur import InputError
from unrecur.data.losses import (
    IGNORED,
    QuantileLoss,
    absolute_error,
    bernoulli_nll,
    categorical_bits,
    categorical_nll,
    counted,
    squared_error,
)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_class_costs_minus_its_log_probability():
    scores, target = drawn(2, 3, 5), torch.tensor([[0, 4, IGNORED], [2, 2, 1]])
    losses = categorical_nll(scores, target)
    for row in range(2):
        for step in range(3):
            wanted = 0.0
            if target[row, step] != IGNORED:
                wanted = -math.log(float(scores[row, step].softmax(-1)[target[row, step]]))
            assert float(losses[row, step]) == pytest.approx(wanted, abs=1e-6)
    torch.testing.assert_close(categorical_bits(scores, target) * math.log(2), losses)


@pytest.mark.parametrize(
    ("loss", "power"), [(absolute_error, 1), (squared_error, 2)], ids=["absolute", "squared"]
)
def test_errors_are_means_over_what_is_known(loss, power):
    scores, target = drawn(4, 3), drawn(4, 3, seed=1)
    target[0, 1] = target[2] = math.nan
    for step in range(4):
        known = [
            abs(float(s - t)) ** power for s, t in zip(scores[step], target[step], strict=True)
        ]
        known = [error for error in known if not math.isnan(error)]
        wanted = sum(known) / len(known) if known else 0.0
        assert float(loss(scores, target)[step]) == pytest.approx(wanted, rel=1e-5)


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4, unique=True), st.integers(1, 3))
def test_the_pinball_loss_is_scikit_learns(levels, columns):
    levels = tuple(sorted(levels))
    target, scores = drawn(6, columns), drawn(6, columns * len(levels), seed=1)
    found = QuantileLoss(levels)(scores, target).mean()
    apart = scores.unflatten(-1, (columns, -1))
    wanted = [
        mean_pinball_loss(target.numpy(), apart[..., number].numpy(), alpha=level)
        for number, level in enumerate(levels)
    ]
    assert float(found) == pytest.approx(sum(wanted) / len(wanted), rel=1e-5)


@pytest.mark.parametrize("levels", [(), (0.5, 0.1), (0.5, 0.5), (0.0,), (1.0,), (math.nan,)])
def test_quantiles_out_of_range_are_refused(levels):
    with pytest.raises(InputError, match="quantiles above 0"):
        QuantileLoss(levels)


@pytest.mark.parametrize(
    "loss",
    [bernoulli_nll, absolute_error, squared_error, QuantileLoss((0.5,))],
    ids=["bernoulli", "absolute", "squared", "quantile"],
)
def test_what_is_not_known_has_no_gradient(loss):
    scores = drawn(3, 2).requires_grad_()
    target = torch.rand(3, 2, generator=torch.Generator().manual_seed(0))
    target[0, 0] = target[1] = math.nan
    loss(scores, target).sum().backward()
    assert torch.equal(scores.grad == 0, target.isnan())


def test_steps_count_where_something_is_known():
    numbers = torch.zeros(2, 3, 2)
    numbers[0, 0, 0] = numbers[0, 1] = math.nan
    lengths = torch.tensor([3, 2])
    assert counted(numbers, lengths).tolist() == [[True, False, True], [True, True, False]]
    classes = torch.tensor([[1, IGNORED, 0], [IGNORED, 2, 3]])
    assert counted(classes, lengths).tolist() == [[True, False, True], [False, True, False]]
