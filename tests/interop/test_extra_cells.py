"""The cells that torch has not, and the one around a function."""

import pytest
import torch
from torch import nn

from contract import verify_contract
from unrecur.cells import GRU, LSTM
from unrecur.interop.cells import PeepholeLSTM, ResetFirstGRU
from unrecur.interop.custom import PhiCell
from unrecur.layers.recurrent import Recurrent
from unrecur.solvers.sequential import sequential


def peephole():
    cell = PeepholeLSTM(3, 5)
    nn.init.normal_(cell.weight_peephole_l0)
    return cell


def function():
    inner = GRU(3, 5)
    return PhiCell(lambda h, x: inner.phi(h, x), 3, 5, module=inner)


CELLS = {
    "gru_reset_first": lambda: ResetFirstGRU(3, 5),
    "gru_reset_first-without-bias": lambda: ResetFirstGRU(3, 5, bias=False),
    "lstm_peephole": peephole,
    "function": function,
}


@pytest.mark.parametrize("name", CELLS)
def test_jacobian_is_autograds(name):
    torch.manual_seed(0)
    cell = CELLS[name]().double()
    h, x = torch.randn(4, cell.state_size).double(), torch.randn(4, 3).double()
    closed = cell.jacobian(h, x)
    for row in range(4):
        expected = torch.autograd.functional.jacobian(lambda s, r=row: cell.phi(s, x[r]), h[row])
        torch.testing.assert_close(closed[row], expected)
        torch.testing.assert_close(cell.jacobian(h[row], x[row]), expected)


@pytest.mark.parametrize("name", CELLS)
def test_the_laws_hold(name):
    verify_contract(lambda: Recurrent([CELLS[name]()]), torch.randn(2, 7, 3))


def test_without_peepholes_it_is_the_lstm():
    torch.manual_seed(0)
    plain, cell = LSTM(3, 4).double(), PeepholeLSTM(3, 4).double()
    cell.load_state_dict(plain.state_dict(), strict=False)
    x, h = torch.randn(2, 6, 3).double(), torch.randn(2, 8).double()
    torch.testing.assert_close(sequential(cell, x, h), sequential(plain, x, h))


def test_a_gru_that_never_resets_is_the_same_either_way():
    torch.manual_seed(0)
    after, before = GRU(3, 4).double(), ResetFirstGRU(3, 4).double()
    with torch.no_grad():
        after.bias_ih_l0[:4] = 100.0
    before.load_state_dict(after.state_dict())
    x, h = torch.randn(2, 6, 3).double(), torch.randn(2, 4).double()
    torch.testing.assert_close(sequential(before, x, h), sequential(after, x, h))


def test_a_function_may_show_less_than_it_keeps():
    cell = PhiCell(lambda h, x: 0.5 * h + x, 4, 4, readout=lambda h: h[..., :1], hidden_size=1)
    y, _ = Recurrent([cell])(torch.ones(2, 3, 4))
    assert y.shape == (2, 3, 1)
    assert y[0, -1] == 1.75


@pytest.mark.usefixtures("unchecked")
def test_sizes_are_checked():
    with pytest.raises(ValueError, match="state_size must be a whole number"):
        PhiCell(lambda h, x: h, 1, 0)
