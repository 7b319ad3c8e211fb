"""Projected gradient descent against closed forms, and outputs through windows against Window."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import unrecur
from unrecur.train.projected import last_outputs, projected_descent


def line(weight=0.0, frozen=False):
    """A model of one weight."""
    model = nn.Linear(1, 1, bias=frozen, dtype=torch.float64)
    with torch.no_grad():
        model.weight.fill_(weight)
        if frozen:
            model.bias.fill_(7.0).requires_grad_(False)
    return model


@settings(max_examples=25, deadline=None)
@given(start=st.floats(-5, 5), size=st.floats(0.01, 1.5), steps=st.integers(1, 30))
def test_a_parabola_is_descended_by_its_product(start, size, steps):
    """For (w - 3)^2 the error after N steps is the first times prod (1 - 2 alpha / n)."""
    model = line(start)
    keep = {1, steps}
    found = projected_descent(
        model, lambda: (model.weight - 3).square().sum(), steps, size, None, keep
    )
    assert set(found) == keep
    for n, weights in found.items():
        left = math.prod(1 - 2 * size / m for m in range(1, n + 1))
        assert float(weights) == pytest.approx(3 + (start - 3) * left, abs=1e-9)
    assert float(model.weight.detach()) == float(found[steps])


def test_each_step_is_projected():
    """Clamped to w <= 1: after each step, not at the end only."""
    model = line(0.0)
    seen = []

    def loss():
        seen.append(float(model.weight.detach()))
        return (model.weight - 3).square().sum()

    def project():
        with torch.no_grad():
            model.weight.clamp_(max=1.0)

    found = projected_descent(model, loss, 4, 0.4, project)
    assert seen == [0.0, 1.0, 1.0, 1.0]
    assert float(found[4]) == 1.0


def test_frozen_weights_stay():
    model = line(1.0, frozen=True)
    found = projected_descent(model, lambda: model(torch.ones(1, 1).double()).sum(), 3, 1.0)
    assert found[3].shape == (1,)
    assert float(model.bias) == 7.0


def test_bad_input_of_descent():
    model = line()

    def run(steps=2, size=0.1, **options):
        return projected_descent(model, lambda: model.weight.exp().sum(), steps, size, **options)

    for steps in (0, -2, True):
        with pytest.raises(ValueError, match="steps must be"):
            run(steps=steps)
    for size in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="step_size must be"):
            run(size=size)
    with pytest.raises(ValueError, match="after 3 of 2 steps"):
        run(keep=[3])
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="all are frozen"):
        run()


def test_a_descent_that_diverges_says_so():
    model = line(1.0)
    with pytest.raises(ValueError, match="smaller step_size"):
        projected_descent(model, lambda: model.weight.square().square().sum(), 50, 1e3)


@pytest.mark.parametrize("name", ["elman", "lstm"])
@pytest.mark.parametrize("k", [1, 3, 8])
def test_windows_side_by_side_are_the_truncated_model(name, k):
    """In value and in gradient."""
    torch.manual_seed(0)
    model = unrecur.build(name, in_features=2, out_features=1, hidden=4).double()
    x, count = torch.randn(3, 12, 2, dtype=torch.float64), 5
    values, gradients = [], []
    for y in (last_outputs(model, x, count, k), unrecur.truncate(model, k=k)(x)[0][:, -count:]):
        values.append(y)
        gradients.append(torch.autograd.grad(y.square().sum(), list(model.parameters())))
    torch.testing.assert_close(*values, rtol=0, atol=1e-14)
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_the_full_recurrence_sees_all():
    model = unrecur.build("gru", in_features=2, out_features=1, hidden=4)
    x = torch.randn(3, 12, 2)
    assert torch.equal(last_outputs(model, x, 5), model(x)[0][:, -5:])


def test_bad_input_of_windows():
    model, x = unrecur.build("gru", in_features=2, out_features=1, hidden=4), torch.ones(1, 6, 2)
    assert last_outputs(model, x, 3, 4).shape == (1, 3, 1)
    with pytest.raises(ValueError, match="at least 7 steps, got 6"):
        last_outputs(model, x, 4, 4)
    with pytest.raises(ValueError, match="at least 7 steps, got 6"):
        last_outputs(model, x, 7)
    with pytest.raises(ValueError, match="count must be"):
        last_outputs(model, x, 0, 4)
    with pytest.raises(ValueError, match="k must be"):
        last_outputs(model, x, 3, 0)
