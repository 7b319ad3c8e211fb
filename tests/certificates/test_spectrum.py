"""Lyapunov exponents, Jacobian norms and one-step ratios, against closed forms."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cases import CELLS
from unrecur.cells import GRU, LSTM, MGU, Elman
from unrecur.certificates.certificate import Evidence
from unrecur.certificates.norms import Layer, spectral_norm, sup_norm
from unrecur.certificates.project import project_
from unrecur.certificates.ratio import one_step_ratio
from unrecur.certificates.reach import Reach
from unrecur.certificates.spectrum import jacobian_norms, lyapunov_exponents
from unrecur.core.cell import AbstractCell
from unrecur.layers.recurrent import Recurrent


class Linear(AbstractCell):
    """h' = W h + U x, the one cell whose exponents are known whatever the inputs."""

    def __init__(self, weight):
        super().__init__()
        self.input_size, self.hidden_size = 1, len(weight)
        self.weight = torch.nn.Parameter(torch.as_tensor(weight, dtype=torch.float64))

    @property
    def state_size(self):
        return self.hidden_size

    def phi(self, h, x):
        return h @ self.weight.T + x

    def jacobian(self, h, x):
        return self.weight.expand(*h.shape, -1)

    def readout(self, h):
        return h

    def fused(self, x, h, batch_sizes=None):
        return None


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(kind, features, units, seed, size=1.5):
    torch.manual_seed(seed)
    cell = CELLS[kind](features, units, dtype=torch.float64)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.mul_(size)
    return cell


def jacobians(cell, x):
    """The Jacobian of every step, by differentiating phi."""
    h, found = cell.init_state(len(x)), []
    for x_t in x.unbind(1):
        found.append(torch.func.vmap(torch.func.jacrev(cell.phi))(h, x_t).detach())
        h = cell.phi(h, x_t).detach()
    return torch.stack(found, 1)


def test_exponents_of_a_linear_cell_are_log_eigenvalues():
    weight = normal(5, 5) / 3
    spectrum = lyapunov_exponents(Linear(weight), torch.zeros(2, 1200, 1), discard=200)
    expected = torch.linalg.eigvals(weight).abs().log().sort(descending=True).values
    # Complex pairs turn in their plane: their mean over a time is off by no more than O(1/time).
    torch.testing.assert_close(spectrum.exponents, expected.expand(2, -1), atol=2e-3, rtol=0)
    total = torch.linalg.slogdet(weight).logabsdet
    torch.testing.assert_close(spectrum.exponents.sum(1), total.expand(2), atol=1e-9, rtol=0)
    assert (spectrum.steps, spectrum.discarded) == (1000, 200)
    assert spectrum.evidence is Evidence.MEASURED


def test_exponents_of_a_linear_elman_cell():
    """The rectifier's cell is linear where weights, biases and inputs are positive."""
    cell = Elman(1, 3, activation="relu")
    weight = torch.tensor([[0.5, 0.1, 0.0], [0.1, 0.4, 0.05], [0.0, 0.1, 0.3]])
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.fill_(1.0)
        cell.weight_hh_l0.copy_(weight)
    spectrum = lyapunov_exponents(cell, torch.rand(1, 600, 1), discard=200)
    expected = torch.linalg.eigvals(weight.double()).abs().log().sort(descending=True).values
    torch.testing.assert_close(spectrum.mean, expected, atol=1e-6, rtol=0)


def test_exponents_of_a_diagonal_cell_come_largest_first():
    cell = Linear(torch.diag(torch.tensor([0.1, 0.9, -1.5, 0.5])))
    spectrum = lyapunov_exponents(cell, torch.zeros(1, 300, 1), discard=100)
    expected = torch.tensor([1.5, 0.9, 0.5, 0.1], dtype=torch.float64)
    torch.testing.assert_close(spectrum.mean.exp(), expected)
    two = lyapunov_exponents(cell, torch.zeros(1, 300, 1), count=2, discard=100)
    torch.testing.assert_close(two.mean.exp(), expected[:2])


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(sorted(CELLS)),
    features=st.integers(1, 3),
    units=st.integers(1, 5),
    batch=st.integers(1, 3),
    time=st.integers(1, 12),
    discard=st.integers(0, 11),
    seed=st.integers(0, 1000),
)
def test_exponents_sum_to_the_log_determinant(kind, features, units, batch, time, discard, seed):
    cell, x = make(kind, features, units, seed), normal(batch, time, features, seed=seed)
    discard = min(discard, time - 1)
    spectrum = lyapunov_exponents(cell, x, discard=discard)
    expected = torch.linalg.slogdet(jacobians(cell, x)[:, discard:]).logabsdet.mean(1)
    torch.testing.assert_close(spectrum.exponents.sum(1), expected, atol=1e-7, rtol=1e-7)
    assert spectrum.exponents.shape == (batch, cell.state_size)


def test_the_largest_exponent_is_that_of_a_finite_difference():
    cell, x = make("gru", 2, 6, seed=3), normal(1, 400, 2)
    exponent = float(lyapunov_exponents(cell, x, count=1, discard=0).mean)
    h, logs, generator = cell.init_state(1), 0.0, torch.Generator().manual_seed(0)
    apart = 1e-7 * torch.randn(1, 6, generator=generator, dtype=torch.float64)
    for x_t in x.unbind(1):
        with torch.no_grad():
            after = cell.phi(h, x_t)
            moved = cell.phi(h + apart, x_t) - after
        logs += math.log(float(moved.norm() / apart.norm()))
        h, apart = after, 1e-7 * moved / moved.norm()
    # From another first direction: the difference is O(1 / 400).
    assert exponent == pytest.approx(logs / 400, abs=0.02)


def test_dead_units_forget_at_once():
    """Units of slope 0 leave nothing: as many exponents are -inf as units are always dead."""
    cell = Elman(1, 5, activation="relu", dtype=torch.float64)
    with torch.no_grad():
        cell.weight_hh_l0.copy_(normal(5, 5).abs() / 5)
        cell.weight_ih_l0.fill_(1.0)
        cell.bias_ih_l0.copy_(torch.tensor([-100.0, 1.0, -100.0, 1.0, 1.0]))
        cell.bias_hh_l0.zero_()
    x = torch.rand(2, 50, 1, generator=torch.Generator().manual_seed(0))
    exponents = lyapunov_exponents(cell, x).exponents
    assert (exponents[:, 3:] == -math.inf).all()
    assert exponents[:, :3].isfinite().all()
    alive = torch.linalg.eigvals(cell.weight_hh_l0.detach()[[1, 3, 4]][:, [1, 3, 4]])
    largest = float(alive.abs().max().log())
    assert float(exponents[0, 0]) == pytest.approx(largest, abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_units_that_die_on_the_way_count_as_many(seed):
    torch.manual_seed(seed)
    cell, x = Elman(2, 16, activation="relu", dtype=torch.float64), normal(1, 40, 2, seed=seed)
    dead = (jacobians(cell, x).abs().sum(-1) == 0).sum(-1).max()
    exponents = lyapunov_exponents(cell, x, discard=0).exponents
    assert int((exponents == -math.inf).sum()) >= int(dead) > 0


@settings(max_examples=40, deadline=None)
@given(units=st.integers(1, 8), rank=st.integers(0, 8), seed=st.integers(0, 1000))
def test_what_is_singular_has_as_many_infinite_exponents(units, rank, seed):
    rank = min(rank, units)
    weight = normal(units, rank, seed=seed) @ normal(rank, units, seed=seed + 1)
    exponents = lyapunov_exponents(Linear(weight), torch.zeros(1, 5, 1)).exponents
    assert int(exponents.isfinite().sum()) == rank


def test_one_step():
    cell, x = make("lstm", 2, 3, seed=0), normal(2, 1, 2)
    spectrum = lyapunov_exponents(cell, x)
    assert (spectrum.steps, spectrum.discarded) == (1, 0)
    norms = jacobian_norms(cell, x)
    assert norms.lags == (1,)
    expected = torch.linalg.matrix_norm(jacobians(cell, x)[:, 0], 2).log()
    torch.testing.assert_close(norms.log_norms[:, 0, 0], expected)


def test_standard_error():
    cell, x = make("lstm", 2, 3, seed=0), normal(6, 40, 2)
    spectrum = lyapunov_exponents(cell, x)
    expected = spectrum.exponents.std(0) / 6**0.5
    torch.testing.assert_close(spectrum.standard_error, expected)
    torch.testing.assert_close(spectrum.mean, spectrum.exponents.mean(0))
    assert lyapunov_exponents(cell, x[:1]).standard_error.isnan().all()


def test_long_sequences_neither_over_nor_underflow():
    weight = torch.diag(torch.tensor([3.0, 1e-3]))
    cell, x = Linear(weight), torch.zeros(1, 5000, 1)
    spectrum = lyapunov_exponents(cell, x)
    expected = torch.tensor([3.0, 1e-3], dtype=torch.float64).log()
    torch.testing.assert_close(spectrum.mean, expected)
    norms = jacobian_norms(cell, x, lags=[1, 5000])
    assert norms.largest.tolist() == pytest.approx([math.log(3), 5000 * math.log(3)])
    vanishing = jacobian_norms(Linear([[1e-3, 0.0], [0.0, 1e-4]]), x, lags=[500])
    assert float(vanishing.largest) == pytest.approx(500 * math.log(1e-3))


@settings(max_examples=20, deadline=None)
@given(
    kind=st.sampled_from(sorted(CELLS)),
    batch=st.integers(1, 3),
    time=st.integers(2, 12),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_norms_are_those_of_the_products(kind, batch, time, seed, data):
    cell, x = make(kind, 2, 3, seed), normal(batch, time, 2, seed=seed)
    lags = data.draw(st.lists(st.integers(1, time), min_size=1, max_size=4))
    starts = data.draw(st.integers(1, time - max(lags) + 1))
    norms = jacobian_norms(cell, x, lags=lags, starts=starts)
    assert norms.lags == tuple(sorted(set(lags)))
    assert len(set(norms.starts)) == starts
    steps = jacobians(cell, x)
    for n, start in enumerate(norms.starts):
        for m, lag in enumerate(norms.lags):
            product = torch.eye(cell.state_size, dtype=torch.float64)
            for t in range(start, start + lag):
                product = steps[:, t] @ product
            expected = torch.linalg.matrix_norm(product, 2).log()
            torch.testing.assert_close(norms.log_norms[:, n, m], expected)


def test_nothing_left_is_minus_infinity():
    cell = Linear(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    norms = jacobian_norms(cell, torch.zeros(1, 8, 1))
    assert norms.lags == (1, 2, 4, 8)
    assert norms.largest.tolist() == [0.0, -math.inf, -math.inf, -math.inf]
    assert jacobian_norms(cell, torch.zeros(1, 8, 1), starts=3).lags == (1, 2, 4)


@pytest.mark.parametrize("rate", [0.5, 0.9])
@pytest.mark.parametrize("kind", ["elman", "lstm"])
def test_a_measured_ratio_stays_below_a_proved_rate(kind, rate):
    cell = make(kind, 3, 8, seed=0, size=3.0)
    project_(cell, 1.0, rate)
    one = torch.ones(1, 3, dtype=torch.float64)
    with torch.no_grad():
        layer = Layer(Reach(cell, -one, one))
        norm, rule = ("2", spectral_norm) if kind == "elman" else ("sup", sup_norm)
        proved = rule(layer).rate
    x = normal(4, 50, 3).clamp(-1, 1)
    ratio = one_step_ratio(cell, x, norm=norm)
    assert ratio.evidence is Evidence.MEASURED
    assert 0 < ratio.largest <= proved * (1 + 1e-6)


@pytest.mark.parametrize("norm", ["2", "sup"])
def test_the_ratio_of_a_linear_cell_is_its_norm(norm):
    weight = normal(4, 4)
    order = 2 if norm == "2" else math.inf
    ratio = one_step_ratio(Linear(weight / 4), normal(2, 20, 1), norm=norm)
    expected = float(torch.linalg.matrix_norm(weight / 4, order))
    assert ratio.nearby == pytest.approx(expected, rel=1e-6)
    assert 0 < ratio.distant <= expected * (1 + 1e-12)
    assert ratio.largest == ratio.nearby


@pytest.mark.parametrize("kind", sorted(CELLS))
def test_nearby_states_part_as_the_jacobian_says(kind):
    cell, x = make(kind, 2, 4, seed=1), normal(2, 10, 2)
    expected = float(torch.linalg.matrix_norm(jacobians(cell, x), 2).max())
    assert one_step_ratio(cell, x).nearby == pytest.approx(expected, rel=1e-4)


def test_states_that_have_met_are_no_distant_pair():
    """From rounding alone the ratio of two states that agree to 1e-17 could be anything."""
    cell = make("elman", 1, 3, seed=0, size=0.3)
    rows = torch.ones(2, 300, 1)
    late = lyapunov_states(cell, rows)
    ratio = one_step_ratio(cell, rows[:, :50], state=late)
    assert ratio.distant is None
    assert ratio.largest == ratio.nearby < 1


def lyapunov_states(cell, x):
    h = cell.init_state(len(x))
    for x_t in x.unbind(1):
        h = cell.phi(h, x_t.double()).detach()
    return h


def test_a_stack_is_one_recurrence():
    torch.manual_seed(0)
    layer = Recurrent([LSTM(2, 3), GRU(3, 2), MGU(2, 2)], dropout=0.5).double()
    x = normal(2, 30, 2)
    spectrum = lyapunov_exponents(layer, x, discard=0)
    assert spectrum.exponents.shape == (2, 10)
    # The Jacobian is block lower triangular: its determinant is the product of the cells'.
    expected, inputs = torch.zeros(2, dtype=torch.float64), x
    for cell in layer.cells:
        expected += torch.linalg.slogdet(jacobians(cell, inputs)).logabsdet.mean(1)
        inputs = Recurrent([cell])(inputs)[0].detach()
    torch.testing.assert_close(spectrum.exponents.sum(1), expected, atol=1e-8, rtol=1e-8)
    single = Recurrent([layer.cells[0]])
    torch.testing.assert_close(
        lyapunov_exponents(single, x).exponents, lyapunov_exponents(layer.cells[0], x).exponents
    )
    assert one_step_ratio(layer, x).largest > 0
    assert jacobian_norms(layer, x, starts=4).log_norms.shape == (2, 4, 4)


def test_a_state_goes_in():
    cell, x = make("elman", 2, 4, seed=0), normal(3, 20, 2)
    whole = lyapunov_exponents(cell, x, discard=10)
    state = lyapunov_states(cell, x[:, :10])
    later = lyapunov_exponents(cell, x[:, 10:], state=state, discard=0)
    torch.testing.assert_close(later.exponents.sum(1), whole.exponents.sum(1))


def test_the_cell_is_left_as_it_is():
    cell = Elman(2, 3)
    before = [weight.clone() for weight in cell.parameters()]
    lyapunov_exponents(cell, torch.randn(2, 5, 2))
    for old, new in zip(before, cell.parameters(), strict=True):
        assert new.dtype is torch.float32
        assert torch.equal(old, new)


@pytest.mark.parametrize("measure", [lyapunov_exponents, jacobian_norms, one_step_ratio])
def test_what_is_not_finite_never_reaches_lapack(measure):
    cell, x = Linear([[1e200, 0.0], [0.0, 1.0]]), torch.ones(1, 5, 1)
    with pytest.raises(ValueError, match="left the range of float64"):
        measure(cell, x)
    with pytest.raises(ValueError, match="x must be finite"):
        measure(cell, x * math.inf)
    broken = Linear(torch.tensor([[math.inf]]))
    with pytest.raises(ValueError, match="weight must be finite"):
        measure(broken, x)
    # A rectifier's Jacobian is finite even where its state is NaN.
    relu = Elman(1, 2, activation="relu", dtype=torch.float64)
    with torch.no_grad():
        relu.weight_hh_l0.copy_(
            torch.tensor([[1e200, -1e200], [1e200, 1e200]], dtype=torch.float64)
        )
        relu.bias_ih_l0.fill_(1.0)
    with pytest.raises(ValueError, match="left the range of float64"):
        measure(relu, x)


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused():
    cell, x = make("elman", 2, 3, seed=0), normal(2, 10, 2)
    for count in (0, 4, 1.5):
        with pytest.raises(ValueError, match="count must be a whole number from 1 to 3"):
            lyapunov_exponents(cell, x, count=count)
    with pytest.raises(ValueError, match="discard must be"):
        lyapunov_exponents(cell, x, discard=10)
    with pytest.raises(ValueError, match="states of shape"):
        lyapunov_exponents(cell, x, state=torch.zeros(2, 4))
    with pytest.raises(ValueError, match="expected 2 features"):
        lyapunov_exponents(cell, x[..., :1])
    with pytest.raises(ValueError, match="a lag must be"):
        jacobian_norms(cell, x, lags=[11])
    with pytest.raises(ValueError, match="at least one lag"):
        jacobian_norms(cell, x, lags=[])
    with pytest.raises(ValueError, match="starts must be"):
        jacobian_norms(cell, x, lags=[8], starts=4)
    with pytest.raises(ValueError, match="unknown norm"):
        one_step_ratio(cell, x, norm="1")
    with pytest.raises(ValueError, match="samples must be"):
        one_step_ratio(cell, x, samples=0)
