"""Each initialisation does what it promises."""

import pytest
import torch

from unrecur import InputError, build
from unrecur.cells import (
    GRU,
    LRU,
    LSTM,
    MGU,
    QRNN,
    Elman,
    MinGRU,
    MinLSTM,
    PeepholeLSTM,
    ProjectedLSTM,
    ResetFirstGRU,
)
from unrecur.layers.initialize import (
    INITIALIZATIONS,
    chrono_,
    forget_bias_,
    identity_,
    orthogonal_,
)
from unrecur.layers.recurrent import Recurrent


def kept(cell):
    """What share of its state each unit keeps on inputs and states of zero."""
    h, x = torch.zeros(1, cell.state_size), torch.zeros(1, cell.input_size)
    if isinstance(cell, (LSTM, PeepholeLSTM, ProjectedLSTM)):
        return cell.activations(h, x)[1][0]
    if isinstance(cell, (GRU, ResetFirstGRU)):
        return cell.activations(h, x)[1][0]
    if isinstance(cell, MGU):
        return 1 - cell.activations(h, x)[0][0]
    return cell.coefficients(x)[0][0, : cell.hidden_size]


GATED = [
    LSTM,
    PeepholeLSTM,
    lambda d, h: ProjectedLSTM(d, h, 2),
    GRU,
    ResetFirstGRU,
    MGU,
    MinGRU,
    QRNN,
]


@pytest.mark.parametrize("make", [LSTM, GRU, MGU, Elman, lambda d, h: ProjectedLSTM(d, h, 3)])
def test_recurrent_weights_are_orthogonal_gate_by_gate(make):
    torch.manual_seed(0)
    model = Recurrent([make(4, 6)])
    orthogonal_(model)
    (cell,) = model.cells
    for block in cell.weight_hh_l0.detach().chunk(cell.gates):
        torch.testing.assert_close(block.mT @ block, torch.eye(block.shape[1]))


def test_an_irnn_keeps_its_state_and_adds_its_inputs():
    torch.manual_seed(0)
    cell = Elman(2, 4, activation="relu")
    identity_(cell)
    h = torch.rand(3, 4)
    assert torch.equal(cell.phi(h, torch.zeros(3, 2)), h)
    torch.testing.assert_close(
        cell.phi(h, torch.ones(3, 2)), torch.relu(h + cell.weight_ih_l0.sum(1))
    )


@pytest.mark.parametrize("make", GATED)
@pytest.mark.parametrize("value", [1.0, -2.0])
def test_a_gate_is_opened_as_far_as_was_said(make, value):
    torch.manual_seed(0)
    cell = make(3, 5)
    forget_bias_(cell, value)
    torch.testing.assert_close(kept(cell), torch.full((5,), value).sigmoid())


def test_a_min_lstm_opens_its_forget_gate_alone():
    torch.manual_seed(0)
    cell = MinLSTM(3, 5)
    before = cell.projection.bias.detach().clone()
    forget_bias_(cell, 2.0)
    assert (cell.projection.bias[:5] == 2).all()
    assert torch.equal(cell.projection.bias[5:], before[5:])


@pytest.mark.parametrize("make", [*GATED, MinLSTM])
def test_time_constants_are_spread_up_to_the_longest(make):
    torch.manual_seed(0)
    cell = make(3, 400)
    chrono_(cell, longest=100)
    share = kept(cell).detach()
    if make is MinLSTM:  # f / (f + i) with i = 1 - f is f
        assert torch.equal(
            *cell.projection.bias.detach()[:800]
            .view(2, 400)
            .mul(torch.tensor([[1.0], [-1.0]]))
            .unbind()
        )
    constants = (1 / (1 - share)).sort().values
    assert constants[0] >= 2 - 1e-4
    assert constants[-1] <= 100 + 1e-2
    uniform = torch.linspace(2, 100, 400)
    assert (constants - uniform).abs().max() < 10


def test_an_lstm_admits_what_it_does_not_keep():
    torch.manual_seed(0)
    cell = LSTM(3, 50)
    chrono_(cell, longest=30)
    i, f, *_ = cell.activations(torch.zeros(1, 100), torch.zeros(1, 3))
    torch.testing.assert_close(i, 1 - f)


def test_models_are_initialised_by_name():
    assert set(INITIALIZATIONS) == {"default", "orthogonal", "identity", "forget_bias", "chrono"}
    sizes = {"in_features": 3, "out_features": 2, "hidden": 5, "layers": 2}
    model = build("elman", activation="relu", initialization="identity", **sizes)
    for cell in model.models[0].cells:
        assert torch.equal(cell.weight_hh_l0, torch.eye(5))
    options = {"longest": 7}
    model = build("gru", initialization="chrono", initialization_options=options, **sizes)
    for cell in model.models[0].cells:
        assert (1 / (1 - kept(cell)) < 7.01).all()


def test_default_draws_nothing():
    torch.manual_seed(0)
    first = build("lstm", in_features=3, out_features=2, hidden=5)
    torch.manual_seed(0)
    second = build("lstm", in_features=3, out_features=2, hidden=5, initialization="default")
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("function", "cell"),
    [
        (orthogonal_, LRU(2, 3)),
        (identity_, LSTM(2, 3)),
        (forget_bias_, Elman(2, 3)),
        (forget_bias_, LSTM(2, 3, bias=False)),
        (lambda cell: chrono_(cell, 9), MinGRU(2, 3, bias=False)),
    ],
)
def test_what_fits_no_cell_is_refused(function, cell):
    with pytest.raises(InputError, match="Use another initialisation"):
        function(cell)


def test_bad_names_and_options_are_refused():
    sizes = {"in_features": 3, "out_features": 2, "hidden": 5}
    with pytest.raises(InputError, match="Did you mean 'chrono'"):
        build("lstm", initialization="chorno", **sizes)
    with pytest.raises(InputError, match="longest"):
        build("lstm", initialization="chrono", **sizes)
    with pytest.raises(InputError, match="at least 3"):
        chrono_(LSTM(2, 3), 2)
