"""The diagonal state space model against its convolution and its differential equation."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrecur.cells import DiagonalSSM
from unrecur.layers.recurrent import Recurrent
from unrecur.solvers.sequential import sequential


def kernel(cell, time):
    """2 Re(sum_n C_n (exp(dt A_n) - 1) / A_n exp(dt A_n)^k): a Vandermonde matrix, [H, time]."""
    a = torch.complex(-cell.decay_log.exp(), cell.frequency)
    by_step = a * cell.step_log.exp()[:, None]
    powers = torch.exp(by_step[..., None] * torch.arange(time))
    weight = torch.complex(*cell.weight_out) * (by_step.exp() - 1) / a
    return 2 * torch.einsum("hn,hnt->ht", weight, powers).real


@settings(max_examples=20)
@given(
    units=st.integers(1, 4), modes=st.integers(1, 5), time=st.integers(1, 70), seed=st.integers(0)
)
def test_it_is_a_convolution(units, modes, time, seed):
    torch.manual_seed(seed % 1000)
    cell = DiagonalSSM(3, units, modes, dtype=torch.float64)
    x = torch.randn(2, time, 3, dtype=torch.float64)
    u, taps = x @ cell.weight_in.T, kernel(cell, time)
    expected = torch.stack(
        [sum(taps[:, k] * u[:, t - k] for k in range(t + 1)) for t in range(time)],
        1,
    )
    y, (last,) = Recurrent([cell])(x)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-9)
    looped = sequential(cell, x, cell.init_state(2))
    torch.testing.assert_close(last, looped[:, -1], rtol=0, atol=1e-9)
    torch.testing.assert_close(y, cell.readout(looped), rtol=0, atol=1e-9)


def test_it_solves_the_differential_equation_while_the_input_is_held():
    """Many small steps of dh/dt = A h + u give what one step of dt gives."""
    torch.manual_seed(0)
    cell = DiagonalSSM(1, 2, 3, step_min=0.1, step_max=0.1, dtype=torch.float64)
    a = torch.complex(-cell.decay_log.exp(), cell.frequency).detach()
    u = (torch.tensor([[0.7]]).double() @ cell.weight_in.T).detach()[0]
    h = torch.zeros_like(a)
    count = 20_000
    for _ in range(count):  # the midpoint rule
        half = h + 0.1 / count / 2 * (a * h + u[:, None])
        h = h + 0.1 / count * (a * half + u[:, None])
    once = cell.phi(cell.init_state(1), torch.tensor([[0.7]]).double())[0]
    torch.testing.assert_close(
        once, torch.cat([h.real.flatten(), h.imag.flatten()]), rtol=1e-8, atol=1e-8
    )


def test_it_starts_as_s4d_lin():
    torch.manual_seed(0)
    cell = DiagonalSSM(2, 500, 4, dtype=torch.float64)
    expected = torch.complex(torch.full((4,), -0.5), math.pi * torch.arange(4.0)).to(cell.poles)
    torch.testing.assert_close(cell.poles, expected.expand(500, 4))
    steps = cell.step_log.exp().log10()  # uniform from -3 to -1
    assert (steps.sort().values - torch.linspace(-3, -1, 500)).abs().max() < 0.2
    assert (cell.eigenvalues.abs() < 1).all()


def test_in_float32_small_steps_lose_no_digits():
    torch.manual_seed(0)
    cell = DiagonalSSM(2, 3, 2, step_min=1e-5, step_max=1e-5)
    x = torch.randn(1, 50, 2)
    y, _ = Recurrent([cell])(x)
    exact, _ = Recurrent([cell.double()])(x.double())
    torch.testing.assert_close(
        y.double(), exact, rtol=1e-5, atol=1e-5 * float(exact.detach().abs().max())
    )


def test_the_real_maps_are_those_of_the_cell():
    torch.manual_seed(0)
    cell = DiagonalSSM(3, 4, 2, dtype=torch.float64)
    x, h = torch.randn(5, 3).double(), torch.randn(5, cell.state_size).double()
    torch.testing.assert_close(cell.phi(torch.zeros_like(h), x), x @ cell.input_map.T)
    torch.testing.assert_close(cell.readout(h), h @ cell.output_map.T)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modes": 0}, "modes must be a whole number"),
        ({"step_min": 0.0}, "step_min"),
        ({"step_min": 0.2}, "step_min"),
        ({"step_max": math.nan}, "step_min"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DiagonalSSM(2, 3, **options)
