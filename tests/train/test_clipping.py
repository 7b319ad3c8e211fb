"""Clipping: as torch does it, as a slow loop does it, and never over what is not finite."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unrecur import InputError
from unrecur.train.clipping import LEAST_WEIGHT, clip_

KINDS = ("norm", "value", "adaptive")
SHAPES = st.lists(st.lists(st.integers(1, 5), max_size=3).map(tuple), min_size=1, max_size=4)


def parameters(shapes, seed, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    found = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    for parameter in found:
        parameter.grad = scale * torch.randn(parameter.shape, generator=generator)
    return [*found, nn.Parameter(torch.ones(2))]  # the last has no gradient


def gradients(found):
    return [parameter.grad for parameter in found[:-1]]


def clipped_by_a_loop(weight, gradient, limit):
    """Unit by unit, a unit being what one index of the first dimension holds."""
    if weight.dim() < 2:
        weight, gradient = weight.reshape(1, -1), gradient.reshape(1, -1)
    rows = []
    for w, g in zip(weight, gradient, strict=True):
        size = math.sqrt(sum(float(v) ** 2 for v in w.flatten()))
        slope = math.sqrt(sum(float(v) ** 2 for v in g.flatten()))
        largest = limit * max(size, LEAST_WEIGHT)
        rows.append(g * largest / slope if slope > largest else g)
    return torch.stack(rows)


@settings(max_examples=30)
@given(shapes=SHAPES, seed=st.integers(0, 99), limit=st.floats(1e-3, 20))
def test_norm_and_value_are_torchs(shapes, seed, limit):
    for kind, theirs in (
        ("norm", nn.utils.clip_grad_norm_),
        ("value", nn.utils.clip_grad_value_),
    ):
        ours, reference = parameters(shapes, seed), parameters(shapes, seed)
        before = math.sqrt(sum(float(g.square().sum()) for g in gradients(ours)))
        theirs(reference, limit)
        assert clip_(iter(ours), limit, kind) == pytest.approx(before, rel=1e-5)
        for a, b in zip(gradients(ours), gradients(reference), strict=True):
            assert torch.equal(a, b)
        assert ours[-1].grad is None


@settings(max_examples=30)
@given(shapes=SHAPES, seed=st.integers(0, 99), limit=st.floats(1e-3, 20))
def test_adaptive_is_a_loop_over_units(shapes, seed, limit):
    found = parameters(shapes, seed)
    with torch.no_grad():
        found[0].mul_(1e-5)  # below the least weight
    expected = [clipped_by_a_loop(p.detach(), p.grad.clone(), limit) for p in found[:-1]]
    before = math.sqrt(sum(float(g.square().sum()) for g in gradients(found)))
    assert clip_(found, limit, "adaptive") == pytest.approx(before, rel=1e-5)
    for gradient, right in zip(gradients(found), expected, strict=True):
        torch.testing.assert_close(gradient.reshape(right.shape), right)


def test_adaptive_treats_each_row_by_its_own_weights():
    weight = nn.Parameter(torch.tensor([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]]))
    weight.grad = torch.tensor([[0.0, 10.0], [1.0, 0.0], [0.0, 0.0]])
    assert clip_([weight], 0.1, "adaptive") == pytest.approx(math.sqrt(101))
    torch.testing.assert_close(weight.grad, torch.tensor([[0.0, 0.5], [1e-4, 0.0], [0.0, 0.0]]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_left_to_the_guard(kind, bad):
    found = parameters([(2, 3), (3,)], 0, scale=100.0)
    found[1].grad[2] = bad
    before = [gradient.clone() for gradient in gradients(found)]
    assert not math.isfinite(clip_(found, 0.5, kind))
    for now, then in zip(gradients(found), before, strict=True):
        torch.testing.assert_close(now, then, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("kind", KINDS)
def test_without_gradients_there_is_nothing_to_clip(kind):
    assert clip_([nn.Parameter(torch.ones(3))], 1.0, kind) == 0.0


@pytest.mark.parametrize("limit", [0.0, -1.0, math.inf, math.nan])
def test_a_limit_that_is_none_is_refused(limit):
    with pytest.raises(InputError, match="clip must be a finite number above 0"):
        clip_(parameters([(2,)], 0), limit)


def test_an_unknown_kind_is_refused(unchecked):
    with pytest.raises(InputError, match=r"unknown clipping 'norms'. Did you mean 'norm'\?"):
        clip_(parameters([(2,)], 0), 1.0, "norms")
