"""The quadratic metric under attack, and held to a semidefinite program."""

from functools import cache
from types import SimpleNamespace

import pytest
import torch

from unrecur.cells import GRU, LRU, LSTM, MGU, Elman
from unrecur.certificates import quadratic as module
from unrecur.certificates.chain import NoRuleError
from unrecur.certificates.metric import Unknowns, proved_rate, unknowns
from unrecur.certificates.norms import Layer, perron, spectral_norm, sup_norm
from unrecur.certificates.parts import JacobianSet
from unrecur.certificates.quadratic import quadratic
from unrecur.certificates.reach import Reach

KINDS = {
    "tanh": lambda units: Elman(2, units),
    "relu": lambda units: Elman(2, units, activation="relu"),
    "lstm": lambda units: LSTM(2, units),
    "gru": lambda units: GRU(2, units),
    "mgu": lambda units: MGU(2, units),
}
SIZES = {"tanh": 0.8, "relu": 0.35, "lstm": 0.35, "gru": 0.35, "mgu": 0.3}


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


@pytest.fixture
def short(monkeypatch):
    """Descend little: what is proved must hold wherever it comes from."""
    monkeypatch.setattr(module, "DOUBLINGS", (3,))
    monkeypatch.setattr(module, "STEPS", 25)


def random_cell(kind, units, seed, size=1.0):
    torch.manual_seed(seed)
    cell = KINDS[kind](units).double()
    for parameter in cell.parameters():
        parameter.normal_().mul_(SIZES[kind] * size)
        parameter.div_(units**0.5 if parameter.dim() == 2 else 2)
    return cell


@cache
def random_layer(kind, units, seed, size=1.0, reach=1.0):
    return layer_of(random_cell(kind, units, seed, size), reach)


def random_set(seed):
    """A set of Jacobians such as cells have: two terms, a dense part in every third."""
    torch.manual_seed(seed)
    states = 1 + seed % 4
    size = 0.9 * torch.rand(1).double() / states**0.5
    matrices = size * torch.randn(4, states, states).double()
    terms = tuple((torch.rand(states).double(), matrix / 2) for matrix in matrices[1:3])
    return JacobianSet(matrices[0], terms, matrices[3].abs() / 8 if seed % 3 == 0 else None)


def layer_with(family):
    """A layer that has nothing but a set of Jacobians."""
    layer = Layer.__new__(Layer)
    layer.reach = SimpleNamespace(cell=Elman(1, len(family.center)))
    layer.jacobians = family
    return layer


def layer_of(cell, reach=1.0):
    box = torch.full((1, cell.input_size), reach, dtype=torch.float64)
    return Layer(Reach(cell, -box, box))


def elman(weights, activation="tanh"):
    cell = Elman(1, len(weights), activation=activation).double()
    for parameter in cell.parameters():
        parameter.fill_(0.0)
    cell.weight_ih_l0.fill_(0.5)
    cell.weight_hh_l0.copy_(torch.tensor(weights))
    return layer_of(cell)


def members(family, count):
    """Random Jacobians of a set, half of them at its corners."""

    def between(size):
        share = 2 * torch.rand(count, *size.shape).double() - 1
        share[: count // 2] = share[: count // 2].sign()
        return share * size

    found = family.center.expand(count, -1, -1)
    for size, matrix in family.terms:
        found = found + between(size)[..., None] * matrix
    return found if family.dense is None else found + between(family.dense)


def inside(layer, count):
    """Random states of the reachable box and inputs, half of them at corners."""
    reach = layer.reach
    low, high = reach.inputs
    found = []
    for least, largest in ((reach.low, reach.high), (low[0], high[0])):
        share = torch.rand(count, len(least)).double()
        share[::2] = share[::2].round()
        found.append(least + (largest - least) * share)
    return found


def gain(root, matrices):
    """The norms |L J L^-1|_2."""
    return torch.linalg.matrix_norm(root @ matrices @ torch.linalg.inv(root), 2)


def rate_of(rule, layer):
    try:
        return rule(layer).rate
    except NoRuleError:
        return torch.inf


def test_no_matrix_of_a_set_grows_faster_than_the_rate(short):
    proved = 0
    for seed in range(60):
        family = random_set(seed)
        try:
            norm = quadratic(layer_with(family))
        except NoRuleError:
            continue
        proved += 1
        assert (gain(norm.root, members(family, 64)) <= norm.rate).all()
    assert proved >= 30


@pytest.mark.parametrize("kind", KINDS)
def test_no_cell_grows_faster_than_the_rate(kind, short):
    proved = 0
    for seed in range(6):
        layer = random_layer(kind, 1 + seed % 4, seed, size=0.8)
        try:
            norm = quadratic(layer)
        except NoRuleError:
            continue
        proved += 1
        cell = layer.reach.cell
        assert (gain(norm.root, members(layer.jacobians, 64)) <= norm.rate).all()
        states, inputs = inside(layer, 64)
        assert (gain(norm.root, cell.jacobian(states, inputs)) <= norm.rate).all()
        before = (states - states.flip(0)) @ norm.root.T
        after = (cell.phi(states, inputs) - cell.phi(states.flip(0), inputs)) @ norm.root.T
        assert (after.norm(dim=1) <= norm.rate * before.norm(dim=1) + 1e-12).all()
    assert proved >= 4


@pytest.mark.parametrize(("kind", "units"), [("tanh", 16), ("lstm", 8), ("gru", 12), ("mgu", 8)])
def test_larger_cells(kind, units, short):
    layer = random_layer(kind, units, 1, size=0.7)
    norm = quadratic(layer)
    assert (gain(norm.root, members(layer.jacobians, 200)) <= norm.rate).all()
    states, inputs = inside(layer, 200)
    assert (gain(norm.root, layer.reach.cell.jacobian(states, inputs)) <= norm.rate).all()


def test_the_ball_holds_every_gap_of_norm_one(short):
    norm = quadratic(random_layer("lstm", 3, 2, size=0.8))
    gaps = torch.linalg.solve_triangular(
        norm.root, torch.randn(6, 1000).double().renorm(2, 1, 1.0), upper=True
    )
    gaps = gaps / (norm.root @ gaps).norm(dim=0)
    assert (gaps.abs() <= norm.ball[:, None]).all()
    inverse = torch.linalg.inv(norm.root.T @ norm.root)
    torch.testing.assert_close(norm.ball, inverse.diagonal().sqrt())
    assert norm.of(gaps[:, 0].abs()) >= 1


def test_never_worse_than_the_spectral_norm():
    compared = 0
    for seed in range(24):
        layer = layer_with(random_set(seed))
        other = rate_of(spectral_norm, layer)
        if other < 1:
            compared += 1
            assert quadratic(layer).rate <= 1.002 * other
    assert compared >= 8


@pytest.mark.parametrize("kind", KINDS)
def test_better_than_all_other_norms_on_most_cells(kind):
    better = 0
    for seed in range(3):
        layer = random_layer(kind, 1 + (seed + 1) % 4, seed + 1, size=0.8)
        others = min(rate_of(rule, layer) for rule in (sup_norm, perron, spectral_norm))
        better += rate_of(quadratic, layer) < others
    assert better >= 2


def test_proves_a_rotation_with_shear_that_the_other_norms_reject():
    layer = elman([[0.7, 3.0], [-0.1, 0.7]])
    for rule in (sup_norm, perron, spectral_norm):
        assert rate_of(rule, layer) == torch.inf
    assert quadratic(layer).rate == pytest.approx(0.8888, abs=1e-3)
    assert max(abs(torch.linalg.eigvals(layer.reach.cell.weight_hh_l0))) == pytest.approx(
        0.8888, abs=1e-3
    )


@pytest.mark.parametrize(
    "weights", [[[1.0]], [[1.5]], [[0.9, 0.9], [0.9, 0.9]], [[0.0, 2.0], [2.0, 0.0]]]
)
def test_two_attractors_are_never_certified(weights):
    with pytest.raises(NoRuleError):
        quadratic(elman(weights))


@pytest.mark.parametrize(("kind", "gate"), [("tanh", 0), ("lstm", 2), ("gru", 2), ("mgu", 1)])
def test_random_cells_with_two_attractors_are_never_certified(kind, gate, short):
    found = 0
    for seed in range(3):
        cell = random_cell(kind, 1 + seed % 2, seed, size=0.7)
        cell.weight_hh_l0.chunk(cell.gates)[gate].add_(6 * torch.eye(cell.hidden_size).double())
        states = 2 * torch.rand(16, cell.state_size).double() - 1
        for _ in range(100):
            before, states = states, cell.phi(states, torch.zeros(16, 2).double())
        at_rest = (states - before).abs().max() < 1e-9
        if at_rest and (states - states[:1]).abs().max() > 0.1:
            found += 1
            with pytest.raises(NoRuleError):
                quadratic(layer_of(cell, 0.1))
    assert found >= 2


def test_the_semidefinite_program_finds_the_same_rate():
    semidefinite = pytest.importorskip("semidefinite")
    compared = 0
    for seed in range(8):
        family = random_set(seed)
        expected = semidefinite.least_rate(unknowns(family))
        found = rate_of(quadratic, layer_with(family))
        if min(expected, found) < 1:
            compared += 1
            assert found == pytest.approx(expected, rel=5e-3)
    assert compared >= 4


def test_whatever_is_proposed_only_truths_are_proved():
    proved = 0
    for seed in range(200):
        family = random_set(seed)
        unknown = unknowns(family)
        states = len(family.center)
        root = torch.eye(states).double() + 0.2 * torch.randn(states, states).double().triu()
        multipliers = 2 * (torch.randn(len(unknown.forms)).double().exp() + 1)
        rate = proved_rate(unknown, root, multipliers / unknown.forms.norm(dim=1))
        if rate < torch.inf:
            proved += 1
            assert (gain(root, members(family, 64)) <= rate).all()
    assert proved >= 100


def test_a_proof_fails_just_below_the_rate_that_is_possible():
    unknown = unknowns(JacobianSet(torch.eye(2).double() / 2, (), None))
    rate = proved_rate(unknown, torch.eye(2).double(), torch.zeros(0).double())
    assert 0.5 <= rate < 0.5 + 1e-9


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_multipliers_prove_nothing(value):
    unknown = unknowns(random_layer("tanh", 2, 1, size=0.8).jacobians)
    one = torch.eye(2).double()
    assert proved_rate(unknown, one, torch.full((2,), value).double()) == torch.inf
    assert proved_rate(unknown, value * one, torch.ones(2).double()) == torch.inf


def test_the_unknowns_are_the_set_of_jacobians():
    family = random_layer("mgu", 3, 3).jacobians
    unknown = unknowns(family)
    torch.testing.assert_close(unknown.sizes, family.center.abs() + family.radius)
    scale = torch.tensor([1.0, 4.0, 0.5]).double()
    scaled = unknown.scaled(scale)
    torch.testing.assert_close(scaled.center, scale[:, None] * family.center / scale)
    torch.testing.assert_close(scaled.sizes, scale[:, None] * unknown.sizes / scale)


def test_linear_cells_have_nothing_unknown():
    torch.manual_seed(0)
    layer = layer_of(LRU(2, 3).double(), 1.0)
    norm = quadratic(layer)
    assert norm.rate == pytest.approx(float(layer.reach.cell.eigenvalues.abs().max()), rel=1e-5)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_cell_without_recurrence_forgets_at_once(activation):
    assert quadratic(elman([[0.0, 0.0], [0.0, 0.0]], activation)).rate < 1e-6


def test_a_cascade_does_not_make_the_metric_degenerate():
    norm = quadratic(elman([[0.0, 1000.0], [0.0, 0.0]]))
    assert norm.rate < 1e-2
    assert float(torch.linalg.cond(norm.root)) < 1e8


def test_too_large_cells_and_unbounded_jacobians_are_refused():
    with pytest.raises(NoRuleError, match="states"):
        quadratic(layer_with(JacobianSet(torch.zeros(300, 300).double(), (), None)))
    with pytest.raises(NoRuleError, match="bounded"):
        quadratic(layer_with(JacobianSet(torch.full((2, 2), torch.inf).double(), (), None)))


def test_needs_no_gradient_mode(short):
    with torch.inference_mode():
        inferred = quadratic(layer_of(random_cell("gru", 2, 1, size=0.8))).rate
    assert quadratic(random_layer("gru", 2, 1, size=0.8)).rate == inferred


def test_unknowns_of_one_place_share_its_column():
    places, forms = torch.tensor([0, 0, 1]), torch.tensor([[0.2, 0.0], [0.1, 0.0], [0.0, 0.3]])
    unknown = Unknowns(torch.zeros(2, 2).double(), places, forms.double())
    strengths = unknown.strengths(torch.tensor([3.0, 6.0, 5.0]).double())
    torch.testing.assert_close(strengths, torch.tensor([2.0, 5.0]).double())
