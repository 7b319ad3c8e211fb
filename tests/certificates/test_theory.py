"""Theory as functions, held to gradients and training runs of cells with known constants."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrecur.cells import Elman
from unrecur.certificates.certificate import Certificate, Evidence, unknown
from unrecur.certificates.constants import Smoothness, Stability, weakest
from unrecur.certificates.theory import (
    gradient_gap,
    gradient_lipschitz,
    training_gap,
    window_for_gradient,
    window_for_inference,
    window_for_training,
)

CURVATURE = 4 / (3 * math.sqrt(3))  # the largest |tanh''|
PROVED, MEASURED = Evidence.PROVED, Evidence.MEASURED


def elman(seed, units, rate, activation="tanh"):
    """A cell with |W_h|_2 = rate; the rectifier's is positive, hence linear on positive inputs."""
    generator = torch.Generator().manual_seed(seed)
    cell = Elman(2, units, activation=activation, dtype=torch.float64)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
            if activation == "relu":
                weight.abs_()
        cell.weight_hh_l0.mul_(rate / torch.linalg.matrix_norm(cell.weight_hh_l0, 2))
    return cell


def constants(cell, rate, input_bound, steepness, loss_curvature):
    """The constants of an Elman cell in the 2-norm, as docs/theory/windows.md derives them."""
    if cell.activation == "tanh":
        curvature, start = CURVATURE, math.sqrt(cell.hidden_size)
    else:
        curvature = 0.0
        gain = float(torch.linalg.matrix_norm(cell.weight_ih_l0.detach(), 2))
        bias = float((cell.bias_ih_l0 + cell.bias_hh_l0).detach().norm())
        start = (gain * input_bound + bias) / (1 - rate)
    seen = math.sqrt(start**2 + input_bound**2 + 2)
    smoothness = Smoothness(
        weights=seen,
        state_state=curvature * rate**2,
        state_weights=1 + curvature * rate * seen,
        weights_weights=curvature * seen**2,
        output=0.0,
        loss=1.0,
        loss_output=loss_curvature,
        evidence=PROVED,
    )
    return Stability(rate, start, steepness, PROVED), smoothness


def last_state(cell, x):
    h = cell.init_state(len(x))
    for x_t in x.unbind(1):
        h = cell.phi(h, x_t)
    return h


def gradient(cell, x, readout, loss):
    """The gradient of the mean loss at the last step, flat."""
    value = loss(last_state(cell, x) @ readout).mean()
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(cell.parameters()))])


def inputs(seed, batch, time, bound=1.0):
    """Positive inputs of norm at most `bound`."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(batch, time, 2, generator=generator, dtype=torch.float64)
    return bound * x / math.sqrt(2)


def slope(ks, values):
    """The slope of log value in k, over the values that rounding does not reach."""
    kept = np.array(values) > 1e-12
    return np.polyfit(np.array(ks)[kept], np.log(np.array(values)[kept]), 1)[0]


LOSSES = {"linear": (lambda y: y, 0.0), "logistic": (torch.nn.functional.softplus, 0.25)}
CASES = {
    "activation": st.sampled_from(["tanh", "relu"]),
    "loss": st.sampled_from(sorted(LOSSES)),
    "units": st.integers(1, 5),
    "rate": st.floats(0.05, 0.95),
    "seed": st.integers(0, 10_000),
}


@settings(max_examples=25, deadline=None)
@given(**CASES, k=st.integers(1, 40))
def test_no_gap_is_larger_than_its_bound(activation, loss, units, rate, seed, k):
    cell, readout = elman(seed, units, rate, activation), torch.full((units,), 0.7).double()
    function, curvature = LOSSES[loss]
    stability, smoothness = constants(cell, rate, 1.0, float(readout.norm()), curvature)
    x = inputs(seed, 4, 60)
    gap = gradient(cell, x, readout, function) - gradient(cell, x[:, -k:], readout, function)
    assert float(gap.norm()) <= gradient_gap(stability, smoothness, k).gradient + 1e-14
    apart = (last_state(cell, x) - last_state(cell, x[:, -k:])) @ readout
    bound = stability.lipschitz_output * stability.start * rate**k
    assert float(apart.detach().abs().max()) <= bound + 1e-14


@pytest.mark.parametrize("size", [1e-3, 0.3])
@pytest.mark.parametrize("rate", [0.3, 0.8])
@pytest.mark.parametrize("seed", range(3))
def test_gradients_change_no_faster_than_their_lipschitz_constant(seed, rate, size):
    """Between two cells with |W_h|_2 <= rate."""
    cell, other = elman(seed, 3, rate * 0.9), elman(seed, 3, rate * 0.9)
    generator, readout = torch.Generator().manual_seed(seed), torch.ones(3).double()
    with torch.no_grad():
        for weight in other.parameters():
            step = torch.rand(weight.shape, generator=generator, dtype=torch.float64)
            weight.add_(size * 0.1 * rate * step)
        assert torch.linalg.matrix_norm(other.weight_hh_l0, 2) <= rate
    function, curvature = LOSSES["logistic"]
    beta = gradient_lipschitz(*constants(cell, rate, 1.0, float(readout.norm()), curvature))
    x = inputs(seed, 4, 60)
    apart = torch.cat(
        [(a - b).flatten() for a, b in zip(cell.parameters(), other.parameters(), strict=True)]
    )
    change = gradient(cell, x, readout, function) - gradient(other, x, readout, function)
    assert 1e-4 * beta < float(change.norm() / apart.detach().norm()) <= beta


def test_a_window_no_shorter_than_the_sequence_has_no_gap():
    cell, x, readout = elman(0, 3, 0.9), inputs(0, 4, 10), torch.ones(3).double()
    function, _ = LOSSES["logistic"]
    full = gradient(cell, x, readout, function)
    assert torch.equal(full, gradient(cell, x[:, -10:], readout, function))


@pytest.mark.parametrize("rate", [0.5, 0.85])
def test_gaps_fall_at_the_promised_rate(rate):
    """One linear unit attains both rates: log gap has the slope log rate in k."""
    cell = elman(1, 1, rate, "relu")
    stability, smoothness = constants(cell, rate, 1.0, 1.0, 0.0)
    steps = round(5 / -math.log10(rate))
    x, one = torch.full((1, 2 * steps, 2), 0.5**0.5, dtype=torch.float64), torch.ones(1).double()
    function, _ = LOSSES["linear"]
    full, ks = gradient(cell, x, one, function), list(range(steps // 4, steps, max(1, steps // 16)))
    gaps = [float((full - gradient(cell, x[:, -k:], one, function)).norm()) for k in ks]
    bounds = [gradient_gap(stability, smoothness, k).gradient for k in ks]
    assert slope(ks, np.array(gaps) / ks) == pytest.approx(math.log(rate), rel=0.06)
    assert slope(ks, np.array(bounds) / ks) == pytest.approx(math.log(rate), rel=0.06)
    assert all(0.3 * bound < gap <= bound for gap, bound in zip(gaps, bounds, strict=True))
    errors = [
        float((last_state(cell, x) - last_state(cell, x[:, -k:])).detach().norm()) for k in ks
    ]
    assert slope(ks, errors) == pytest.approx(math.log(rate), rel=1e-3)


def test_a_curved_cell_falls_no_slower_than_promised():
    cell, readout, x = elman(3, 4, 0.9), torch.ones(4).double(), inputs(3, 4, 300)
    function, _ = LOSSES["logistic"]
    full, ks = gradient(cell, x, readout, function), range(5, 60, 5)
    gaps = [float((full - gradient(cell, x[:, -k:], readout, function)).norm()) for k in ks]
    assert slope(ks, np.array(gaps) / ks) <= math.log(0.9)


def test_gaps_of_an_unstable_model_do_not_fall():
    """Two attractors: which one the state is at was decided by the first input."""
    cell = Elman(1, 1, dtype=torch.float64)
    with torch.no_grad():
        for weight, value in zip(cell.parameters(), (1.0, 2.0, 0.0, 0.0), strict=True):
            weight.fill_(value)
    x = torch.full((1, 100, 1), -0.05, dtype=torch.float64)
    x[:, 0] = 5.0
    function, _ = LOSSES["logistic"]
    one = torch.ones(1).double()
    full = gradient(cell, x, one, function)
    for k in (5, 20, 80):
        assert float((last_state(cell, x) - last_state(cell, x[:, -k:])).detach().abs()) > 1
        assert float((full - gradient(cell, x[:, -k:], one, function)).norm()) > 0.05
    with pytest.raises(ValueError, match=r"below 1, got 2\.0"):
        Stability(2.0, 1.0, 1.0, PROVED)


def train(cell, x, readout, rate, steps, step_size):
    """Projected gradient descent, step size alpha / n, on the ball |W_h|_2 <= rate."""
    function, _ = LOSSES["logistic"]
    for n in range(1, steps + 1):
        moves = gradient(cell, x, readout, function)
        with torch.no_grad():
            offset = 0
            for weight in cell.parameters():
                part = moves[offset : offset + weight.numel()].view_as(weight)
                weight.sub_(step_size / n * part)
                offset += weight.numel()
            u, s, v = torch.linalg.svd(cell.weight_hh_l0)
            cell.weight_hh_l0.copy_(u @ torch.diag(s.clamp(max=rate)) @ v)
    return torch.cat([weight.detach().flatten() for weight in cell.parameters()])


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("step_size", [0.05, 0.5])
def test_training_on_windows_ends_within_its_bound(seed, step_size):
    rate, steps, x = 0.6, 25, inputs(seed, 4, 40)
    readout = torch.tensor([0.3, -0.2], dtype=torch.float64)
    stability, smoothness = constants(
        elman(seed, 2, rate), rate, 1.0, float(readout.norm()), LOSSES["logistic"][1]
    )
    long = elman(seed, 2, rate)
    full, gaps, ks = train(long, x, readout, rate, steps, step_size), [], (2, 5, 10, 20)
    for k in ks:
        cell = elman(seed, 2, rate)
        short = train(cell, x[:, -k:], readout, rate, steps, step_size)
        bound = training_gap(stability, smoothness, k, steps, step_size)
        gaps.append(float((full - short).norm()))
        assert gaps[-1] <= bound.weights
        apart = (last_state(long, x) - last_state(cell, x[:, -k:])) @ readout
        assert float(apart.detach().abs().max()) <= bound.outputs
    assert slope(ks, np.array(gaps) / ks) <= math.log(rate)


@settings(max_examples=100, deadline=None)
@given(
    rate=st.one_of(st.just(0.0), st.floats(1e-6, 0.999)),
    start=st.floats(0, 1e3),
    values=st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1e3)), min_size=7, max_size=7),
    eps=st.floats(1e-6, 1e3),
)
def test_windows_are_the_least(rate, start, values, eps):
    """At k and beyond the bound is at most eps, and just before it is not."""
    stability = Stability(rate, start, 1.5, PROVED)
    smoothness = Smoothness(*values, PROVED)
    found = window_for_inference(stability, eps)
    assert found.outputs <= eps * (1 + 1e-9)
    assert found.k == 1 or 1.5 * start * rate ** (found.k - 1) > eps * (1 - 1e-9)

    def bound(k):
        return gradient_gap(stability, smoothness, k).gradient

    gap = window_for_gradient(stability, smoothness, eps)
    assert max(bound(gap.k + j) for j in (0, 1, 2, 5, 10, 100, 10_000)) <= eps * (1 + 1e-9)
    assert gap.k == 1 or bound(gap.k - 1) > eps * (1 - 1e-9)
    trained = window_for_training(stability, smoothness, eps, steps=50, step_size=1e-3)
    assert trained.weights <= eps * (1 + 1e-9)
    before = training_gap(stability, smoothness, max(1, trained.k - 1), 50, 1e-3)
    assert trained.k == 1 or before.weights > eps * (1 - 1e-9)


@settings(max_examples=30, deadline=None)
@given(
    steps=st.integers(1, 300),
    step_size=st.floats(1e-6, 1.0),
    values=st.lists(st.floats(0.0, 2.0), min_size=7, max_size=7),
)
def test_the_growth_is_that_of_the_recursion(steps, step_size, values):
    stability, smoothness = Stability(0.3, 1.0, 1.0, PROVED), Smoothness(*values, PROVED)
    gap, beta = (
        gradient_gap(stability, smoothness, 3).gradient,
        gradient_lipschitz(stability, smoothness),
    )
    apart = 0.0
    for n in range(1, steps + 1):
        apart += step_size / n * (beta * apart + gap)
    bound = training_gap(stability, smoothness, 3, steps, step_size).weights
    assert bound == pytest.approx(apart, rel=1e-9, abs=1e-300)
    assert bound >= apart * (1 - 1e-13)
    if beta:
        assert bound <= gap / beta * (math.e * steps) ** (step_size * beta) * (1 + 1e-9)


def test_more_steps_than_are_summed_are_bounded():
    stability = Stability(0.3, 1.0, 1.0, PROVED)
    smoothness = Smoothness(0.1, 0.1, 0.1, 0.1, 0.0, 1.0, 0.1, PROVED)
    product = 0.1 * gradient_lipschitz(stability, smoothness)
    many = 10**7
    exact = math.lgamma(many + 1 + product) - math.lgamma(many + 1) - math.lgamma(1 + product)
    gap = gradient_gap(stability, smoothness, 3).gradient
    expected = gap * 0.1 / product * math.expm1(exact)
    bound = training_gap(stability, smoothness, 3, many, 0.1).weights
    assert expected * (1 - 1e-7) <= bound <= expected * (1 + 1e-4)


def test_a_slowly_forgetting_model_does_not_overflow():
    """N^beta is beyond float64 and the window, which takes its logarithm, is not."""
    stability = Stability(0.99, 10.0, 1.0, PROVED)
    smoothness = Smoothness(1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, PROVED)
    found = window_for_training(stability, smoothness, 1e-3, steps=10_000, step_size=1.0)
    assert 10**6 < found.k < 10**10
    assert found.weights <= 1e-3 * (1 + 1e-6)
    assert math.isinf(training_gap(stability, smoothness, 10, 10_000, 1.0).weights)


def test_orders_in_the_gap_to_1():
    """As docs/theory/windows.md says: beta grows like (1-rate)^-3, the gap like (1-rate)^-2."""
    smoothness = Smoothness(1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, PROVED)

    def of(rate):
        stability = Stability.from_inputs(rate, 1.0, 1.0, 1.0, evidence=PROVED)
        scaled = gradient_gap(stability, smoothness, 10**6).gradient / (1e6 * rate**1e6)
        return gradient_lipschitz(stability, smoothness), scaled

    (beta, gap), (beta_near, gap_near) = of(1 - 1e-4), of(1 - 2e-4)
    assert beta / beta_near == pytest.approx(2**3, rel=0.01)
    assert gap / gap_near == pytest.approx(2**2, rel=0.05)


def test_the_papers_window():
    stability = Stability.from_inputs(0.9, 2.0, 3.0, 0.5, evidence=PROVED)
    assert stability.start == pytest.approx(60.0)
    k = window_for_inference(stability, 1e-3).k
    assert k == math.ceil(math.log(0.5 * 2 * 3 / (0.1 * 1e-3), 1 / 0.9))


@pytest.mark.parametrize("first", list(Evidence))
@pytest.mark.parametrize("second", list(Evidence))
def test_the_weaker_evidence_prevails(first, second):
    assert list(Evidence).index(weakest(first, second)) >= list(Evidence).index(first)
    assert weakest(first, second) in (first, second)


def test_a_measured_constant_makes_a_result_measured():
    certificate = Certificate(PROVED, "2", rate=0.5, start=2.0)
    values = (1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0)
    proved = Stability.from_certificate(certificate, 1.0, evidence=PROVED)
    for stability, smoothness, expected in [
        (proved, Smoothness(*values, PROVED), PROVED),
        (proved, Smoothness(*values, MEASURED), MEASURED),
        (Stability(0.5, 2.0, 1.0, MEASURED), Smoothness(*values, PROVED), MEASURED),
    ]:
        assert gradient_gap(stability, smoothness, 3).evidence is expected
        assert window_for_gradient(stability, smoothness, 0.1).evidence is expected
        assert training_gap(stability, smoothness, 3, 10, 0.1).evidence is expected
        assert window_for_training(stability, smoothness, 0.1, 10, 0.1).evidence is expected
        assert window_for_inference(stability, 0.1).evidence is stability.evidence
    measured = Stability.from_certificate(certificate, 1.0, evidence=MEASURED)
    assert measured.evidence is MEASURED


@pytest.mark.parametrize("rate", [1.0, 1.5, math.inf, math.nan, -0.1])
def test_a_model_that_does_not_contract_is_refused(rate):
    with pytest.raises(ValueError, match="rate must be at least 0 and below 1"):
        Stability(rate, 1.0, 1.0, PROVED)
    with pytest.raises(ValueError, match="rate must be at least 0 and below 1"):
        Stability.from_inputs(rate, 1.0, 1.0, 1.0, evidence=PROVED)


def test_what_no_bound_can_be_drawn_from_is_refused():
    with pytest.raises(ValueError, match=r"UNKNOWN \(no rule\)"):
        Stability.from_certificate(unknown("no rule"), 1.0, evidence=PROVED)
    for evidence in (Evidence.STATISTICAL, Evidence.UNKNOWN):
        with pytest.raises(ValueError, match=evidence.name):
            Stability(0.5, 1.0, 1.0, evidence)
    with pytest.raises(ValueError, match="state_weights must be a finite number"):
        Smoothness(1.0, 0.0, math.inf, 0.0, 0.0, 1.0, 0.0, PROVED)
    stability = Stability(0.5, 1.0, 1.0, PROVED)
    smoothness = Smoothness(1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, PROVED)
    for eps in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="eps must be"):
            window_for_inference(stability, eps)
        with pytest.raises(ValueError, match="eps must be"):
            window_for_training(stability, smoothness, eps, 10, 0.1)
    with pytest.raises(ValueError, match="k must be"):
        gradient_gap(stability, smoothness, 0)
    with pytest.raises(ValueError, match="steps must be"):
        training_gap(stability, smoothness, 1, 0, 0.1)
    with pytest.raises(ValueError, match="step_size must be"):
        training_gap(stability, smoothness, 1, 10, 0.0)
