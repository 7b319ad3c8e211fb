"""Gradient flow against automatic differentiation of the unrolled recurrence."""

import math

import pytest
import torch
from torch import nn

from audits.known import delay_line, leaky, recurrence_of
from cases import CELLS, FEATURES
from unrecur.audits import gradient_flow as flows
from unrecur.audits.gates import gate_statistics
from unrecur.audits.gradient_flow import cotangents, gradient_flow, input_flow
from unrecur.audits.spectra import exponents, weight_spectra
from unrecur.audits.units import half_lives
from unrecur.cells.gates import gates_of, highway

LAGS = 6


def along(cell, count=3, lags=LAGS):
    """A trajectory: the states before each step, and the inputs."""
    x = torch.randn(count, lags, FEATURES, dtype=torch.float64)
    before = [0.3 * torch.randn(count, cell.state_size, dtype=torch.float64)]
    for x_t in x.unbind(1):
        before.append(cell.phi(before[-1], x_t))
    return torch.stack(before[:-1], 1).detach(), x


def unrolled(cell, before, x, lag):
    """dh_t / dh_(t-lag) of each row, by automatic differentiation."""

    def ahead(h, inputs):
        for x_t in inputs:
            h = cell.phi(h, x_t)
        return h

    rows = zip(before[:, before.shape[1] - lag], x[:, x.shape[1] - lag :], strict=True)
    return torch.stack(
        [torch.autograd.functional.jacobian(lambda h, i=i: ahead(h, i), h) for h, i in rows]
    )


def cell_of(name):
    torch.manual_seed(0)
    cell = CELLS[name](FEATURES, 4).double()
    with torch.no_grad():
        for weight in cell.parameters():
            weight.mul_(1.5)
    return cell


@pytest.mark.parametrize("name", CELLS)
def test_exact_gains_are_those_of_the_unrolled_recurrence(name):
    cell = cell_of(name)
    before, x = along(cell)
    flow = gradient_flow(cell, before, x)
    assert flow.exact
    assert flow.ends == 3
    assert not flow.error.any()
    for lag in range(1, len(flow.gain)):
        jacobian = unrolled(cell, before, x, lag)
        norm = jacobian.square().sum((1, 2)) / cell.state_size
        assert float(flow.gain[lag]) == pytest.approx(float(norm.mean().sqrt()), rel=1e-9)
        columns = jacobian.square().sum(1).sqrt().log().mean(0).exp()
        assert flow.columns[lag].tolist() == pytest.approx(columns.tolist(), rel=1e-9, abs=1e-300)
        if lag & (lag - 1) == 0:
            largest = float(torch.linalg.matrix_norm(jacobian, 2).amax())
            assert float(flow.largest[lag.bit_length() - 1]) == pytest.approx(largest, rel=1e-9)


@pytest.mark.parametrize("name", CELLS)
def test_the_highway_and_the_hidden_path_add_up(name):
    cell = cell_of(name)
    before, x = along(cell)
    flow = gradient_flow(cell, before, x)
    share = highway(cell, before[:, -1], x[:, -1])
    if share is None:
        assert flow.highway is None
        assert name in ("elman", "elman-relu", "elman-leaky", "lru", "diagonal_ssm")
        return
    shares = [highway(cell, before[:, t], x[:, t]).detach() for t in range(LAGS - 3, LAGS)]
    passed = torch.stack(shares, 1).prod(1)
    own = (passed.square().sum(1) / cell.state_size).mean().sqrt()
    assert float(flow.highway[3]) == pytest.approx(float(own), rel=1e-9)
    rest = unrolled(cell, before, x, 3) - torch.diag_embed(passed)
    norm = (rest.square().sum((1, 2)) / cell.state_size).mean().sqrt()
    assert float(flow.hidden[3]) == pytest.approx(float(norm), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("name", ["lstm", "gru", "elman", "min_gru"])
def test_probes_come_to_the_exact_gains_within_their_error(name, monkeypatch):
    cell = cell_of(name)
    before, x = along(cell)
    exact = gradient_flow(cell, before, x)
    monkeypatch.setattr(flows, "EXACT", 2)
    probed = gradient_flow(cell, before, x, probes=400)
    assert not probed.exact
    off = (probed.gain - exact.gain).abs()
    assert bool((off <= 4 * probed.error + 1e-12).all())
    assert bool((probed.error[1:] < 0.2 * probed.gain[1:]).all())
    assert torch.allclose(probed.columns, exact.columns, rtol=0.4)


def test_the_error_of_probes_falls_like_the_root_of_their_number(monkeypatch):
    monkeypatch.setattr(flows, "EXACT", 2)
    cell = cell_of("lstm")
    before, x = along(cell)
    few, many = (gradient_flow(cell, before, x, probes=n).error[3] for n in (100, 1600))
    assert float(few / many) == pytest.approx(4, rel=0.4)


def test_where_gradients_vanish_and_explode():
    def flow_of(rate):
        before, x = torch.ones(1, 60, 1), torch.ones(1, 60, 1)
        return gradient_flow(leaky(rate), before, x)

    assert flow_of(0.5).vanishes == 10  # 0.5^10 < 1e-3
    assert flow_of(0.5).explodes is None
    assert flow_of(1.5).explodes == 18  # 1.5^18 > 1e3
    assert flow_of(1.0).vanishes is None


def test_half_lives_are_those_of_exponentials_and_of_steps():
    lags = torch.arange(40.0, dtype=torch.float64)
    rates = torch.tensor([0.9, 0.5, 0.99])
    columns = torch.cat([rates ** lags[:, None], (lags < 7).double()[:, None]], 1)
    expected = [math.log(2) / -math.log(0.9), 1.0, math.inf, 7.0]
    assert half_lives(columns).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("steps", [9, 500])
def test_a_delay_line_holds_each_unit_to_its_end(steps):
    cell = delay_line(steps)  # by probes where it is long
    flow = gradient_flow(cell, torch.ones(1, steps + 9, steps), torch.ones(1, steps + 9, 1))
    assert flow.exact == (steps == 9)
    assert half_lives(flow.columns).tolist() == list(range(steps, 0, -1))
    assert len(flow.gain) == steps + 1  # nothing is left then
    assert flow.vanishes == steps


@pytest.mark.parametrize("two_sided", [False, True])
def test_the_flow_to_the_inputs_is_that_of_the_unrolled_module(two_sided):
    torch.manual_seed(0)
    lstm = nn.LSTM(FEATURES, 4, 2, batch_first=True, bidirectional=two_sided).double()
    layers = recurrence_of(lstm).cells
    x = torch.randn(2, 9, FEATURES, dtype=torch.float64)
    width = 8 if two_sided else 4
    given = torch.randn(3, 2, width, dtype=torch.float64)
    place = 4 if two_sided else 8
    flow = input_flow(layers, x, None, place, given, "y")
    x = x.requires_grad_()
    total = torch.zeros(9, dtype=torch.float64)
    for cotangent in given:
        (gradient,) = torch.autograd.grad((lstm(x)[0][:, place] * cotangent).sum(), x)
        total += gradient.square().sum(-1).mean(0)
    expected = (total / 3).sqrt()
    assert flow.lags.tolist() == [place - s for s in range(8, -1, -1)]
    assert flow.norm.tolist() == pytest.approx(expected.flip(0).tolist(), rel=1e-9)


def test_reach_counts_the_inputs_that_carry_the_gradient():
    x = torch.ones(1, 60, 1)
    flow = input_flow(recurrence_of(leaky(0.5)).cells, x, None, 59, torch.ones(1, 1, 1), "y")
    assert flow.norm[:4].tolist() == [1.0, 0.5, 0.25, 0.125]
    assert flow.reach(0.5) == 1
    assert flow.reach(0.99) == 7  # 1 - 0.5^7 > 0.99


def test_gradients_start_at_the_models_outputs_where_they_can():
    y = torch.randn(5, 3)
    given, of = cotangents(lambda h: [h[:2] * 2, h[2:] * 2], y, 2)
    assert of == "the model's outputs"
    assert bool((given.abs() == 2 / 3**0.5).all())
    given, of = cotangents(lambda h: [h.detach()], y, 2)
    assert of == "the recurrence's outputs"
    assert given.shape == (2, 5, 3)


def test_gates_are_the_cells_own():
    torch.manual_seed(0)
    cell = cell_of("lstm")
    h, x = torch.randn(50, 8).double(), torch.randn(50, FEATURES).double()
    forget = gates_of(cell, h, x)["forget"]
    kept = torch.diagonal(cell.jacobian(h, x)[:, :4, :4], dim1=1, dim2=2)
    assert torch.allclose(forget, kept)
    with torch.no_grad():
        cell.bias_ih_l0[4:8] = 9.0  # the forget gate open
        cell.bias_ih_l0[:4] = -9.0  # the input gate shut
    found = {gate.name: gate for gate in gate_statistics(cell, h, x)}
    assert found["forget"].open == 1.0
    assert found["input"].shut == 1.0
    assert found["forget"].quantiles[0] > 0.9
    assert sum(found["output"].histogram) == pytest.approx(1.0)
    assert gate_statistics(leaky(0.5), torch.ones(3, 1), torch.ones(3, 1)) == []


def test_spectra_are_those_of_the_recurrent_weights():
    cell = cell_of("gru")
    found = weight_spectra(cell)
    assert [each.name for each in found] == ["reset", "update", "candidate"]
    block = cell.weight_hh_l0.chunk(3)[1].detach()
    values = torch.linalg.eigvals(block)
    assert found[1].radius == pytest.approx(float(values.abs().max()))
    assert float(found[1].singular[0]) == pytest.approx(float(torch.linalg.matrix_norm(block, 2)))
    assert weight_spectra(cell_of("min_gru")) == []


def test_exponents_of_leaky_integrators_are_their_rates():
    found = exponents(leaky(0.9, 0.5), torch.rand(2, 100, 1), torch.zeros(2, 2))
    assert found == pytest.approx([math.log(0.9), math.log(0.5)], abs=1e-3)
