"""minGRU and minLSTM in logarithmic form against the package minGRU-pytorch."""

import pytest
import torch
from minGRU_pytorch import minGRU
from minGRU_pytorch.minLSTM import minLSTM

from unrecur.cells import MinGRU, MinLSTM
from unrecur.layers.recurrent import Recurrent

UNITS = 6


@pytest.mark.parametrize(
    ("dtype", "size", "tolerance"), [(torch.float32, 1, 1e-5), (torch.float64, 3, 1e-9)]
)
@pytest.mark.parametrize("time", [1, 2, 63])
@pytest.mark.parametrize(
    ("make", "peer", "order"), [(MinGRU, minGRU, [1, 0]), (MinLSTM, minLSTM, [1, 2, 0])]
)
def test_outputs_and_gradients_are_theirs(make, peer, order, time, dtype, size, tolerance):
    """They stack the candidate first, and start from nothing."""
    torch.manual_seed(0)
    theirs = peer(UNITS).to(dtype)
    ours = make(UNITS, UNITS, activation="positive", bias=False, dtype=dtype)
    (weight,) = theirs.parameters()
    with torch.no_grad():
        weight.mul_(size)
        blocks = weight.chunk(len(order))
        ours.projection.weight.copy_(torch.cat([blocks[place] for place in order]))
    x = torch.randn(3, time, UNITS, dtype=dtype)
    y, _ = Recurrent([ours])(x)
    expected = theirs(x)
    torch.testing.assert_close(y, expected, rtol=0, atol=tolerance)
    (mine,) = torch.autograd.grad(y.square().mean(), [ours.projection.weight])
    (other,) = torch.autograd.grad(expected.square().mean(), [weight])
    blocks = other.chunk(len(order))
    torch.testing.assert_close(
        mine, torch.cat([blocks[place] for place in order]), rtol=0, atol=tolerance
    )


def test_states_that_start_positive_stay_so():
    torch.manual_seed(0)
    cell = MinGRU(3, 5, activation="positive")
    h = torch.full((4, 5), 1e-3)
    for x in 5 * torch.randn(50, 4, 3):
        h = cell.phi(h, x)
        assert (h > 0).all()
