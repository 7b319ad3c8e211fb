"""The attack against closed forms and exhaustive search: a weak attack flatters every bound."""

import itertools

import pytest
import torch

from unrecur.cells import GRU, LSTM, Elman
from unrecur.certificates.attack import attack, attack_curve
from unrecur.certificates.contraction import certify
from unrecur.certificates.inputs import points
from unrecur.layers.recurrent import Recurrent


def linear_cell(weight):
    """A rectifier cell that never bends: its states stay positive."""
    cell = Elman(1, len(weight), activation="relu", dtype=torch.float64)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.weight_hh_l0.copy_(weight)
        cell.bias_hh_l0.fill_(10.0)
    return cell


@pytest.mark.parametrize("k", [0, 1, 5])
def test_a_linear_cell_is_worst_at_the_row_sum(k):
    weight = torch.tensor([[0.3, -0.4], [0.5, 0.2]], dtype=torch.float64)
    one = torch.ones(2, dtype=torch.float64)
    found = attack(linear_cell(weight), k, 1.0, start="zero", state_box=[(-one, one)])
    expected = float(torch.linalg.matrix_power(weight, k).abs().sum(1).max())
    assert found.error == pytest.approx(expected, rel=1e-9)
    pair = attack(linear_cell(weight), k, 1.0, start="any", state_box=[(-one, one)])
    assert pair.error == pytest.approx(2 * expected, rel=1e-9)


@pytest.mark.parametrize("make", [LSTM, GRU])
@pytest.mark.parametrize("k", [3, 6])
def test_it_finds_nearly_the_worst_of_all_token_sequences(make, k):
    torch.manual_seed(3)
    cell = make(2, 2, dtype=torch.float64)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.mul_(2)
    table = torch.eye(2, dtype=torch.float64)
    one = torch.ones(cell.state_size, dtype=torch.float64)
    x = table[torch.tensor(list(itertools.product((0, 1), repeat=k)))]
    worst = 0.0
    for corner in itertools.product((-1.0, 1.0), repeat=cell.state_size):
        h, zero = torch.tensor(corner).double().expand(len(x), -1), torch.zeros(len(x), len(one))
        zero = zero.double()
        for t in range(k):
            with torch.no_grad():
                h, zero = cell.phi(h, x[:, t]), cell.phi(zero, x[:, t])
        worst = max(worst, float((cell.readout(h) - cell.readout(zero)).abs().max()))
    found = attack(cell, k, points(table), start="zero", state_box=[(-one, one)])
    assert found.error >= 0.97 * worst


def test_what_it_reports_can_be_replayed():
    torch.manual_seed(0)
    layer = Recurrent([LSTM(2, 3), GRU(3, 4)]).double()
    box = certify(layer, 1.0, horizon=50).state_box or [
        (-torch.ones(6).double(), torch.ones(6).double()),
        (-torch.ones(4).double(), torch.ones(4).double()),
    ]
    found = attack(layer, 4, (-1.0, 1.0), start="any", state_box=box, restarts=8)
    assert (found.inputs.abs() <= 1).all()
    outputs = []
    for start in found.starts:
        state = (start[None, :6], start[None, 6:])
        with torch.no_grad():
            y, _ = layer(found.inputs[None], state)
        outputs.append(y[0, -1])
    gap = float((outputs[0] - outputs[1]).abs().max())
    assert gap == pytest.approx(found.error, rel=1e-9)


@pytest.mark.slow
def test_inputs_alone_and_a_curve():
    torch.manual_seed(0)
    cell = GRU(2, 6).double()
    curve = attack_curve(cell, [8, 2], 1.0, restarts=16)
    assert [found.k for found in curve] == [8, 2]
    assert len(curve[1].inputs) == 32 + 2
    assert 0 < curve[0].error < curve[1].error
    again = attack_curve(cell, [8, 2], 1.0, restarts=16)
    assert [found.error for found in again] == [found.error for found in curve]


def test_an_unstable_cell_overflows_to_infinity_not_to_zero():
    cell = linear_cell(torch.full((2, 2), 1e200, dtype=torch.float64))
    one = torch.ones(2, dtype=torch.float64)
    found = attack(cell, 4, 1.0, start="zero", state_box=[(0 * one, one)], restarts=4)
    assert found.error == float("inf")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (torch.nn.LSTM(2, 3, bidirectional=True), {}, "causal"),
        (torch.nn.Linear(2, 3), {}, "no rule for Linear"),
        (LSTM(2, 3), {"start": "zero"}, "state_box"),
        (LSTM(2, 3), {"start": "nowhere"}, "unknown start"),
        (LSTM(2, 3), {"k": -1}, "at least 0"),
        (LSTM(2, 3), {"start": "any", "state_box": [(torch.zeros(2), torch.ones(2))]}, "6 numbers"),
        (LSTM(2, 3), {"restarts": 0}, "restarts"),
        (LSTM(2, 3), {"input_box": None}, "input_box"),
    ],
)
def test_what_cannot_be_attacked_is_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        attack(model, **{"k": 2, "input_box": 1.0, **options})
