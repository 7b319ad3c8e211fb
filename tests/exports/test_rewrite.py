"""The copy that an exporter traces: the same function, and the model itself untouched."""

import pytest
import torch

import unrecur
from unrecur._check import InputError
from unrecur.cells import GRU, LSTM, MGU, Elman
from unrecur.core.compose import Pointwise
from unrecur.core.state import leaves
from unrecur.exports.nodes import as_node
from unrecur.exports.rewrite import Scanned, WholeAttention, exportable
from unrecur.layers.attention import CausalAttention
from unrecur.layers.recurrent import Recurrent


@pytest.mark.parametrize("positions", ["none", "relative", "rotary"])
@pytest.mark.parametrize(("first", "second"), [(1, 1), (2, 11), (9, 1)])
def test_attention_to_all_keys_is_attention_in_pieces(positions, first, second):
    torch.manual_seed(0)
    layer = CausalAttention(8, heads=2, window=4, positions=positions).double().eval()
    if layer.relative is not None:
        torch.nn.init.normal_(layer.relative)
    whole, x = WholeAttention(layer), torch.randn(3, first + second, 8).double()
    expected, state = layer(x)
    y, between = whole(x[:, :first])
    rest, after = whole(x[:, first:], between)
    torch.testing.assert_close(torch.cat([y, rest], 1), expected, rtol=0, atol=1e-12)
    for a, b in zip(leaves(after), leaves(state), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    last, _ = whole.step(x[:, -1], whole(x[:, :-1])[1])
    torch.testing.assert_close(last, expected[:, -1], rtol=0, atol=1e-12)


def test_the_model_stays_as_it_was():
    shared = Pointwise(torch.nn.Linear(3, 3), 3)
    model = unrecur.Serial(shared, Recurrent([LSTM(3, 3)]), shared).train()
    twin = exportable(model, nodes=True)
    assert [type(part) for part in twin.models] == [Pointwise, Scanned, Pointwise]
    assert twin.models[0] is twin.models[2]
    assert not any(module.training for module in twin.modules())
    assert not any(parameter.requires_grad for parameter in twin.parameters())
    assert isinstance(model.models[1], Recurrent)
    assert model.models[1].training
    assert all(parameter.requires_grad for parameter in model.parameters())
    x, start = torch.randn(2, 3), model.init_state(2)
    torch.testing.assert_close(twin.step(x, start), model.step(x, start))


def test_cells_that_onnx_has_a_node_for():
    operators = [getattr(as_node(make(3, 4)), "operator", None) for make in (LSTM, GRU, Elman, MGU)]
    assert operators == ["::LSTM", "::GRU", "::RNN", None]
    assert as_node(Elman(3, 4, activation="leaky_relu")) is None


def test_rows_of_several_lengths_are_refused():
    twin = exportable(Recurrent([GRU(3, 4)]), nodes=False)
    with pytest.raises(InputError, match="takes no lengths"):
        twin(torch.randn(2, 5, 3), None, torch.tensor([3, 5]))
