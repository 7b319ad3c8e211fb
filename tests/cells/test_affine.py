"""Affine cells against their papers' equations written out, and what only they promise."""

import cmath
import math

import pytest
import torch

from cases import CELLS, FEATURES
from unrecur.cells import LRU, MinLSTM
from unrecur.cells.affine import AbstractAffineCell, from_flat, to_flat
from unrecur.layers.recurrent import Recurrent
from unrecur.solvers.sequential import sequential

UNITS = 4
AFFINE = ["min_gru", "min_lstm", "qrnn", "lru"]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def sigmoid(v):
    return 1 / (1 + math.exp(-v))


def projected(cell, x):
    """W x + b by plain sums, one list of units for each gate."""
    weight, bias = cell.projection.weight.tolist(), cell.projection.bias.tolist()
    rows = [sum(w * v for w, v in zip(row, x, strict=True)) for row in weight]
    rows = [v + b for v, b in zip(rows, bias, strict=True)]
    return [rows[start : start + UNITS] for start in range(0, len(rows), UNITS)]


def min_gru(cell, xs):
    h = [0.0] * UNITS
    for x in xs:
        for j, (z, n) in enumerate(zip(*projected(cell, x), strict=True)):
            h[j] = (1 - sigmoid(z)) * h[j] + sigmoid(z) * n
        yield list(h)


def min_lstm(cell, xs):
    h = [0.0] * UNITS
    for x in xs:
        for j, (f, i, n) in enumerate(zip(*projected(cell, x), strict=True)):
            f, i = sigmoid(f), sigmoid(i)
            h[j] = f / (f + i) * h[j] + i / (f + i) * n
        yield list(h)


def qrnn(cell, xs):
    c = [0.0] * UNITS
    for x in xs:
        shown = []
        for j, (z, f, o) in enumerate(zip(*projected(cell, x), strict=True)):
            c[j] = sigmoid(f) * c[j] + (1 - sigmoid(f)) * math.tanh(z)
            shown.append(sigmoid(o) * c[j])
        yield shown


def lru(cell, xs):
    re_b, im_b = cell.weight_in.chunk(2)
    re_c, minus_im_c = cell.weight_out.chunk(2, 1)
    b = torch.complex(re_b, im_b).tolist()
    c = torch.complex(re_c, -minus_im_c).tolist()
    rates = zip(cell.nu_log.tolist(), cell.theta_log.tolist(), strict=True)
    eigenvalues = [cmath.exp(-math.exp(nu) + 1j * math.exp(theta)) for nu, theta in rates]
    gammas = [math.exp(gamma) for gamma in cell.gamma_log.tolist()]
    h = [0j] * UNITS
    for x in xs:
        for j in range(UNITS):
            driven = sum(b_jk * x_k for b_jk, x_k in zip(b[j], x, strict=True))
            h[j] = eigenvalues[j] * h[j] + gammas[j] * driven
        yield [sum(c_k * h_k for c_k, h_k in zip(row, h, strict=True)).real for row in c]


WRITTEN_OUT = {"min_gru": min_gru, "min_lstm": min_lstm, "qrnn": qrnn, "lru": lru}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", AFFINE)
def test_outputs_are_the_papers(name, dtype):
    torch.manual_seed(0)
    cell = CELLS[name](FEATURES, UNITS, dtype=dtype)
    x = torch.randn(2, 40, FEATURES, dtype=dtype)
    y, _ = Recurrent([cell])(x)
    assert y.dtype == dtype
    for row in range(2):
        expected = torch.tensor(list(WRITTEN_OUT[name](cell, x[row].tolist())), dtype=dtype)
        torch.testing.assert_close(y[row], expected, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", AFFINE)
def test_states_follow_from_the_coefficients_of_a_whole_block(name, dtype):
    """h_T = a_T ... a_1 h_0 + sum over s of a_T ... a_(s+1) b_s, from any start."""
    torch.manual_seed(0)
    cell = CELLS[name](FEATURES, UNITS, dtype=dtype)
    x = torch.randn(2, 9, FEATURES, dtype=dtype)
    start = torch.randn(2, cell.state_size, dtype=dtype)
    a, b = cell.coefficients(x)
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    h = a.prod(1) * from_flat(start, a)
    h = h + sum(a[:, s + 1 :].prod(1) * b[:, s] for s in range(9))
    expected = sequential(cell, x, start)[:, -1]
    torch.testing.assert_close(to_flat(h), expected, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("name", AFFINE)
def test_coefficients_never_expand(name):
    torch.manual_seed(0)
    cell = CELLS[name](FEATURES, UNITS)
    a, _ = cell.coefficients(10 * torch.randn(200, FEATURES))
    assert isinstance(cell, AbstractAffineCell)
    assert (a.abs() <= 1).all()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("forget", [-200.0, 0.0, 200.0])
@pytest.mark.parametrize("admit", [-200.0, 0.0, 200.0])
def test_min_lstm_bears_saturated_gates(forget, admit, dtype):
    cell = MinLSTM(1, 1, dtype=dtype)
    bias = torch.tensor([forget, admit, 1.0], dtype=dtype)  # the candidate is 1
    cell.load_state_dict(
        {"projection.weight": torch.zeros_like(bias)[:, None], "projection.bias": bias}
    )
    a, b = cell.coefficients(torch.zeros(1, 1, dtype=dtype))
    # log f / i, where log sigmoid(v) is v for v far below zero and 0 for v far above.
    log_sigmoid = {-200.0: -200.0, 0.0: -math.log(2), 200.0: 0.0}
    expected = sigmoid(log_sigmoid[forget] - log_sigmoid[admit])
    torch.testing.assert_close(a, torch.full_like(a, expected))
    torch.testing.assert_close(a + b, torch.ones_like(a))
    gradients = torch.autograd.grad((2 * a + b).sum(), list(cell.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("r_min", "r_max"), [(0.0, 1.0), (0.9, 0.999), (0.999, 1.0)])
def test_lru_starts_on_the_ring(r_min, r_max, dtype):
    torch.manual_seed(0)
    cell = LRU(2, 2000, r_min, r_max, dtype=dtype)
    radius = cell.eigenvalues.detach().abs()
    assert all(parameter.isfinite().all() for parameter in cell.parameters())
    assert (radius > r_min - 1e-6).all()
    assert (radius < r_max + 1e-6).all()
    # Uniform on the ring: |lambda|^2 is uniform, and the phases take all directions alike.
    squared = (radius.square() - r_min**2) / (r_max**2 - r_min**2)
    quantiles = torch.linspace(0, 1, 2000, dtype=dtype)
    assert (squared.sort().values - quantiles).abs().max() < 0.05
    assert (cell.eigenvalues / radius).mean().abs() < 0.05
    torch.testing.assert_close(
        cell.gamma_log.exp().double(),
        (-torch.expm1(-2 * cell.nu_log.double().exp())).sqrt(),
        rtol=1e-4,
        atol=1e-6,
    )


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("r_min", "r_max"), [(-0.1, 1.0), (0.5, 0.5), (0.5, 1.1), (0.0, math.nan)])
def test_a_ring_that_is_none_is_refused(r_min, r_max):
    with pytest.raises(ValueError, match="a ring needs"):
        LRU(2, 3, r_min, r_max)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("make", [MinLSTM, LRU])
@pytest.mark.parametrize("size", [0, 2.5])
def test_sizes_are_checked(make, size):
    with pytest.raises(ValueError, match="whole number of at least 1"):
        make(3, size)
