"""Cells against torch's modules, autograd and their own loop."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cases import CELLS, FEATURES
from unrecur.cells import GRU, LSTM, Elman
from unrecur.layers.recurrent import Recurrent
from unrecur.solvers.sequential import sequential

TORCH = {
    "elman": (Elman, nn.RNN),
    "lstm": (LSTM, nn.LSTM),
    "gru": (GRU, nn.GRU),
}


@pytest.mark.parametrize("name", CELLS)
def test_jacobian_is_autograds(name):
    torch.manual_seed(0)
    cell = CELLS[name](FEATURES, 5).double()
    h, x = torch.randn(4, cell.state_size).double(), torch.randn(4, FEATURES).double()
    closed = cell.jacobian(h, x)
    for row in range(4):
        expected = torch.autograd.functional.jacobian(lambda s, r=row: cell.phi(s, x[r]), h[row])
        torch.testing.assert_close(closed[row], expected)


@pytest.mark.parametrize("name", ["elman", "elman-relu", "lstm", "gru"])
@pytest.mark.parametrize("time", [1, 2, 63])
def test_fused_kernel_is_the_loop(name, time):
    torch.manual_seed(0)
    cell = CELLS[name](FEATURES, 5).double()
    x = torch.randn(2, time, FEATURES).double().requires_grad_()
    h = torch.randn(2, cell.state_size).double().requires_grad_()
    states = sequential(cell, x, h)
    y, last = cell.fused(x, h)
    torch.testing.assert_close(y, cell.readout(states))
    torch.testing.assert_close(last, states[:, -1])
    wanted = [x, h, *cell.parameters()]
    by_loop = torch.autograd.grad(states[:, -1].sum(), wanted, allow_unused=True)
    by_kernel = torch.autograd.grad(last.sum(), wanted, allow_unused=True)
    torch.testing.assert_close(by_kernel, by_loop)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("name", TORCH)
@settings(max_examples=10, deadline=None)
@given(batch=st.integers(1, 5), time=st.integers(1, 20), seed=st.integers(0, 1000))
def test_equal_to_torch(name, layers, bias, batch, time, seed):
    """Values, final state and gradients, with a state and lengths handed in."""
    torch.manual_seed(seed)
    make, module = TORCH[name]
    theirs = module(FEATURES, 5, num_layers=layers, bias=bias, batch_first=True).double()
    sizes = [FEATURES] + [5] * (layers - 1)
    ours = Recurrent([make(size, 5, bias=bias) for size in sizes]).double()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(batch, time, FEATURES).double()
    lengths = torch.randint(1, time + 1, (batch,))
    start = tuple(torch.randn(batch, cell.state_size).double() for cell in ours.cells)

    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected, last = theirs(packed, to_torch(name, start))
    expected, _ = nn.utils.rnn.pad_packed_sequence(expected, batch_first=True, total_length=time)
    y, state = ours(x, start, lengths)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(to_torch(name, state), last)

    mine = torch.autograd.grad(y.square().sum(), list(ours.parameters()))
    other = torch.autograd.grad(expected.square().sum(), list(theirs.parameters()))
    torch.testing.assert_close(mine, other)


def to_torch(name, state):
    """Our tuple of flat states as torch's [layers, batch, units], or a pair of them."""
    stacked = torch.stack(state)
    if name == "lstm":
        cell, hidden = stacked.chunk(2, -1)
        return hidden.contiguous(), cell.contiguous()
    return stacked


def test_initialisation_is_torchs():
    torch.manual_seed(3)
    ours = LSTM(4, 6)
    torch.manual_seed(3)
    theirs = nn.LSTM(4, 6)
    for (_, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.usefixtures("unchecked")
def test_unknown_activation_suggests_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'tanh'"):
        Elman(3, 4, activation="tan")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_sizes_are_checked(size):
    with pytest.raises(ValueError, match="whole number of at least 1"):
        LSTM(3, size)
