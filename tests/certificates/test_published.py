"""What others have proved stable, ours prove too; and what is only believed stable, they do not."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from unrecur.cells import GRU, LSTM, MGU, Elman
from unrecur.certificates.chain import NoRuleError
from unrecur.certificates.inputs import points, read_inputs
from unrecur.certificates.norms import Layer, perron, sup_norm
from unrecur.certificates.published import (
    CONDITIONS,
    check_published,
    delta_iss_gru,
    delta_iss_lstm,
    miller_hardt_lstm,
    spectral_elman,
)
from unrecur.certificates.quadratic import quadratic
from unrecur.certificates.reach import Reach

CELLS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10**6),
        "units": st.integers(1, 5),
        "features": st.integers(1, 3),
        "zeros": st.sampled_from([0.0, 0.7]),
        "biases": st.sampled_from([0.0, 1.0, 3.0]),
        "box": st.sampled_from([0.3, 1.0, 3.0]),
    }
)


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def largest_that_holds(kind, condition, drawn, **options):
    """A random cell, scaled up as far as a condition holds."""
    torch.manual_seed(drawn["seed"])
    cell = kind(drawn["features"], drawn["units"], **options).double()
    for parameter in cell.parameters():
        kept = torch.rand_like(parameter) >= drawn["zeros"]
        parameter.normal_().mul_(kept * (drawn["biases"] if parameter.dim() == 1 else 1.0))
    weights = [parameter.clone() for parameter in cell.parameters()]
    inputs = read_inputs(drawn["box"], drawn["features"])

    def scaled(by):
        for parameter, weight in zip(cell.parameters(), weights, strict=True):
            parameter.copy_(by * weight)
        return condition(cell, inputs).holds

    low, high = 0.0, 2.0  # beyond, gates come so near to 1 that rounding opens them
    for _ in range(16):
        middle = (low + high) / 2
        low, high = (middle, high) if scaled(middle) else (low, middle)
    assert scaled(low)
    assume(low > 0)
    return cell, inputs


def proves(rule, cell, inputs):
    try:
        return rule(Layer(Reach(cell, *inputs.ends))).rate < 1
    except NoRuleError:
        return False


@settings(max_examples=4)
@given(CELLS)
def test_the_majorant_proves_whatever_miller_and_hardt_do(drawn):
    cell, inputs = largest_that_holds(LSTM, miller_hardt_lstm, drawn)
    assert proves(sup_norm, cell, inputs)
    assert proves(perron, cell, inputs)


@settings(max_examples=4)
@given(CELLS)
def test_the_majorant_proves_whatever_delta_iss_does_of_a_gru(drawn):
    cell, inputs = largest_that_holds(GRU, delta_iss_gru, drawn)
    assert proves(perron, cell, inputs)


@settings(max_examples=4)
@given(CELLS)
def test_the_majorant_proves_whatever_delta_iss_does_of_an_lstm(drawn):
    cell, inputs = largest_that_holds(LSTM, delta_iss_lstm, drawn)
    assert proves(perron, cell, inputs)


@settings(max_examples=6)
@given(CELLS, st.sampled_from(["tanh", "relu"]))
def test_the_quadratic_metric_proves_whatever_the_spectral_norm_does(drawn, activation):
    cell, inputs = largest_that_holds(Elman, spectral_elman, drawn, activation=activation)
    assert proves(quadratic, cell, inputs)


def one_unit(kind, hidden, bias=None):
    """A cell of one unit, with one recurrent weight and one bias for each gate."""
    cell = kind(1, 1).double()
    for parameter in cell.parameters():
        parameter.fill_(0.0)
    cell.weight_hh_l0.copy_(torch.tensor(hidden)[:, None])
    if bias is not None:
        cell.bias_ih_l0.copy_(torch.tensor(bias))
    return cell


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_the_formulas_by_hand():
    inputs = read_inputs(1.0, 1)
    lstm = one_unit(LSTM, [0.1, 0.05, -0.02, 0.2], [0.3, -1.0, 0.1, 0.4])
    phi = sigmoid(-1.0 + 0.05)
    room = min(1 - phi - 0.1, 1 - phi - 0.2, (1 - phi) / 4 - 0.02, (1 - phi) ** 2 - 0.05)
    assert miller_hardt_lstm(lstm, inputs).margin == pytest.approx(room)

    s_i, s_f, s_o, p = sigmoid(0.4), sigmoid(1.05), sigmoid(0.6), math.tanh(0.12)
    c = s_i * p / (1 - s_f)
    a = c * 0.05 / 4 + s_i * 0.02 + p * 0.1 / 4
    last = s_o * a + math.tanh(c) * 0.2 / 4
    trace, determinant = s_f + last, s_f * last - a * s_o * s_f
    radius = trace / 2 + math.sqrt(trace**2 / 4 - determinant)
    assert delta_iss_lstm(lstm, inputs).margin == pytest.approx(1 - radius)

    gru = one_unit(GRU, [0.3, 0.2, 0.5], [0.1, -0.2, 0.4])
    gru.bias_hh_l0[2] = -0.6
    s_r, s_z, p = sigmoid(0.4), sigmoid(0.4), math.tanh(1.5)
    left = 0.5 * s_r + (0.5 + 0.6) * 0.3 / 4
    right = 1 - (1 + p) / (1 - s_z) * 0.2 / 4
    assert delta_iss_gru(gru, inputs).margin == pytest.approx(right - left)
    assert spectral_elman(one_unit(Elman, [-0.4]), inputs).margin == pytest.approx(0.6)


def test_inputs_and_biases_count():
    lstm = one_unit(LSTM, [0.1, 0.05, 0.02, 0.1])
    lstm.weight_ih_l0[1] = 1.0  # the forget gate's
    near, far = (miller_hardt_lstm(lstm, read_inputs(box, 1)).margin for box in (0.1, 2.0))
    assert near > 0 > far
    below = miller_hardt_lstm(lstm, read_inputs((-2.0, 0.1), 1)).margin
    assert below == near  # a gate is largest at one end
    vectors = torch.tensor([[-2.0], [0.1]]).double()
    assert miller_hardt_lstm(lstm, points(vectors)).margin == pytest.approx(near, abs=1e-6)


@pytest.mark.parametrize("condition", [delta_iss_lstm, miller_hardt_lstm])
def test_a_forget_gate_of_one_fails(condition):
    outcome = condition(
        one_unit(LSTM, [0.0, 0.0, 0.0, 0.0], [0.0, 1e3, 0.0, 0.0]), read_inputs(1.0, 1)
    )
    assert not outcome.holds


def test_an_update_gate_of_one_fails():
    assert not delta_iss_gru(one_unit(GRU, [0.0] * 3, [0.0, 1e3, 0.0]), read_inputs(1.0, 1)).holds


def test_cells_without_biases_have_conditions_too():
    for kind in CONDITIONS:
        outcomes = check_published(kind(2, 3, bias=False), read_inputs(1.0, 2))
        assert list(outcomes) == list(CONDITIONS[kind])
    assert check_published(MGU(2, 3), read_inputs(1.0, 2)) == {}


def wild_condition(cell):
    """Public code that sums |W| over the wrong axis, and knows neither inputs nor biases."""
    i, f, g, o = (part.abs().sum(0).max() for part in cell.weight_hh_l0.chunk(4))
    room = 1 - torch.sigmoid(f)
    return i < room and o < room and g <= room / 4 and f < room**2


def test_two_attractors_that_the_wild_condition_calls_stable():
    cell, inputs = one_unit(LSTM, [0.0, 0.0, 0.12, 0.0], [6.0, 6.0, 0.0, 6.0]), read_inputs(1.0, 1)
    assert wild_condition(cell)
    states = torch.tensor([[5.0, 1.0], [-5.0, -1.0]]).double()
    for _ in range(200):
        states = cell.phi(states, torch.zeros(2, 1).double())
    assert (states[0] - states[1]).abs().max() > 10  # after the same inputs
    assert not any(outcome.holds for outcome in check_published(cell, inputs).values())
    assert not any(proves(rule, cell, inputs) for rule in (sup_norm, perron, quadratic))
