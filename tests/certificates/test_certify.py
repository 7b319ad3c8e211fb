"""Certificates of every kind of cell, and each part of their proofs, under attack."""

import itertools
import math

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from attacking import (
    DRAWS,
    DTYPES,
    KINDS,
    SETS,
    Inputs,
    attack_blocks,
    attack_from_anywhere,
    attack_from_zero,
    check_in_box,
    examples,
    gap,
    input_set,
    inside,
    proved,
    random_cell,
    run,
)
from cases import CELLS
from unrecur.cells import GRU, LRU, LSTM, Elman, MinGRU
from unrecur.certificates.certificate import Evidence
from unrecur.certificates.chain import NoRuleError
from unrecur.certificates.contraction import RULES, certify
from unrecur.certificates.expressions import advance, show
from unrecur.certificates.inputs import Box, points, read_box
from unrecur.certificates.norms import Layer
from unrecur.certificates.numbers import (
    LOG_SIGMOID,
    ROUNDED_ZERO,
    SIGMOID,
    TANH,
    AbstractNumbers,
    leaky_relu,
)
from unrecur.certificates.reach import Reach
from unrecur.core.compose import Pointwise, Serial
from unrecur.layers.embedding import Embedding
from unrecur.layers.recurrent import Recurrent
from unrecur.truncation.bound import output_bound

EXACT = 1 + 1e-9  # float64 against float64
SEEDS = st.integers(0, 2**20)
UNITS = st.sampled_from([1, 2, 3, 5, 8])
# The states of these are held by a ball, and the box around it is not mapped into itself.
ROUND = {"elman-relu", "elman-leaky", "lru"}


def fixed_generator():
    return torch.Generator().manual_seed(0)


# Whole certificates.


@pytest.mark.slow
@examples(fixed=10, search=2000)
@given(
    kind=KINDS,
    features=st.integers(1, 3),
    units=UNITS,
    draw=DRAWS,
    given_set=SETS,
    dtype=DTYPES,
    k=st.sampled_from([2, 3, 7, 20]),
    seed=SEEDS,
)
def test_no_attack_exceeds_a_bound(kind, features, units, draw, given_set, dtype, k, seed):
    generator = torch.Generator().manual_seed(seed)
    cell = random_cell(kind, features, units, draw, dtype, generator)
    inputs = Inputs(input_set(given_set, features, generator), dtype, generator)
    certificate = proved(cell, inputs.given)
    if certificate.evidence is Evidence.UNKNOWN:
        assert certificate.reasons
        assert certificate.bound(k) == math.inf
        assert certificate.steps(0.1) is certificate.output(k) is None
        return
    for window in (0, 1, k):
        for long in (1, 25):
            attack_from_zero([cell], certificate, inputs, window, long)
        attack_from_anywhere([cell], certificate, inputs, window)
    attack_blocks(Recurrent([cell]), certificate, inputs, (1, k))
    curve = [certificate.bound(window, "any") for window in range(30)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(curve))
    assert all(certificate.bound(n) <= bound * EXACT for n, bound in enumerate(curve))
    assert not certificate.output(k).requires_grad


@examples(fixed=4, search=500)
@given(
    kinds=st.lists(KINDS, min_size=2, max_size=3),
    units=st.tuples(UNITS, UNITS, UNITS),
    draw=DRAWS,
    given_set=SETS,
    dtype=DTYPES,
    k=st.sampled_from([2, 5, 12]),
    seed=SEEDS,
)
def test_no_attack_exceeds_the_bound_of_a_stack(kinds, units, draw, given_set, dtype, k, seed):
    generator = torch.Generator().manual_seed(seed)
    sizes = (2, *units)
    cells = [
        random_cell(kind, sizes[n], sizes[n + 1], draw, dtype, generator)
        for n, kind in enumerate(kinds)
    ]
    layer = Recurrent(cells)
    inputs = Inputs(input_set(given_set, 2, generator), dtype, generator)
    certificate = proved(layer, inputs.given)
    if certificate.evidence is Evidence.UNKNOWN:
        assert all(reason.startswith("layer ") for reason in certificate.reasons)
        return
    assert len(certificate.state_box) == len(kinds)
    for window in (0, 1, k):
        attack_from_zero(cells, certificate, inputs, window, 20)
        attack_from_anywhere(cells, certificate, inputs, window)
    attack_blocks(layer, certificate, inputs, (1, k))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("make", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_window_on_both_sides_is_enough_for_two_directions(make, layers):
    torch.manual_seed(layers)
    module = make(2, 3, num_layers=layers, bidirectional=True, batch_first=True)
    inputs = Inputs(input_set("symmetric", 2, fixed_generator()), torch.float32, fixed_generator())
    certificate = proved(module, inputs.given)
    assert certificate.evidence is Evidence.PROVED
    assert len(certificate.state_box) == 2 * layers
    windows = (1, 2, 5, 9)
    bounds = {k: certificate.output(k) for k in windows}
    x = inputs.draw(32, 30)
    for _ in range(4):
        x = x.detach().requires_grad_()
        whole, total = module(x)[0], 0.0
        for k, t in itertools.product(windows, (2, 14, 29)):
            first = max(0, t - k + 1)  # a window is cut at an end of the sequence
            window = module(x[:, first : t + k])[0][:, t - first]
            error = (whole[:, t].double() - window.double()).abs()
            assert (error.detach() <= bounds[k]).all()
            total = total + error.amax(1).sum() * 2.0**k
        (slope,) = torch.autograd.grad(total, x)
        x = inputs.climb(x.detach(), slope)
    assert certificate.bound(40) < certificate.bound(9) / 2


@examples(fixed=6, search=300)
@given(kind=KINDS, units=UNITS, draw=DRAWS, vocabulary=st.integers(1, 4), seed=SEEDS)
def test_no_text_errs_above_the_bound_of_a_model_with_an_embedding(
    kind, units, draw, vocabulary, seed
):
    """Every text there is, up to a length, through the readout."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    cell = random_cell(kind, 2, units, draw, torch.float64, generator)
    head = [Pointwise(nn.Linear(units, 2), units, 2), Pointwise(nn.Tanh(), 2)]
    model = Serial(Embedding(vocabulary, 2), Recurrent([cell]), *head).double().eval()
    certificate = proved(model, None)
    if certificate.evidence is Evidence.UNKNOWN:
        return
    assert str(vocabulary) in certificate.assumptions[0]
    time = {1: 9, 2: 8, 3: 5, 4: 5}[vocabulary]
    texts = torch.cartesian_prod(*[torch.arange(vocabulary)] * time).view(-1, time)
    with torch.no_grad():
        whole, states = model(texts)
        for k in range(1, time + 1):
            window, others = model(texts[:, -k:])
            assert float((whole[:, -1] - window[:, -1]).abs().max()) <= output_bound(
                model, certificate, k
            )
            recurrent = zip(states, others, strict=True)
            for (h,), (g,) in [pair for pair in recurrent if pair[0]]:
                assert float((h - g).abs().max()) <= certificate.bound(k)


@pytest.mark.parametrize(("make", "ours"), [(nn.LSTM, LSTM), (nn.GRU, GRU), (nn.RNN, Elman)])
def test_a_torch_module_is_certified_as_the_layer_with_its_weights(make, ours):
    torch.manual_seed(0)
    theirs = make(3, 4, num_layers=2)
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.mul_(0.4)
    layer = Recurrent([ours(3, 4), ours(4, 4)])
    layer.load_state_dict(theirs.state_dict())
    box = (0.0, 1.0)
    certificate, other = certify(theirs, box), certify(layer, box)
    assert certificate == other
    assert certificate.evidence is Evidence.PROVED
    assert certificate.bound(7) == other.bound(7)


# The parts of a proof.


def layer_of(kind, units, draw, given_set, dtype, seed):
    """A cell whose weights are shrunk until its states have a box, and its inputs."""
    generator = torch.Generator().manual_seed(seed)
    cell = random_cell(kind, 2, units, draw, dtype, generator)
    inputs = Inputs(input_set(given_set, 2, generator), dtype, generator)
    for _ in range(6):
        try:
            return Layer(Reach(cell, *inputs.given.ends)), inputs
        except NoRuleError:
            for name, weight in cell.named_parameters():
                weight.mul_(1.0 if name.endswith("_log") else 0.5)
    return None, inputs


def pairs_in(reach, inputs, batch=64):
    """Pairs of states: at corners of the box, anywhere in it, and close to each other."""
    low, high, pairs = reach.low, reach.high, []
    for _ in range(2):
        share = torch.rand(batch, len(low), generator=inputs.generator, dtype=torch.float64)
        share[: batch // 3] = share[: batch // 3].round()
        pairs.append(low + (high - low) * share)
    near = slice(2 * batch // 3, batch)
    pairs[1][near] = pairs[0][near] + (pairs[1][near] - pairs[0][near]) * 1e-3
    return [inside(h, low, high, inputs.dtype) for h in pairs]


PARTS = given(kind=KINDS, units=UNITS, draw=DRAWS, given_set=SETS, dtype=DTYPES, seed=SEEDS)


@examples(fixed=12, search=2000)
@PARTS
@torch.no_grad()
def test_a_box_is_mapped_into_itself_and_gaps_are_dominated(
    kind, units, draw, given_set, dtype, seed
):
    layer, inputs = layer_of(kind, units, draw, given_set, dtype, seed)
    if layer is None:
        return
    reach, cell, majorant = layer.reach, layer.reach.cell, layer.majorant
    assert (reach.low <= 0).all()
    assert (reach.high >= 0).all()
    low, high = reach.output()
    x, y = inputs.draw(64, 2).unbind(1)
    states, others = pairs_in(reach, inputs, 24)
    for h in states:
        new, shown = cell.phi(h.expand(64, -1), x).double(), cell.readout(h).double()
        assert ((low <= shown) & (shown <= high)).all()
        assert kind in ROUND or ((reach.low <= new) & (new <= reach.high)).all()
    room = 1e-12 * (1 + reach.high - reach.low)
    for s, t in zip(states, others, strict=True):
        apart = (s.double() - t.double()).abs()
        one, two = cell.phi(s.expand(64, -1), x), cell.phi(t.expand(64, -1), x)
        gap = (one.double() - two.double()).abs()
        shown = (cell.readout(one).double() - cell.readout(two).double()).abs()
        bound, output = majorant.step(apart)
        assert (gap <= bound).all()
        assert (shown <= output).all()
        assert (bound <= majorant.step(apart, saturated=False)[0]).all()
        now = (cell.readout(s).double() - cell.readout(t).double()).abs()
        assert (now <= majorant.shown(apart)).all()
        homogeneous = majorant.homogeneous(apart)
        torch.testing.assert_close(majorant.homogeneous(3 * apart), 3 * homogeneous)
        if dtype is torch.float64:
            assert (gap <= homogeneous * EXACT + room).all()
        if isinstance(inputs.given, Box):
            moved = (cell.phi(t, y[0]).double() - one[0].double()).abs()
            assert (moved <= majorant.step(apart, (x[0].double() - y[0].double()).abs())[0]).all()


@examples(fixed=12, search=2000)
@PARTS
@torch.no_grad()
def test_every_jacobian_lies_in_the_set(kind, units, draw, given_set, dtype, seed):
    layer, inputs = layer_of(kind, units, draw, given_set, dtype, seed)
    if layer is None:
        return
    family, cell = layer.jacobians, layer.reach.cell
    states, _ = pairs_in(layer.reach, inputs)
    x = inputs.draw(64, 1)[:, 0]
    apart = (cell.jacobian(states, x).double() - family.center).abs()
    error = 1e-9 if dtype is torch.float64 else 1e-4
    assert (apart <= family.radius + error * (1 + family.center.abs() + family.radius)).all()


@pytest.mark.slow
@examples(fixed=10, search=1000)
@given(kind=KINDS, units=UNITS, draw=DRAWS, given_set=SETS, seed=SEEDS)
@torch.no_grad()
def test_every_norm_contracts(kind, units, draw, given_set, seed):
    """Of real pairs of states, as long as both are in the box."""
    layer, inputs = layer_of(kind, units, draw, given_set, torch.float64, seed)
    if layer is None:
        return
    cell, low, high = layer.reach.cell, layer.reach.low, layer.reach.high
    noise = 1e-12 * (1 + high - low)
    for rule in RULES:
        try:
            norm = rule(layer)
        except NoRuleError:
            continue
        assert 0 <= norm.rate < 1
        first, second = pairs_in(layer.reach, inputs)
        before, stayed = first - second, torch.ones(len(first), dtype=torch.bool)
        for x_t in inputs.draw(len(first), norm.steps).unbind(1):
            stayed &= ((low <= first) & (first <= high)).all(1)
            stayed &= ((low <= second) & (second <= high)).all(1)
            first, second = cell.phi(first, x_t), cell.phi(second, x_t)
        after = (first - second)[stayed]
        before = before[stayed]
        shrunk = norm.rate**norm.steps * EXACT * size(norm, before)
        assert (size(norm, after) <= shrunk + norm.of(noise)).all()
        assert (before.abs() <= size(norm, before)[:, None] * norm.ball * EXACT).all()
        for d, length in zip(before[:8], size(norm, before), strict=False):
            assert length <= norm.of(d.abs())
        if norm.product is not None:
            assert (after.abs() <= before.abs() @ norm.product.T * EXACT + noise).all()


def size(norm, d):
    """The norm of each row."""
    if norm.weights is not None:
        return (d.abs() * norm.weights).amax(1)
    return (d if norm.root is None else d @ norm.root.T).norm(dim=1)


# Rounding.


class Exact(AbstractNumbers):
    """Numbers of 40 digits."""

    def __init__(self, values):
        self.values = values

    def linear(self, weight, bias):
        shift = [0] * len(weight) if bias is None else bias.tolist()
        rows = zip(weight.tolist(), shift, strict=True)
        return Exact([mpmath.fdot(row, self.values) + b for row, b in rows])

    def activate(self, activation):
        function = {
            TANH: mpmath.tanh,
            SIGMOID: lambda x: 1 / (1 + mpmath.exp(-x)),
            LOG_SIGMOID: lambda x: -mpmath.log1p(mpmath.exp(-x)),
            ROUNDED_ZERO: lambda x: mpmath.mpf(0),
            leaky_relu(0.0): lambda x: max(x, 0),
            leaky_relu(0.01): lambda x: max(x, mpmath.mpf(0.01) * x),
        }[activation]
        return Exact([function(x) for x in self.values])

    def _pairwise(self, other, function):
        return Exact([function(*pair) for pair in zip(self.values, other.values, strict=True)])

    def __add__(self, other):
        return self._pairwise(other, lambda a, b: a + b)

    def __mul__(self, other):
        return self._pairwise(other, lambda a, b: a * b)

    def mix(self, first, second):
        rest = Exact([1 - z for z in self.values])
        return self * first + rest * second

    def chunk(self, parts):
        length = len(self.values) // parts
        return [Exact(self.values[n * length :][:length]) for n in range(parts)]

    def beside(self, other):
        return Exact(self.values + other.values)

    def negated(self):
        return Exact([-x for x in self.values])


@pytest.mark.parametrize("kind", CELLS)
@torch.no_grad()
def test_float32_differs_from_exact_arithmetic_by_the_rounding_counted(kind):
    torch.manual_seed(0)
    cell = CELLS[kind](2, 3)
    certificate = proved(cell, 1.0)
    ((proof,),) = certificate.curve.layers
    h, error = cell.init_state(1), torch.zeros(cell.state_size).double()
    worst = 0.0
    with mpmath.workdps(40):
        exact = Exact([mpmath.mpf(0)] * cell.state_size)
        for x in torch.rand(60, 1, 2) * 2 - 1:
            h = cell.phi(h, x)
            exact = advance(cell, exact, Exact([mpmath.mpf(number) for number in x[0].tolist()]))
            error, shown = proof.layer.majorant.step(error)
            pairs = zip(h[0].tolist(), exact.values, strict=True)
            apart = torch.tensor([float(abs(a - b)) for a, b in pairs], dtype=torch.float64)
            assert (apart <= error).all()
            assert float(apart.max()) <= certificate.bound(10_000)
            pairs = zip(cell.readout(h)[0].tolist(), show(cell, exact).values, strict=True)
            assert all(abs(a - b) <= c for (a, b), c in zip(pairs, shown.tolist(), strict=True))
            worst = max(worst, float(apart.max()))
    assert worst > 1e-9  # the test sees rounding at all


def test_numbers_too_small_to_be_normal_are_counted():
    """Steps of half precision below 6e-8 are rounded to whole ones."""
    cell = MinGRU(1, 1, dtype=torch.float16)
    with torch.no_grad():
        cell.projection.weight.zero_()
        cell.projection.bias.copy_(torch.tensor([0.0, 3 * 2.0**-24]))
    certificate = certify(cell, 1.0)
    x, h = torch.zeros(1, 30, 1).half(), cell.init_state(1)
    states, _ = run([cell], x, [h])
    reached = float(states[0].detach())
    assert 3 * 2.0**-24 < reached <= certificate.bound(0)  # above the candidate it moves to
    check_in_box(certificate, states)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["elman", "elman-relu", "gru", "lstm", "min_lstm", "qrnn", "lru"])
def test_half_precision_is_unknown_or_holds(kind, dtype):
    generator = fixed_generator()
    torch.manual_seed(0)
    cell = CELLS[kind](2, 3, dtype=dtype)
    inputs = Inputs(input_set("one-sided", 2, generator), dtype, generator)
    certificate = proved(cell, inputs.given, shrinks=2)
    if kind == "lru":  # torch has no complex half precision
        assert certificate.evidence is Evidence.UNKNOWN
    if certificate.evidence is Evidence.PROVED:
        assert certificate.rounding > 1e-3
        for k in (0, 2, 8):
            attack_from_zero([cell], certificate, inputs, k, 12)
            attack_from_anywhere([cell], certificate, inputs, k)


@pytest.mark.parametrize("kind", ["gru", "elman-relu"])
def test_precision_switches_of_both_kinds_are_counted(kind):
    torch.manual_seed(0)
    cell = CELLS[kind](2, 3)
    rounding = [proved(cell, 1.0).rounding]
    for part in (torch.backends.mkldnn.matmul, torch.backends.mkldnn.rnn):
        if hasattr(part, "fp32_precision"):
            before, part.fp32_precision = part.fp32_precision, "bf16"
            try:
                certificate = certify(cell, 1.0)
            finally:
                part.fp32_precision = before
            assert certificate.evidence is Evidence.UNKNOWN or (
                certificate.rounding > 1000 * rounding[0]
            )
    assert certify(cell, 1.0).rounding == rounding[0]


# What must not be claimed.


def test_numbers_that_overflow_are_unknown():
    """The exact numbers are bounded, and the computed ones are not."""
    cell = Elman(2, 2)
    for name, weight in cell.named_parameters():
        nn.init.constant_(weight, 0.0)
        if name == "weight_ih_l0":
            weight.data = torch.tensor([[3e38, -3e38], [3e38, 3e38]])
    x = torch.full((1, 2), 2.0)
    assert cell.phi(cell.init_state(1), x).isnan().any()
    assert certify(cell, (x[0], x[0])).evidence is Evidence.UNKNOWN
    half = Elman(1, 1, activation="relu", dtype=torch.float16)
    for name, weight in half.named_parameters():
        nn.init.constant_(weight, {"weight_ih_l0": 1.0, "weight_hh_l0": 0.5}.get(name, 0.0))
    assert certify(half, 1e2).evidence is Evidence.PROVED
    assert certify(half, 6e4).evidence is Evidence.UNKNOWN  # the states reach 1.2e5


@pytest.mark.parametrize("name", ["gamma_log", "theta_log", "nu_log"])
def test_an_lru_whose_numbers_are_not_finite_is_unknown(name):
    """Its weights are; it is their exponentials that overflow."""
    cell = LRU(2, 3)
    nn.init.constant_(getattr(cell, name), -200.0 if name == "nu_log" else 800.0)
    assert certify(cell, 1.0).evidence is Evidence.UNKNOWN


def keeping(bias, dtype=torch.float64):
    """An LSTM of two units whose forget gates have this bias and small weights."""
    cell, generator = LSTM(1, 2, dtype=dtype), fixed_generator()
    with torch.no_grad():
        for weight in cell.parameters():
            weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
        cell.bias_ih_l0[2:4] = bias
    return cell


def test_a_forget_gate_of_1_is_unknown_for_any_length():
    cell = keeping(30.0, torch.float32)
    certificate = certify(cell, 1.0)
    assert certificate.evidence is Evidence.UNKNOWN
    assert "horizon" in certificate.reasons[0]
    # With reason: what the first input put into the state is still there a thousand inputs later.
    x = torch.zeros(1, 1000, 1)
    x[:, 0] = 1.0
    one, _ = run([cell], x, [cell.init_state(1)])
    two, _ = run([cell], x[:, 1:], [cell.init_state(1)])
    assert float(gap(one, two).detach().max()) > 0.01


@pytest.mark.parametrize(
    ("bias", "horizon", "known"), [(2.0, 4, True), (0.0, 20, True), (30.0, 20, False)]
)
def test_a_horizon_is_unknown_or_holds_for_sequences_so_long(bias, horizon, known):
    cell, generator = keeping(bias), fixed_generator()
    certificate = certify(cell, 3.0, horizon=horizon)
    assert (certificate.evidence is Evidence.PROVED) == known
    if bias:  # the state grows, and from some length on nothing contracts
        assert certify(cell, 3.0).evidence is Evidence.UNKNOWN
    if not known:
        return
    assert f"at most {horizon} inputs" in certificate.assumptions[1]
    inputs = Inputs(read_box(3.0, 1), torch.float64, generator)
    for k in range(0, horizon, 2):
        attack_from_zero([cell], certificate, inputs, k, horizon - k)


def test_a_horizon_is_followed_to_its_end():
    """The state goes on growing by less and less."""
    cell = Elman(1, 1, activation="relu", bias=False, dtype=torch.float64)
    nn.init.constant_(cell.weight_ih_l0, 1.0)
    nn.init.constant_(cell.weight_hh_l0, 0.9)
    x = torch.ones(1, 300, 1, dtype=torch.float64)
    for horizon in (1, 2, 80, 300):
        certificate = certify(cell, (0.0, 1.0), horizon=horizon)
        states, _ = run([cell], x[:, :horizon], [cell.init_state(1)])
        check_in_box(certificate, states)
        reached = float(states[0].detach())
        assert reached <= certificate.bound(0) <= reached * 1.01


# What a certificate offers.


@pytest.mark.parametrize("kind", ["lstm", "gru", "lru", "elman-relu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_is_the_least_window_of_the_curve(kind, dtype):
    torch.manual_seed(1)
    certificate = proved(CELLS[kind](2, 4, dtype=dtype), 1.0)
    floor = certificate.bound(100_000)
    for eps in (2.0, 0.3, 1e-2, floor * 1.1):
        k = certificate.steps(eps)
        assert certificate.bound(k) <= eps
        assert all(certificate.bound(n) > eps for n in range(k))
    assert certificate.steps(floor * 0.99) is None
    assert certificate.steps(floor * 1.01) is not None
    assert floor < (1e-3 if dtype is torch.float32 else 1e-10)


@pytest.mark.parametrize("stacked", [True, False])
def test_a_certificate_is_about_the_weights_it_was_made_for(stacked):
    torch.manual_seed(0)
    sizes = [(2, 3), (3, 3)] if stacked else [(2, 3)]
    layer = Recurrent([Elman(*size, dtype=torch.float64) for size in sizes])
    table = torch.rand(4, 2, dtype=torch.float64)
    proved(layer, points(table))
    one, two = certify(layer, points(table)), certify(layer, points(table))
    before = [one.bound(k) for k in range(6)], one.output(4)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.mul_(3)
        table.mul_(3)
    assert [two.bound(k) for k in range(6)] == before[0]
    assert torch.equal(two.output(4), before[1])
    assert not before[1].requires_grad


# Bad requests.


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_weight_that_is_not_finite_is_named_before_any_eigenvalue(kind, value, monkeypatch):
    for routine in ("matrix_norm", "eigvals", "eigh", "svd", "solve_ex"):
        monkeypatch.setattr(torch.linalg, routine, lambda *_, **__: pytest.fail("not checked"))
    cell = CELLS[kind](2, 3)
    for name, weight in cell.named_parameters():
        before = weight.detach().clone()
        weight.data.flatten()[-1] = value
        with pytest.raises(ValueError, match=f"{name} must be finite"):
            certify(cell, 1.0)
        weight.data.copy_(before)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("given_set", "message"),
    [
        (None, "input_box is needed"),
        ("wide", "must be a number B"),
        ({}, "must be a number B"),
        ((0.0, 1.0, 2.0), "must be a number B"),
        ((1.0, 0.0), "low <= high"),
        (-1.0, "low <= high"),
        (([0.0, 0.0, 1.0], [1.0, 1.0, 0.9]), "low <= high"),
        (math.inf, "must be finite"),
        (math.nan, "must be finite"),
        ((0.0, [1.0, math.nan, 1.0]), "must be finite"),
        (([0.0], [1.0, 2.0]), "3 features"),
        (([0.0] * 3, [[1.0] * 3]), "3 features"),
        (points(torch.zeros(2, 4)), "4 features, the model reads 3"),
    ],
)
def test_a_malformed_set_of_inputs_is_refused(given_set, message):
    with pytest.raises(ValueError, match=message):
        certify(Elman(3, 2), given_set)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("vectors", [[], [[]], [1.0, 2.0], [[math.nan]], [[math.inf]]])
def test_a_malformed_vocabulary_is_refused(vectors):
    with pytest.raises(ValueError, match="vocabulary"):
        points(vectors)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("horizon", [0, -1, 2.5, True, "long"])
def test_a_horizon_is_a_whole_number(horizon):
    with pytest.raises(ValueError, match="horizon must be a whole number"):
        certify(Elman(3, 2), 1.0, horizon=horizon)


def test_a_projected_lstm_is_refused_with_the_cure():
    with pytest.raises(ValueError, match="proj_size=2 is not supported; use proj_size=0"):
        certify(nn.LSTM(3, 4, proj_size=2), 1.0)
    with pytest.raises(ValueError, match="k must be at least 0"):
        certify(Elman(3, 2), 0.1).bound(-1)
