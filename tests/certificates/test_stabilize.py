"""Stable classes: what is inside stays, what is outside comes in, and `certify` proves it."""

import copy

import pytest
import torch
from torch.nn.utils import parametrize

from unrecur.cells import GRU, LRU, LSTM, MGU, Elman
from unrecur.certificates.certificate import Evidence
from unrecur.certificates.contraction import certify
from unrecur.certificates.inputs import points
from unrecur.certificates.majorant import Majorant
from unrecur.certificates.norms import power_iteration
from unrecur.certificates.perron import majorant_rate, project_to_majorant_
from unrecur.certificates.project import project_
from unrecur.certificates.reach import Reach
from unrecur.certificates.stabilize import stabilize
from unrecur.core.compose import Serial
from unrecur.layers.embedding import Embedding, readout
from unrecur.layers.recurrent import Recurrent

CELLS = [Elman, LSTM, GRU, MGU]


def large(cell, size=3.0):
    with torch.no_grad():
        for weight in cell.parameters():
            weight.mul_(size)
    return cell


@pytest.mark.parametrize("make", CELLS, ids=lambda make: make.__name__)
@pytest.mark.parametrize(("levels", "rate"), [(1, 0.8), (3, 0.95), (6, 0.99)])
def test_the_rate_is_proved(make, levels, rate):
    torch.manual_seed(0)
    cell = stabilize(large(make(3, 6, dtype=torch.float64)), 1.0, rate, levels)
    certificate = certify(cell, 1.0)
    assert certificate.evidence is Evidence.PROVED
    assert certificate.rate <= rate


def test_rates_may_differ_by_unit():
    torch.manual_seed(0)
    rates = torch.linspace(0.3, 0.9, 6)
    cell = stabilize(large(LSTM(3, 6)), 1.0, rates)
    certificate = certify(cell, 1.0)
    assert certificate.rate <= 0.9
    forget = torch.sigmoid(
        (cell.weight_ih_l0.abs().sum(1) + cell.bias_ih_l0 + cell.bias_hh_l0).chunk(4)[1]
    )
    assert (forget <= rates).all()


@pytest.mark.parametrize("make", CELLS, ids=lambda make: make.__name__)
def test_what_is_inside_stays(make):
    torch.manual_seed(1)
    cell = stabilize(large(make(3, 6)), 1.0, 0.9, 2)
    again = make(3, 6)
    again.load_state_dict(cell.state_dict())
    stabilize(again, 1.0, 0.9, 2)
    for name, weight in cell.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_lower_levels_are_read_freely_and_higher_ones_not_at_all(levels):
    torch.manual_seed(0)
    cell = large(LSTM(2, 4), 10)
    before = cell.weight_hh_l0.detach().clone().view(4, 4, 4)
    after = stabilize(cell, 1.0, 0.9, levels).weight_hh_l0.view(4, 4, 4)
    level = torch.arange(4) * levels // 4
    lower, higher = level[:, None] > level, level[:, None] < level
    assert torch.equal(after[:, lower], before[:, lower])
    assert (after[:, higher] == 0).all()


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_torch_module_keeps_its_state_dict_and_its_outputs(kind, bidirectional):
    torch.manual_seed(0)
    options = {"num_layers": 2, "bidirectional": bidirectional, "batch_first": True}
    module = stabilize(large(kind(3, 5, **options)), 1.0, 0.9, 2)
    x = torch.rand(2, 7, 3)
    y, _ = module(x)
    plain = kind(3, 5, **options)
    plain.load_state_dict(module.state_dict())
    assert torch.equal(plain(x)[0], y)
    module.load_state_dict(plain.state_dict())
    torch.testing.assert_close(module(x)[0], y, rtol=1e-4, atol=1e-5)
    assert certify(plain, 1.0).rate <= 0.9 + 0.1 * 0.1  # a stack's closed form leaves a tenth


def test_training_a_stabilized_module_moves_it_and_keeps_it_inside():
    torch.manual_seed(0)
    module = stabilize(torch.nn.LSTM(3, 8, batch_first=True), 1.0, 0.9, 2)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    before, x = module.weight_hh_l0.detach().clone(), torch.rand(4, 20, 3)
    losses = []
    for _ in range(15):
        loss = (module(x)[0][:, 1:, :3] - x[:, :-1]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert not torch.equal(module.weight_hh_l0, before)
    assert certify(module, 1.0).rate <= 0.9


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    cell = stabilize(large(GRU(2, 3, dtype=torch.float64)), 1.0, 0.9, 2)
    h, x = torch.rand(1, 3).double(), torch.rand(1, 2).double()
    raw = cell.parametrizations.weight_hh_l0.original
    cell.phi(h, x).sum().backward()
    for place in [(0, 0), (4, 1), (8, 2)]:
        values = []
        for shift in (1e-6, -1e-6):
            with torch.no_grad():
                raw[place] += shift
                values.append(float(cell.phi(h, x).sum()))
                raw[place] -= shift
        assert float(raw.grad[place]) == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-6)


def test_an_embedding_is_followed_as_it_is_trained():
    torch.manual_seed(0)
    model = Serial(Embedding(5, 4), Recurrent([LSTM(4, 6)]), readout(6, 5))
    stabilize(model, rate=0.9, levels=2)
    with torch.no_grad():
        model.models[0].table.weight.mul_(20)
    assert certify(model).rate <= 0.9
    project_(Serial(Embedding(5, 4), Recurrent([GRU(4, 6)])), None, 0.8)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda: LRU(2, 4), {}, "no stable class for LRU"),
        (lambda: torch.nn.Linear(2, 3), {}, "no stable class for Linear"),
        (lambda: LSTM(2, 4, bias=False), {}, "bias=True"),
        (lambda: LSTM(2, 4), {"rate": 1.0}, "above 0 and below 1"),
        (lambda: LSTM(2, 4), {"rate": torch.tensor([0.5, 0.5])}, "one number or 4"),
        (lambda: LSTM(2, 4), {"levels": 5}, "1 to 4"),
        (lambda: LSTM(2, 4), {"input_box": None}, "input_box is needed"),
        (lambda: torch.nn.LSTM(2, 4, proj_size=2), {}, "proj_size"),
        (lambda: stabilize(LSTM(2, 4), 1.0), {}, "already"),
    ],
)
def test_what_cannot_be_stabilized_is_refused(make, options, message):
    with pytest.raises(ValueError, match=message):
        stabilize(make(), **{"input_box": 1.0, **options})


def test_a_copy_is_stable_by_itself():
    torch.manual_seed(0)
    cell = stabilize(LSTM(2, 4), 1.0, 0.9)
    copied = copy.deepcopy(cell)
    with torch.no_grad():
        copied.parametrizations.weight_hh_l0.original.mul_(50)
    assert parametrize.is_parametrized(copied)
    assert certify(copied, 1.0).rate <= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("make", [Elman, LSTM], ids=lambda make: make.__name__)
def test_the_majorants_class(make):
    torch.manual_seed(0)
    cell = large(make(2, 5, dtype=torch.float64))
    project_to_majorant_(cell, 1.0, 0.9)
    assert certify(cell, 1.0).rate <= 0.9
    inside = cell.weight_hh_l0.detach().clone()
    project_to_majorant_(cell, 1.0, 0.95)
    assert torch.equal(cell.weight_hh_l0, inside)
    with pytest.raises(ValueError, match="above 0 and below 1"):
        project_to_majorant_(cell, 1.0, 1.5)


@pytest.mark.parametrize("make", CELLS, ids=lambda make: make.__name__)
def test_the_majorants_rate_has_the_gradient_of_its_root(make):
    """Against finite differences on the same reachable box."""
    torch.manual_seed(0)
    cell = large(make(2, 3, dtype=torch.float64), 0.7)
    inputs = points(torch.eye(2))
    majorant_rate(cell, inputs).backward()
    along = float((cell.weight_hh_l0.grad * cell.weight_hh_l0).sum().detach())
    roots = []
    with torch.no_grad():
        reach = Reach(cell, *inputs.ends)
        for factor in (1 + 1e-4, (1 - 1e-4) / (1 + 1e-4)):
            cell.weight_hh_l0.mul_(factor)
            reach.memory = {}
            _, bracket = power_iteration(Majorant(reach).homogeneous, cell.state_size)
            roots.append(sum(bracket) / 2)
    assert (roots[0] - roots[1]) / 2e-4 == pytest.approx(along, rel=0.05)
