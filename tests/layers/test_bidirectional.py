"""The bidirectional layer against torch's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unrecur import InputError
from unrecur.cells import GRU, LSTM, Elman
from unrecur.layers.bidirectional import Bidirectional, reverse

PAIRS = [(nn.LSTM, LSTM), (nn.GRU, GRU), (nn.RNN, Elman)]


def both(theirs, ours, layers, features=3, hidden=4):
    """Torch's module and our layer, with the same weights, in float64."""
    peer = theirs(features, hidden, layers, batch_first=True, bidirectional=True).double()
    widths = [features] + [2 * hidden] * (layers - 1)
    layer = Bidirectional([(ours(width, hidden), ours(width, hidden)) for width in widths]).double()
    layer.load_state_dict(peer.state_dict())
    return peer, layer


@settings(max_examples=10)
@given(
    pair=st.sampled_from(PAIRS),
    layers=st.integers(1, 3),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
)
def test_outputs_are_torchs_on_packed_rows(pair, layers, lengths):
    torch.manual_seed(0)
    peer, layer = both(*pair, layers)
    lengths = torch.tensor(lengths)
    x = torch.randn(len(lengths), 9, 3, dtype=torch.float64)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(peer(packed)[0], batch_first=True, total_length=9)
    for row, length in enumerate(lengths):
        x[row, length:] = float("nan")
    y, state = layer(x, None, lengths)
    assert state == ()
    for row, length in enumerate(lengths):
        torch.testing.assert_close(y[row, :length], expected[row, :length], rtol=0, atol=1e-12)


@pytest.mark.parametrize("pair", PAIRS, ids=["lstm", "gru", "elman"])
def test_outputs_and_gradients_are_torchs_on_a_block(pair):
    torch.manual_seed(1)
    peer, layer = both(*pair, layers=2)
    x = torch.randn(3, 7, 3, dtype=torch.float64)
    weight = torch.randn(3, 7, 8, dtype=torch.float64)
    results = []
    for model in (peer, layer):
        inputs = x.clone().requires_grad_()
        y = model(inputs)[0]
        results.append((y, torch.autograd.grad((y * weight).sum(), inputs)[0]))
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_a_row_turned_around_twice_is_the_row():
    x = torch.arange(10.0).view(2, 5)
    lengths = torch.tensor([5, 3])
    assert reverse(x, lengths).tolist() == [[4, 3, 2, 1, 0], [7, 6, 5, 9, 8]]
    assert torch.equal(reverse(reverse(x, lengths), lengths), x)


def test_dropout_falls_between_the_layers_alone():
    torch.manual_seed(0)
    pairs = [(GRU(3, 4), GRU(3, 4)), (GRU(8, 4), GRU(8, 4))]
    x = torch.randn(2, 5, 3)
    one = Bidirectional(pairs[:1], dropout=0.5)
    assert torch.equal(one(x)[0], one(x)[0])
    two = Bidirectional(pairs, dropout=0.5)
    assert not torch.equal(two(x)[0], two(x)[0])
    assert torch.equal(two.eval()(x)[0], two(x)[0])


def test_cells_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="at least one pair"):
        Bidirectional([])
    with pytest.raises(InputError, match="reads 4 features where 8 come"):
        Bidirectional([(GRU(3, 4), GRU(3, 4)), (GRU(8, 4), GRU(4, 4))])


def test_a_step_is_refused_with_the_cure():
    layer = Bidirectional([(GRU(3, 4), GRU(3, 4))])
    with pytest.raises(InputError, match="Give it whole sequences"):
        layer.step(torch.randn(2, 3))
