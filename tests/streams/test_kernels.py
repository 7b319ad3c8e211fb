"""Step forms that hold their state against the cells' own equations."""

import pytest
import torch

from cases import CELLS
from unrecur.streams.kernels import HeldCell, kernel

WITHOUT_BIAS = ("elman", "lstm", "gru")


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", [*CELLS, *(f"{name}-without-bias" for name in WITHOUT_BIAS)])
def test_steps_are_the_cells(name, batch):
    torch.manual_seed(0)
    plain = name.removesuffix("-without-bias")
    cell = CELLS[plain](3, 4, **({} if plain == name else {"bias": False})).double()
    steps = kernel(cell, batch)
    assert isinstance(steps, HeldCell) == (plain.partition("-")[0] not in WITHOUT_BIAS)
    with torch.no_grad():
        h = torch.rand(batch, cell.state_size, dtype=torch.float64)
        kept = h.clone()
        steps.load(h)
        for x_t in torch.randn(5, batch, 3, dtype=torch.float64):
            y, h = steps(x_t), cell.phi(h, x_t)
            torch.testing.assert_close(y, cell.readout(h), rtol=0, atol=1e-12)
            torch.testing.assert_close(steps.state(), h, rtol=0, atol=1e-12)
        first = steps.state()
        steps(x_t)
        torch.testing.assert_close(first, h, rtol=0, atol=1e-12)  # a tensor of its own
        steps.load(kept)
        torch.testing.assert_close(steps.state(), kept, rtol=0, atol=0)
