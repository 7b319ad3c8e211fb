"""The comparison before a file is kept: what it refuses, and what it says."""

import pytest
import torch

import unrecur
from unrecur._check import InputError
from unrecur.core.state import leaves
from unrecur.exports.forms import Traced, ports
from unrecur.exports.verify import verify
from unrecur.layers.embedding import Embedding
from unrecur.layers.positions import Positions


def model():
    torch.manual_seed(0)
    return unrecur.build("gru", in_features=3, out_features=2, hidden=4).eval()


def checked(spoil, form="block", samples=(), k=None):
    """Verify a model against itself, its outputs spoilt on the way."""
    gru = model()
    traced = Traced(gru, form)

    @torch.no_grad()
    def run(inputs):
        return spoil([part.clone() for part in traced(*inputs)])

    return verify(run, gru, form, k, ports(gru, form, k)[1], list(samples), 1e-4)


@pytest.mark.parametrize("form", ["block", "step"])
def test_what_agrees_is_listed(form):
    checks = checked(lambda parts: parts, form, [torch.rand(2, 7, 3)])
    assert [(c.batch, c.time, c.inputs) for c in checks[-2:]] == [
        (3, 63, "random"),
        (2, 7, "samples"),
    ]
    assert {(c.batch, c.time) for c in checks} >= {(b, t) for b in (1, 3) for t in (1, 2, 63)}
    assert max(c.largest for c in checks) == 0


def test_a_window_is_run_at_three_batches():
    checks = checked(lambda parts: parts, "window", [torch.rand(2, 9, 3), torch.rand(2, 4, 3)], k=5)
    assert [(c.batch, c.time) for c in checks] == [(1, 5), (2, 5), (3, 5), (2, 5)]


def add(place, value):
    def spoil(parts):
        parts[place][-1, ..., -1] += value
        return parts

    return spoil


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (0, 0.25, r"y differs from the model by 0.25 at \[0, 0, 1\] for random inputs of 1 rows"),
        (1, 0.25, r"next_state\.0\.0 differs from the model by 0.25 at \[0, 3\]"),
        (0, torch.nan, "y differs from the model by inf .* got nan"),
        (1, torch.inf, r"next_state\.0\.0 differs from the model by inf"),
    ],
)
def test_a_difference_is_refused_and_placed(place, value, words):
    with pytest.raises(InputError, match=words):
        checked(add(place, value))


def test_a_difference_that_only_the_state_shows_is_found():
    calls = []

    def forget(parts):
        calls.append(parts)
        if len(calls) == 4:  # the second half of a block of two steps
            parts[1] = parts[1] * 0
        return parts

    with pytest.raises(InputError, match="next_state"):
        checked(forget)


def test_another_shape_is_refused():
    with pytest.raises(InputError, match=r"y has the shape \[1, 1, 1\].*the model's has"):
        checked(lambda parts: [parts[0][..., :1], parts[1]])


def test_nan_where_the_model_has_nan_is_no_difference():
    gru = model()
    for parameter in gru.parameters():
        parameter.data.fill_(torch.nan)
    traced = Traced(gru, "step")

    def run(inputs):
        with torch.no_grad():
            return list(traced(*inputs))

    assert verify(run, gru, "step", None, ports(gru, "step", None)[1], [], 1e-4)[0].largest == 0


def test_shapes_that_the_model_refuses_are_left_out_while_enough_are_left():
    short = unrecur.Serial(Embedding(5, 4), Positions(4, "learned", longest=2)).eval()
    outputs = ports(short, "block", None)[1]
    traced = Traced(short, "block")

    def run(inputs):
        with torch.no_grad():
            return list(traced(*inputs))

    checks = verify(run, short, "block", None, outputs, [], 1e-4)
    assert {check.time for check in checks} == {1, 2}
    assert [leaf.dtype for leaf in leaves(short.init_state(1))] == [torch.int64]
    with pytest.raises(InputError, match="table of learned positions"):
        verify(run, short, "block", None, outputs, [torch.zeros(1, 3, dtype=torch.long)], 1e-4)
