"""Hierarchical attention against a version that climbs the tree one vector at a time."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import unrecur
from unrecur.layers.hierarchical_attention import HierarchicalAttention

WIDTH, HEADS = 6, 2


def layer_of(group):
    torch.manual_seed(0)
    layer = HierarchicalAttention(WIDTH, HEADS, group).double().eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter.data, std=0.6)
    return layer


def of_torch(part):
    theirs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).double().eval()
    theirs.load_state_dict(part.state_dict())
    return theirs


def climb(layer, x):
    """What the docstring says, for one sequence [time, width], with torch's attention."""
    pooling, attention = of_torch(layer.pooling), of_torch(layer.attention)
    group = layer.group

    def attended(theirs, query, memory):
        return theirs(query[None], memory[None], memory[None])[0][0]

    def results(nodes):
        groups = [part + layer.place[: len(part)] for part in nodes.split(group)]
        if len(groups) == 1:
            return attended(attention, groups[0], groups[0])
        summaries = [attended(pooling, layer.query[None], part) for part in groups]
        above = results(torch.cat(summaries))
        pairs = zip(groups, above.split(1), strict=True)
        return torch.cat([attended(attention, part, torch.cat([up, part])) for part, up in pairs])

    return results(x)


@settings(max_examples=30, deadline=None)
@given(time=st.integers(1, 40), group=st.integers(2, 7))
def test_the_tree_is_the_docstrings(time, group):
    layer = layer_of(group)
    x = torch.randn(time, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(layer(x[None])[0][0], climb(layer, x), rtol=0, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(data=st.data(), group=st.integers(2, 5))
def test_padding_reaches_no_valid_step(data, group):
    lengths = data.draw(st.lists(st.integers(1, 30), min_size=1, max_size=4))
    layer = layer_of(group)
    x = torch.randn(len(lengths), max(lengths) + 3, WIDTH, dtype=torch.float64)
    for row, length in enumerate(lengths):
        x[row, length:] = math.nan
    y, _ = layer(x, None, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        alone = climb(layer, x[row, :length])
        torch.testing.assert_close(y[row, :length], alone, rtol=0, atol=1e-9)


def test_a_sequence_of_one_group_gets_full_attention():
    layer = layer_of(10)
    x = torch.randn(3, 10, WIDTH, dtype=torch.float64)
    placed = x + layer.place
    expected, _ = of_torch(layer.attention)(placed, placed, placed)
    torch.testing.assert_close(layer(x)[0], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("time", "levels"), [(4, 1), (5, 2), (16, 2), (17, 3), (256, 4)])
def test_the_path_is_logarithmic_and_the_cost_linear(time, levels):
    """One level for each factor of the group's size, and group + 1 keys for each vector."""
    maps = unrecur.attention_maps(layer_of(4), torch.randn(2, time, WIDTH, dtype=torch.float64))
    assert {name for name in maps if "attention" in name} == {
        f"attention.level {level}" for level in range(levels)
    }
    assert {name for name in maps if "pooling" in name} == {
        f"pooling.level {level}" for level in range(levels - 1)
    }
    for weights in maps.values():
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert sum(weights[0, 0].numel() for weights in maps.values()) <= 8 * time + 30 * levels


def test_every_step_sees_every_step():
    layer = layer_of(3)
    x = torch.randn(1, 40, WIDTH, dtype=torch.float64, requires_grad=True)
    y, _ = layer(x)
    for t in (0, 20, 39):
        (gradient,) = torch.autograd.grad(y[0, t].sum(), x, retain_graph=True)
        assert (gradient[0].abs().sum(-1) > 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": 1}, "group must be at least 2, got 1"),
        ({"group": 0}, "group must be a whole number"),
        ({"group": 4, "heads": 4}, "4 heads for a width of 6"),
    ],
)
def test_bad_input_is_refused(options, message):
    with pytest.raises(unrecur.InputError, match=message):
        HierarchicalAttention(WIDTH, **{"heads": HEADS} | options)
