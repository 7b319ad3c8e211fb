"""Recurrences of live modules."""

import pytest
import torch
from torch import nn

from unrecur._check import InputError
from unrecur.cells import GRU, LSTM, MGU
from unrecur.interop.custom import PhiCell
from unrecur.interop.modules import layers_of
from unrecur.interop.read import read_recurrences
from unrecur.interop.recurrence import run
from unrecur.layers.recurrent import Recurrent

KINDS = {"elman": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class Several(nn.Module):
    """An encoder, a decoder of single cells, and a wrapper."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
        self.decoder = nn.ModuleList([nn.GRUCell(8, 5), nn.RNNCell(5, 5, nonlinearity="relu")])
        self.rest = nn.Sequential(nn.Linear(5, 5), Recurrent([LSTM(5, 2), MGU(2, 2)]))
        self.again = self.encoder


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_module_is_read_whole(kind, layers, bidirectional):
    torch.manual_seed(0)
    module = KINDS[kind](3, 4, layers, batch_first=True, bidirectional=bidirectional).double()
    [found] = read_recurrences(module)
    x = torch.randn(2, 7, 3, dtype=torch.float64)
    expected, last = module(x)
    y, states = run(found, x)
    torch.testing.assert_close(y, expected)
    hidden = torch.stack([state[..., -4:] for layer in states for state in layer])
    torch.testing.assert_close(hidden, last[0] if kind == "lstm" else last)
    assert found.kind == kind
    assert found.source == KINDS[kind].__name__


def test_several_are_found_by_name_and_shared_ones_once():
    found = read_recurrences(Several())
    assert [(one.name, one.kind) for one in found] == [
        ("encoder", "lstm"),
        ("decoder.0", "gru"),
        ("decoder.1", "elman"),
        ("rest.1", "lstm+mgu"),
    ]
    assert [len(layer) for layer in found[0].cells] == [2, 2]


def test_one_is_selected():
    [found] = read_recurrences(Several(), select="decoder.0")
    assert found.kind == "gru"
    with pytest.raises(InputError, match=r"Did you mean 'encoder'.*decoder\.0, decoder\.1"):
        read_recurrences(Several(), select="encodr")


def test_the_weights_are_shared():
    module = nn.GRU(3, 4)
    [found] = read_recurrences(module)
    with torch.no_grad():
        module.weight_hh_l0.fill_(0.25)
    assert (found.cells[0][0].weight_hh_l0 == 0.25).all()


def test_states_to_start_from_may_be_given():
    torch.manual_seed(0)
    module = nn.GRU(3, 4, batch_first=True)
    x, h = torch.randn(2, 5, 3), torch.randn(2, 4)
    y, _ = run(read_recurrences(module)[0], x, [[h]])
    torch.testing.assert_close(y, module(x, h[None])[0])


def test_a_registered_type_is_read():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.GRUCell(3, 4)  # must not be found beside its owner

    layers_of.register(
        Own, lambda module: [[PhiCell(lambda h, x: module.inner(x, h), 3, 4, module=module)]]
    )
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), Own())
    [found] = read_recurrences(model)
    assert (found.name, found.kind) == ("1", "PhiCell")
    x = torch.randn(2, 5, 3)
    h = torch.zeros(2, 4)
    for x_t in x.unbind(1):
        h = model[1].inner(x_t, h)
    torch.testing.assert_close(run(found, x)[0][:, -1], h)


def test_a_module_without_recurrence_is_refused():
    with pytest.raises(InputError, match=r"Linear: expected a recurrence.*got none"):
        read_recurrences(nn.Linear(3, 4))


def test_what_cannot_be_represented_does_not_hide_the_rest():
    model = nn.ModuleDict({"a": nn.LSTM(3, 4, proj_size=2), "b": nn.GRU(3, 4)})
    with pytest.raises(InputError, match=r"recurrence 'a'.*proj_size=2.*select=\['b'\]"):
        read_recurrences(model)
    [found] = read_recurrences(model, select="b")
    assert found.kind == "gru"


def test_weights_that_are_no_numbers_are_refused():
    module = nn.GRU(3, 4)
    with torch.no_grad():
        module.weight_hh_l0[0, 0] = float("nan")
    with pytest.raises(InputError, match="1 NaN or infinite values in weight_hh_l0"):
        read_recurrences(module)
    with pytest.raises(InputError, match="meta device"):
        read_recurrences(nn.GRU(3, 4, device="meta"))


def test_a_cell_of_ours_is_its_own_recurrence():
    [found] = read_recurrences(GRU(3, 4))
    assert (found.name, found.kind) == ("gru", "gru")
    with pytest.raises(InputError, match="got Linear"):
        layers_of(nn.Linear(3, 4))
