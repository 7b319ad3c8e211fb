"""Complex cells in real numbers: the same states, outputs and Jacobians."""

import pytest
import torch

from unrecur.cells import LRU, DiagonalSSM
from unrecur.exports.real import RealDiagonal


@pytest.mark.parametrize("make", [lambda: LRU(3, 4), lambda: DiagonalSSM(3, 4, modes=2)])
def test_the_pairs_of_reals_are_the_complex_numbers(make):
    torch.manual_seed(0)
    cell = make().double()
    real = RealDiagonal(cell)
    h, x = torch.randn(5, cell.state_size).double(), torch.randn(5, 3).double()
    assert real.state_size == cell.state_size
    torch.testing.assert_close(real.init_state(5), cell.init_state(5))
    torch.testing.assert_close(real.phi(h, x), cell.phi(h, x), rtol=0, atol=1e-14)
    torch.testing.assert_close(real.readout(h), cell.readout(h), rtol=0, atol=1e-14)
    torch.testing.assert_close(real.jacobian(h, x), cell.jacobian(h, x), rtol=0, atol=1e-14)
    by_autograd = torch.func.vmap(torch.func.jacrev(real.phi))(h, x)
    torch.testing.assert_close(real.jacobian(h, x), by_autograd, rtol=0, atol=1e-14)
