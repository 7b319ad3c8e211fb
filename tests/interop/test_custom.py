"""The cell around a function."""

import pytest
import torch

from contract import verify_contract
from unrecur.cells import GRU
from unrecur.interop.custom import PhiCell
from unrecur.layers.recurrent import Recurrent


def function():
    inner = GRU(3, 5)
    return PhiCell(lambda h, x: inner.phi(h, x), 3, 5, module=inner)


def test_jacobian_is_autograds():
    torch.manual_seed(0)
    cell = function().double()
    h, x = torch.randn(4, cell.state_size).double(), torch.randn(4, 3).double()
    closed = cell.jacobian(h, x)
    for row in range(4):
        expected = torch.autograd.functional.jacobian(lambda s, r=row: cell.phi(s, x[r]), h[row])
        torch.testing.assert_close(closed[row], expected)
        torch.testing.assert_close(cell.jacobian(h[row], x[row]), expected)


def test_the_laws_hold():
    verify_contract(lambda: Recurrent([function()]), torch.randn(2, 7, 3))


def test_a_function_may_show_less_than_it_keeps():
    cell = PhiCell(lambda h, x: 0.5 * h + x, 4, 4, readout=lambda h: h[..., :1], hidden_size=1)
    y, _ = Recurrent([cell])(torch.ones(2, 3, 4))
    assert y.shape == (2, 3, 1)
    assert y[0, -1] == 1.75


@pytest.mark.usefixtures("unchecked")
def test_sizes_are_checked():
    with pytest.raises(ValueError, match="state_size must be a whole number"):
        PhiCell(lambda h, x: h, 1, 0)
