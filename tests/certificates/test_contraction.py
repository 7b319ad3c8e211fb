"""Certificates under attack: no sequence in the box may drive the states further apart."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from attacking import examples
from unrecur.cells import GRU, LRU, LSTM, MGU, QRNN, Elman, MinGRU
from unrecur.certificates.certificate import Certificate, Evidence
from unrecur.certificates.contraction import certify
from unrecur.certificates.inputs import read_inputs
from unrecur.certificates.project import project_, project_l1
from unrecur.certificates.sum_condition import LSTMBounds
from unrecur.core.compose import Serial
from unrecur.layers.convolution import CausalConvolution
from unrecur.layers.recurrent import Recurrent

OTHERS = {"lstm": LSTM, "gru": GRU, "mgu": MGU, "qrnn": QRNN, "min_gru": MinGRU, "lru": LRU}
PROJECTED = ("lstm", "gru", "mgu", "tanh", "relu", "leaky_relu")
CELLS = st.sampled_from([*OTHERS, "tanh", "relu", "leaky_relu"])


def random_cell(kind, features, units, size, dtype=torch.float32):
    if kind in OTHERS:
        cell = OTHERS[kind](features, units, dtype=dtype)
    else:
        cell = Elman(features, units, activation=kind, dtype=dtype)
    with torch.no_grad():
        for name, parameter in cell.named_parameters():
            parameter.mul_(1.0 if "log" in name else size)
    return cell


def distance(states, other):
    return (states.double() - other.double()).flatten(1).abs().amax(1)


def run(cell, x, h):
    for x_t in x.unbind(1):
        h = cell.phi(h, x_t)
    return h


def worst_gap(cell, certificate, low, high, k, long, generator):
    """Attack: corners, random inputs, and gradient ascent on the inputs."""
    batch, features = 32, cell.input_size
    x = torch.rand(batch, long + k, features, generator=generator)
    x[: batch // 2] = x[: batch // 2].round()  # corners of the box
    x[0], x[1] = 0.0, 1.0
    x = (low + (high - low) * x).to(next(cell.parameters()).dtype)
    worst = 0.0
    for _ in range(3):
        x = x.detach().requires_grad_()
        full = run(cell, x, cell.init_state(batch))
        short = run(cell, x[:, long:], cell.init_state(batch))
        gaps = distance(full, short)
        worst = max(worst, float(gaps.detach().max()))
        (gradient,) = torch.autograd.grad((full - short).square().sum(), x)
        x = (x + (high - low) * gradient.sign()).clamp(low, high)
    return worst


@examples(fixed=20, search=2000)
@given(
    kind=CELLS,
    features=st.integers(1, 4),
    units=st.integers(1, 12),
    size=st.floats(0.05, 3.0),
    ends=st.sampled_from([(-1.0, 1.0), (0.0, 1.0), (-5.0, 2.0)]),
    k=st.integers(0, 30),
    double=st.booleans(),
    projected=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_no_attack_breaks_a_proof(kind, features, units, size, ends, k, double, projected, seed):
    torch.manual_seed(seed)
    cell = random_cell(kind, features, units, size, torch.float64 if double else torch.float32)
    projected = projected and kind in PROJECTED
    if projected:
        project_(cell, ends, rate=0.9)
    certificate = certify(cell, ends)
    if projected:
        assert certificate.evidence is Evidence.PROVED
        assert certificate.rate <= 0.9
    if certificate.evidence is Evidence.UNKNOWN:
        assert certificate.bound(k) == math.inf
        return
    generator = torch.Generator().manual_seed(seed)
    for long in (1, 40):
        gap = worst_gap(cell, certificate, *ends, k, long, generator)
        assert gap <= certificate.bound(k)


def test_a_proof_is_not_idle():
    """The bound falls at the proved rate, and for a linear-like cell it is nearly reached."""
    cell = Elman(1, 1, activation="relu", dtype=torch.float64)
    weights = {"weight_ih_l0": 1.0, "weight_hh_l0": 0.8, "bias_ih_l0": 0.0, "bias_hh_l0": 0.0}
    for name, value in weights.items():
        torch.nn.init.constant_(getattr(cell, name), value)
    certificate = certify(cell, (0.0, 1.0))
    x = torch.ones(1, 300, 1, dtype=torch.float64)
    for k in (1, 5, 20):
        gap = run(cell, x, cell.init_state(1)) - run(cell, x[:, :k], cell.init_state(1))
        assert float(gap.detach()) == pytest.approx(certificate.bound(k), rel=1e-3)
        assert float(gap.detach()) <= certificate.bound(k)


def test_lstm_rate_is_the_sum_condition():
    """Against the formula written out for one unit."""
    cell = LSTM(1, 1, dtype=torch.float64)
    with torch.no_grad():
        cell.weight_ih_l0.copy_(torch.tensor([[0.1], [0.2], [0.3], [0.4]]))
        cell.weight_hh_l0.copy_(torch.tensor([[0.04], [-0.02], [0.03], [-0.08]]))
        cell.bias_ih_l0.zero_()
        cell.bias_hh_l0.copy_(torch.tensor([0.0, -1.0, 0.0, 0.0]))
    forget = 1 / (1 + math.exp(-(0.02 + 0.2 * 2 - 1.0)))
    expected = forget + 0.02 / 4 / (1 - forget) + (0.04 + 0.08) / 4 + 0.03
    inputs = read_inputs(2.0, 1)
    assert float(LSTMBounds(cell, inputs).rates) == pytest.approx(expected, rel=1e-6)
    # What `certify` proves is at least as good: its gates are bounded by the box, not by 1/4 and 1.
    assert certify(cell, 2.0).rate < expected
    # Inputs count: the same weights on a wider box forget more slowly, and then not provably.
    assert certify(cell, 4.0).rate > certify(cell, 2.0).rate
    assert certify(cell, 1e6).evidence is Evidence.UNKNOWN


def test_an_unstable_lstm_is_unknown():
    """Column sums are small and row sums are not: what `stabilize_lstm` in the wild calls stable.

    One unit's candidate reads all units: |W_g| by columns is 0.2, by rows 1.6 and more. The cell
    has two attractors, so no certificate may exist.
    """
    cell = LSTM(1, 8, dtype=torch.float64)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.weight_hh_l0[16:24] = 4.0
        cell.bias_hh_l0[:8] = 10.0
        cell.bias_hh_l0[24:] = 10.0
    assert certify(cell, 1.0).evidence is Evidence.UNKNOWN
    x = torch.zeros(1, 200, 1, dtype=torch.float64)
    up = torch.full((1, 16), 0.5, dtype=torch.float64)
    assert float((run(cell, x, up) - run(cell, x, -up)).detach().abs().max()) > 0.5


@pytest.mark.parametrize(
    "module",
    [
        torch.nn.Linear(2, 3),
        CausalConvolution(2, 3, 2),
        Serial(Recurrent([LSTM(2, 3)]), CausalConvolution(3, 3, 2)),
    ],
    ids=lambda module: type(module).__name__,
)
def test_without_a_rule_nothing_is_claimed(module):
    certificate = certify(module, 1.0)
    assert certificate.evidence is Evidence.UNKNOWN
    assert certificate.reasons
    assert certificate.steps(1e-3) is None


@examples(fixed=50, search=5000)
@given(
    rate=st.floats(0.0, 0.999),
    start=st.floats(1e-3, 100),
    rounding=st.floats(0, 1e-5),
    eps=st.floats(1e-6, 10),
)
def test_steps_is_the_least_window(rate, start, rounding, eps):
    certificate = Certificate(Evidence.PROVED, "sup", rate, start, rounding)
    k = certificate.steps(eps)
    if k is None:
        assert certificate.bound(10**6) > eps * (1 - 1e-9)
    else:
        assert certificate.bound(k) <= eps
        assert k == 0 or certificate.bound(k - 1) > eps


def test_projection_leaves_what_satisfies_it():
    torch.manual_seed(0)
    cell = LSTM(3, 6)
    project_(cell, 1.0)
    once = [p.clone() for p in cell.parameters()]
    project_(cell, 1.0)
    for before, after in zip(once, cell.parameters(), strict=True):
        torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_l1_projection_is_the_nearest_point(seed):
    """Against a general optimiser."""
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(5, generator=generator, dtype=torch.float64)
    scale = torch.rand(5, generator=generator, dtype=torch.float64) + 0.2
    radius = 0.3 * float((scale * v.abs()).sum())
    ours = project_l1(v[None], scale[None], torch.tensor([radius], dtype=torch.float64))[0]
    assert float((scale * ours.abs()).sum()) <= radius * (1 + 1e-12)
    # In halves w = p - q, p, q >= 0, the problem is smooth.
    best = minimize(
        lambda pq: ((pq[:5] - pq[5:] - v.numpy()) ** 2).sum(),
        x0=[0.01] * 10,
        bounds=[(0, None)] * 10,
        constraints={
            "type": "ineq",
            "fun": lambda pq: radius - (scale.numpy() * (pq[:5] + pq[5:])).sum(),
        },
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    torch.testing.assert_close(ours, torch.tensor(best.x[:5] - best.x[5:]), rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "box", ["wide", (1.0, 0.0), float("inf"), (0.0, 1.0, 2.0), [[0.0], [1.0, 2.0]]]
)
def test_a_malformed_box_is_refused(box):
    with pytest.raises((ValueError, TypeError)):
        certify(Elman(3, 2), box)


def test_weights_must_be_finite():
    cell = Elman(2, 2)
    torch.nn.init.constant_(cell.weight_hh_l0, float("nan"))
    with pytest.raises(ValueError, match="weight_hh_l0 must be finite"):
        certify(cell, 1.0)


def test_no_projection_without_a_rule():
    with pytest.raises(ValueError, match="no projection for LRU"):
        project_(LRU(2, 3), 1.0)
    with pytest.raises(ValueError, match="above 0 and below 1"):
        project_(LSTM(2, 3), 1.0, rate=1.0)


@pytest.mark.parametrize(
    "change",
    ["bias", "weights", "inputs", "box", "one unit"],
)
@pytest.mark.parametrize("rate", [0.5, 0.95, 0.999])
def test_a_projection_delivers_whatever_the_weights(change, rate):
    torch.manual_seed(0)
    cell, box = LSTM(8, 1 if change == "one unit" else 32), (0.0, 1.0)
    with torch.no_grad():
        if change == "bias":
            cell.bias_ih_l0.fill_(100.0)
        if change == "weights":
            for weight in cell.parameters():
                weight.mul_(20)
        if change == "inputs":
            cell.weight_ih_l0.mul_(30)
    if change == "box":
        box = (-30.0, 30.0)
    project_(cell, box, rate)
    assert certify(cell, box).rate <= rate


def test_a_projection_that_rounding_forbids_is_refused():
    cell = LSTM(8, 4)
    with torch.no_grad():
        cell.weight_ih_l0.fill_(1e9)
    with pytest.raises(ValueError, match="rounding alone"):
        project_(cell, 1.0, 0.9)


def test_reasons_are_true_for_a_spectral_norm_near_1():
    torch.manual_seed(0)
    cell = Elman(88, 512)
    project_(cell, (0, 1), 0.99)
    certificate = certify(cell, (0, 1))
    assert certificate.evidence is Evidence.PROVED
    relu = Elman(88, 512, activation="relu")
    relu.load_state_dict(cell.state_dict())
    found = certify(relu, (0, 1))
    assert found.evidence is Evidence.PROVED or "rounding" in found.reasons[0]


def test_an_elman_cell_to_project_must_be_finite():
    cell = Elman(2, 2)
    torch.nn.init.constant_(cell.weight_hh_l0, float("nan"))
    with pytest.raises(ValueError, match="weight_hh_l0 must be finite"):
        project_(cell, 1.0)


def test_lower_precision_is_counted():
    torch.manual_seed(0)
    cell = LSTM(4, 6)
    project_(cell, (0, 1), 0.9)
    full = certify(cell, (0, 1))
    torch.set_float32_matmul_precision("high")
    try:
        rounded = certify(cell, (0, 1))
    finally:
        torch.set_float32_matmul_precision("highest")
    assert rounded.evidence is Evidence.UNKNOWN or rounded.rounding > 100 * full.rounding


def test_nothing_is_claimed_with_a_rate_of_1():
    with pytest.raises(ValueError, match="rate must be"):
        Certificate(Evidence.PROVED, "sup", rate=1.0, start=1.0)


def test_the_fused_kernel_obeys_the_proof():
    """The attack on `phi` again, on the path that users run: the kernel on blocks."""
    torch.manual_seed(0)
    for rate in (0.6, 0.99):
        cell = LSTM(4, 16)
        with torch.no_grad():
            for weight in cell.parameters():
                weight.mul_(4)
        project_(cell, (0, 1), rate)
        certificate, layer = certify(cell, (0, 1)), Recurrent([cell])
        x = torch.rand(64, 60, 4).round()
        with torch.no_grad():
            (full,) = layer(x)[1]
            for k in (1, 5, 20):
                (short,) = layer(x[:, -k:])[1]
                gap = float((full.double() - short.double()).abs().max())
                assert gap <= certificate.bound(k)
