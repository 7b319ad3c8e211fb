"""Torch's modules read as our cells: same weights, same numbers, no copy."""

import pytest
import torch
from torch import nn

from unrecur.cells.from_torch import cells_of
from unrecur.layers.recurrent import Recurrent

MODULES = {
    "rnn": lambda **kw: nn.RNN(3, 4, **kw),
    "rnn-relu": lambda **kw: nn.RNN(3, 4, nonlinearity="relu", **kw),
    "lstm": lambda **kw: nn.LSTM(3, 4, **kw),
    "gru": lambda **kw: nn.GRU(3, 4, **kw),
}
CELLS = {
    "rnn": lambda **kw: nn.RNNCell(3, 4, **kw),
    "rnn-relu": lambda **kw: nn.RNNCell(3, 4, nonlinearity="relu", **kw),
    "lstm": lambda **kw: nn.LSTMCell(3, 4, **kw),
    "gru": lambda **kw: nn.GRUCell(3, 4, **kw),
}


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", MODULES)
def test_the_cells_of_a_module_give_its_outputs(kind, bias, layers):
    torch.manual_seed(0)
    module = MODULES[kind](num_layers=layers, bias=bias, batch_first=True).double()
    cells = cells_of(module)
    x = torch.randn(2, 7, 3, dtype=torch.float64)
    expected, _ = module(x)
    y, _ = Recurrent([cell for (cell,) in cells])(x)
    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("kind", MODULES)
def test_the_backward_cells_come_second(kind):
    torch.manual_seed(0)
    module = MODULES[kind](bidirectional=True, batch_first=True).double()
    ((forward, backward),) = cells_of(module)
    x = torch.randn(2, 7, 3, dtype=torch.float64)
    there, _ = Recurrent([forward])(x)
    back, _ = Recurrent([backward])(x.flip(1))
    torch.testing.assert_close(torch.cat([there, back.flip(1)], -1), module(x)[0])


@pytest.mark.parametrize("kind", CELLS)
def test_a_single_cell_is_read(kind):
    torch.manual_seed(0)
    module = CELLS[kind]().double()
    ((cell,),) = cells_of(module)
    x, h = torch.randn(2, 2, 3, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    if kind == "lstm":
        c = torch.randn(2, 4, dtype=torch.float64)
        shown, kept = module(x[0], (h, c))
        torch.testing.assert_close(
            cell.phi(torch.cat([c, h], -1), x[0]), torch.cat([kept, shown], 1)
        )
    else:
        torch.testing.assert_close(cell.phi(h, x[0]), module(x[0], h))


def test_weights_are_shared():
    module = nn.GRU(3, 4)
    ((cell,),) = cells_of(module)
    with torch.no_grad():
        module.weight_hh_l0.fill_(0.25)
    assert (cell.weight_hh_l0 == 0.25).all()
    assert not cell.weight_hh_l0.requires_grad


@pytest.mark.parametrize(
    ("module", "message"),
    [(nn.LSTM(3, 4, proj_size=2), "proj_size=2 is not supported"), (nn.Linear(3, 4), "got Linear")],
)
def test_what_cannot_be_read_is_refused(module, message):
    with pytest.raises(ValueError, match=message):
        cells_of(module)
