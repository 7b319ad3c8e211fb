"""Gradients forward in time against backpropagation, and against slow loops over Jacobians."""

import pytest
import torch
from torch import nn
from torch.autograd.functional import jacobian
from torch.func import functional_call

from cases import CELLS, FEATURES, SPECS
from small import FEATURES as NOTES
from small import small_task, small_text
from unrecur import InputError, Spec
from unrecur.cells import GRU, LRU, LSTM, MGU, Elman, ProjectedLSTM
from unrecur.certificates.stabilize import stabilize
from unrecur.core.compose import Pointwise, Residual, Serial
from unrecur.core.state import leaves, map_state
from unrecur.data.batches import Batch
from unrecur.data.losses import IGNORED
from unrecur.layers.embedding import Embedding, readout
from unrecur.layers.recurrent import Recurrent
from unrecur.train.config import TrainConfig
from unrecur.train.evaluate import summed_losses
from unrecur.train.loop import train
from unrecur.train.online import rtrl
from unrecur.train.online.eprop import EProp
from unrecur.train.online.rtrl import RTRL
from unrecur.train.online.snap import SnAp1
from unrecur.train.online.taken_apart import Transition
from unrecur.train.online.uoro import UORO

TASK, TEXT = small_task(), small_text()
EXACT = {"atol": 1e-10, "rtol": 1e-10}
DIAGONAL = ["min_gru", "min_gru-positive", "min_lstm", "qrnn", "lru", "diagonal_ssm"]
OBJECTIVES = [RTRL, SnAp1, EProp, UORO]


def model_of(*cells, front=False, dropout=0.0):
    """A model in float64: perhaps a linear map, a stack of cells, a readout."""
    layer = Recurrent(list(cells), dropout)
    before = [Pointwise(nn.Linear(FEATURES, FEATURES), FEATURES)] if front else []
    behind = Pointwise(nn.Dropout(dropout), layer.out_features)
    return Serial(*before, layer, behind, readout(layer.out_features, 2)).double()


def batch_of(time=4, rows=3, seed=0):
    """Rows that end apart, with targets that do not count."""
    torch.manual_seed(seed)
    target = (torch.rand(rows, time, 2) < 0.4).double()
    target[0, time // 2] = torch.nan
    lengths = torch.tensor([time, max(1, time - 3), time, time])[:rows]
    return Batch(torch.randn(rows, time, FEATURES).double(), target, lengths, torch.arange(rows))


def cut(batch, rows, steps):
    """Some rows and steps of a batch, all of them valid."""
    x, target = batch.x[:rows, steps], batch.target[:rows, steps]
    return Batch(x, target, torch.full((rows,), x.shape[1]), torch.arange(rows))


def text_of(time=4, rows=3):
    torch.manual_seed(1)
    ids = torch.randint(7, (rows, time + 1))
    target = ids[:, 1:].clone()
    target[1, :2] = IGNORED
    return Batch(ids[:, :-1], target, torch.tensor([time, 2, time]), torch.arange(rows))


def back(model, task, batch, first=0):
    """The loss from a step on, and its gradient by autograd through the plain loop."""
    state, outputs = model.init_state(len(batch.x)), []
    for t in range(batch.x.shape[1]):
        y, state = model.step(batch.x[:, t], state)
        outputs.append(y)
    left = (batch.lengths - first).clamp(min=0)
    y, target = torch.stack(outputs[first:], 1), batch.target[:, first:]
    losses, _ = summed_losses(task, y, target, left)
    trained = [p for p in model.parameters() if p.requires_grad]
    return losses.sum(), torch.autograd.grad(losses.sum(), trained, materialize_grads=True)


def gradient(model, part):
    model.zero_grad()
    part.loss.backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in trained]


def forward(model, objective, task, batch, state=None):
    """The loss and the gradient that an objective makes, as one part."""
    (part,) = objective.parts(model, task, batch, state)
    return part.loss.detach(), gradient(model, part)


def assert_same(model, task, batch, objective):
    expected, found = back(model, task, batch), forward(model, objective, task, batch)
    torch.testing.assert_close(found[0], expected[0].detach(), **EXACT)
    for a, b in zip(found[1], expected[1], strict=True):
        torch.testing.assert_close(a, b, **EXACT)


def cosine(a, b):
    a, b = (torch.cat([part.flatten() for part in parts]) for parts in (a, b))
    return float(a @ b / a.norm() / b.norm())


@pytest.mark.parametrize("name", CELLS)
def test_rtrl_is_backpropagation(name):
    torch.manual_seed(0)
    model = model_of(CELLS[name](FEATURES, 4), CELLS[name](4, 3), front=True)
    assert_same(model, TASK, batch_of(), RTRL())


def test_rtrl_is_backpropagation_with_projections_and_three_kinds():
    torch.manual_seed(0)
    model = model_of(ProjectedLSTM(FEATURES, 5, 2), LRU(2, 3), GRU(3, 2), front=True)
    assert_same(model, TASK, batch_of(), RTRL())
    assert_same(model, TASK, batch_of(time=1, rows=2), RTRL())


def test_rtrl_is_backpropagation_on_tokens():
    torch.manual_seed(0)
    layer = Recurrent([LSTM(4, 3), Elman(3, 3)])
    model = Serial(Serial(Embedding(7, 4), layer), readout(3, 7)).double()
    assert_same(model, TEXT, text_of(), RTRL())


def test_dropout_is_the_same_in_value_and_derivative():
    torch.manual_seed(0)
    model, batch = model_of(GRU(FEATURES, 4), LRU(4, 4), MGU(4, 3), dropout=0.5), batch_of()
    torch.manual_seed(5)
    expected = back(model, TASK, batch)
    torch.manual_seed(5)
    found = forward(model, RTRL(), TASK, batch)
    torch.testing.assert_close(found[0], expected[0].detach(), **EXACT)
    for a, b in zip(found[1], expected[1], strict=True):
        torch.testing.assert_close(a, b, **EXACT)


def test_frozen_weights_have_no_part_in_it():
    torch.manual_seed(0)
    model = model_of(LSTM(FEATURES, 4), GRU(4, 3), front=True)
    layer = model.models[1]
    layer.cells[0].weight_hh_l0.requires_grad_(False)
    model.models[0].requires_grad_(False)
    model.models[3].requires_grad_(False)
    assert_same(model, TASK, batch_of(), RTRL())
    assert layer.cells[0].weight_hh_l0.grad is None


@pytest.mark.parametrize("objective", [RTRL(), SnAp1()], ids=["RTRL", "SnAp1"])
def test_the_past_is_carried_into_the_next_piece(objective):
    torch.manual_seed(0)
    model, batch = model_of(LRU(FEATURES, 4)), batch_of(time=5)
    (part,) = objective.parts(model, TASK, cut(batch, 3, slice(3)), None)
    fresh = objective.init_state(model, 3)
    assert map_state(torch.Tensor.size, fresh) == map_state(torch.Tensor.size, part.state)
    assert not any(leaf.requires_grad for leaf in leaves(part.state))
    state = map_state(lambda leaf: leaf[:2], part.state)
    found = forward(model, objective, TASK, cut(batch, 2, slice(3, 5)), state)[1]
    expected = back(model, TASK, cut(batch, 2, slice(5)), 3)[1]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, **EXACT)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_parts_add_up(kind):
    torch.manual_seed(0)
    model, batch = model_of(GRU(FEATURES, 4)), batch_of(time=7)
    torch.manual_seed(3)
    whole = forward(model, kind(), TASK, batch)
    torch.manual_seed(3)
    parts = list(kind(update_every=3).parts(model, TASK, batch, None))
    assert [part.steps for part in parts] == [9, 6, 2]
    torch.testing.assert_close(sum(part.loss.detach() for part in parts), whole[0], **EXACT)
    for expected, *found in zip(whole[1], *(gradient(model, p) for p in parts), strict=True):
        torch.testing.assert_close(sum(found), expected, **EXACT)
    (halved,) = kind().parts(model, TASK, batch, None)
    assert halved.loss.dim() == 0
    assert kind().one_step
    assert not kind(update_every=3).one_step


# Slow and obvious: dense Jacobians by autograd, one row at a time.


def paths_of(cell, kind, h, x):
    """How the state acts on itself, as each approximation has it."""
    if kind is not EProp:
        return jacobian(lambda h: cell.phi(h, x), h)
    if isinstance(cell, Elman):
        return torch.zeros(len(h), len(h)).double()
    if isinstance(cell, GRU):
        return torch.diag(cell.activations(h, x)[1])
    shown = cell.split(h)[1]
    return jacobian(lambda h: cell.phi(torch.cat([cell.split(h)[0], shown]), x), h)


def same_unit(cell, parameter):
    """Which numbers of the state belong to the unit of each row of a parameter."""
    units = cell.hidden_size
    state, row = torch.arange(cell.state_size) % units, torch.arange(len(parameter)) % units
    same = state[:, None] == row
    return same.view(*same.shape, *(1,) * (parameter.dim() - 1))


def slowly(model, kind, task, batch, rate=0.0):
    """The sum of the steps' gradients, with traces as dense matrices; perhaps learning between."""
    layer, head = model.models[0], nn.Sequential(*(part.module for part in model.models[1:]))
    cells, parameters = list(layer.cells), list(model.parameters())
    total = {p: torch.zeros_like(p) for p in parameters}
    rows = range(len(batch.x))
    states = [[cell.init_state(1)[0] for cell in cells] for _ in rows]
    traces = [{p: 0.0 for p in layer.parameters()} for _ in rows]
    for t in range(batch.x.shape[1]):
        now = {p: torch.zeros_like(p) for p in parameters}
        for row in rows:
            x, after = batch.x[row, t], []
            for cell, h in zip(cells, states[row], strict=True):
                follow(cell, kind, h.detach(), x.detach(), traces[row])
                after.append(cell.phi(h.detach(), x))
                x = cell.readout(after[-1])
            left = (batch.lengths[[row]] - t).clamp(min=0)
            losses, _ = summed_losses(
                task, head(x)[None, None], batch.target[[row], t : t + 1], left
            )
            signals = torch.autograd.grad(losses.sum(), after, retain_graph=True)
            direct = torch.autograd.grad(losses.sum(), list(head.parameters()))
            for p, g in zip(head.parameters(), direct, strict=True):
                now[p] += g
            for cell, signal in zip(cells, signals, strict=True):
                for p in cell.parameters():
                    now[p] += torch.tensordot(signal, traces[row][p], 1)
            states[row] = after
        for p in parameters:
            total[p] += now[p]
            p.data -= rate * now[p]
    return [total[p] for p in parameters]


def follow(cell, kind, h, x, traces):
    """Take the dense traces of one cell through one step."""
    paths = paths_of(cell, kind, h, x).detach()
    for name, p in Transition(cell).named_parameters():

        def moved(value, name=name):
            return functional_call(Transition(cell), {name: value}, (h, x))

        own = jacobian(moved, p.detach())
        carried = torch.tensordot(paths, traces[p], 1) if torch.is_tensor(traces[p]) else 0
        traces[p] = own + carried
        if kind is not RTRL:
            traces[p] = torch.where(same_unit(cell, p), traces[p], 0)


@pytest.mark.parametrize("kind", [SnAp1, EProp])
@pytest.mark.parametrize("cell", ["elman", "gru", "lstm", "peephole_lstm"])
def test_traces_are_masked_rtrl(cell, kind):
    torch.manual_seed(0)
    model = model_of(CELLS[cell](FEATURES, 3), CELLS[cell](3, 2))
    batch = batch_of(time=3, rows=2)
    found = forward(model, kind(), TASK, batch)[1]
    for a, b in zip(found, slowly(model, kind, TASK, batch), strict=True):
        torch.testing.assert_close(a, b, **EXACT)


@pytest.mark.parametrize("kind", [RTRL, SnAp1])
def test_the_trace_is_kept_while_the_weights_change(kind):
    torch.manual_seed(0)
    model, twin = (model_of(GRU(FEATURES, 3)) for _ in range(2))
    twin.load_state_dict(model.state_dict())
    batch = batch_of(time=4, rows=2)
    for part in kind(update_every=1).parts(model, TASK, batch, None):
        for p, g in zip(model.parameters(), gradient(model, part), strict=True):
            p.data -= 0.3 * g
    slowly(twin, kind, TASK, batch, rate=0.3)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, **EXACT)


@pytest.mark.parametrize("name", DIAGONAL)
def test_traces_are_exact_where_units_do_not_see_each_other(name):
    torch.manual_seed(0)
    model = model_of(CELLS[name](FEATURES, 4))
    assert_same(model, TASK, batch_of(), SnAp1())
    assert_same(model, TASK, batch_of(), EProp())


@pytest.mark.parametrize("name", ["elman", "gru", "lstm", "peephole_lstm"])
def test_snap_is_exact_for_one_unit(name):
    torch.manual_seed(0)
    assert_same(model_of(CELLS[name](FEATURES, 1)), TASK, batch_of(), SnAp1())


def test_what_traces_drop_between_layers():
    torch.manual_seed(0)
    model, batch = model_of(LRU(FEATURES, 4), LRU(4, 3), front=True), batch_of()
    expected, found = back(model, TASK, batch)[1], forward(model, SnAp1(), TASK, batch)[1]
    exact = {
        name: torch.allclose(a, b, **EXACT)
        for (name, _), a, b in zip(model.named_parameters(), found, expected, strict=True)
    }
    upper = {name for name in exact if ".cells.1" in name or name.startswith("models.3")}
    assert {name for name, same in exact.items() if same} == upper


@pytest.mark.parametrize("make", [Elman, GRU, LSTM])
def test_traces_point_along_the_gradient(make):
    torch.manual_seed(0)
    model, batch = model_of(make(FEATURES, 16)), batch_of(time=12)
    expected = back(model, TASK, batch)[1]
    snap, eprop = (
        cosine(forward(model, kind(), TASK, batch)[1], expected) for kind in (SnAp1, EProp)
    )
    assert 0.8 < eprop <= snap + 0.01 < 1.01
    assert snap < 0.9999  # it is an estimate, and this batch shows it


@pytest.mark.parametrize("cells", [(Elman,), (LSTM, GRU)], ids=["one", "stack"])
def test_uoro_is_unbiased(cells):
    torch.manual_seed(0)
    sizes = [FEATURES, 3, 3]
    model = model_of(*(make(*sizes[n : n + 2]) for n, make in enumerate(cells)), front=True)
    batch, copies, draws = batch_of(time=3, rows=1), 3000, 10
    batch.target[:, :-1] = torch.nan  # so that the gradient comes through the past
    many = Batch(
        *(part.expand(copies, *part.shape[1:]) for part in (batch.x, batch.target)),
        *(part.expand(copies) for part in (batch.lengths, batch.index)),
    )
    expected = torch.cat([g.flatten() for g in back(model, TASK, batch)[1]])
    found = torch.stack(
        [
            torch.cat([g.flatten() for g in forward(model, UORO(), TASK, many)[1]]) / copies
            for _ in range(draws)
        ]
    )
    error = found.std(0) / draws**0.5
    assert 0 < error.norm() < 0.1 * expected.norm()  # it varies, and we see enough of it
    assert ((found.mean(0) - expected).abs() <= 5 * error + 1e-12).all()
    along = found @ expected / expected.square().sum()
    assert abs(along.mean() - 1) < 3 * along.std() / draws**0.5 < 0.03


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_it_learns_one_input_at_a_time(kind):
    spec = Spec("gru", {"in_features": NOTES, "out_features": NOTES, "hidden": 4})
    config = TrainConfig(epochs=3, learning_rate=2e-2, objective=kind(update_every=1))
    history = train(spec, small_task(sequences=4), config, seed=0).progress.history
    assert history[-1]["train"] < 0.95 * history[0]["train"]


class Killed(Exception):
    pass


@pytest.mark.parametrize("kind", [RTRL, UORO])
def test_a_killed_run_ends_with_the_same_weights(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("unrecur.train.loop.SAVE_EVERY", 0.0)
    options = {"in_features": 7, "out_features": 7, "hidden": 3, "tokens": True}
    run = (
        Spec("lstm", {**options, "dropout": 0.3}),
        small_text(6, 3),
        TrainConfig(epochs=1, batch_size=2, objective=kind(update_every=2)),
        3,
    )

    def report(progress, _):
        if progress.batch == 2 and not progress.epoch:
            raise Killed

    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Killed):
        train(*run, path, report=report)
    resumed, whole = train(*run, path).model.state_dict(), train(*run).model.state_dict()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: SPECS["tcn"].build(), "has 0"),
        (lambda: Serial(model_of(GRU(3, 3)), model_of(GRU(2, 2))), "has 2.*one layer"),
        (
            lambda: Serial(Recurrent([GRU(3, 4)]), Residual(Pointwise(nn.ReLU(), 4))),
            "got a Residual",
        ),
        (
            lambda: Serial(Pointwise(nn.Dropout(0.1), 3), Recurrent([GRU(3, 4)])),
            "dropout before",
        ),
    ],
    ids=["tcn", "two layers", "residual", "dropout"],
)
@pytest.mark.parametrize("kind", OBJECTIVES)
def test_models_that_do_not_come_apart_are_refused(kind, model, message):
    with pytest.raises(InputError, match=message):
        kind().check(model(), TASK)


@pytest.mark.parametrize("kind", [SnAp1, EProp])
def test_traces_need_parameters_of_one_unit(kind):
    for model in (model_of(MGU(3, 4)), model_of(ProjectedLSTM(3, 4, 2))):
        with pytest.raises(InputError, match=r"act on one unit.*RTRL\(\)"):
            kind().check(model, TASK)
    stable = model_of(LSTM(3, 4))
    stabilize(stable, rate=0.9, input_box=(-1.0, 1.0))
    with pytest.raises(InputError, match="without parametrizations"):
        kind().check(stable, TASK)


def test_an_influence_too_large_is_refused(monkeypatch):
    model, rows = model_of(GRU(3, 4), GRU(4, 4)), 5
    first, second = 3 * 4 * (3 + 4 + 2), 3 * 4 * (4 + 4 + 2)
    needed = rows * (4 * first + 4 * (first + second)) * 8
    monkeypatch.setattr(rtrl, "LARGEST_INFLUENCE", needed)
    RTRL().init_state(model, rows)
    monkeypatch.setattr(rtrl, "LARGEST_INFLUENCE", needed - 1)
    shapes = r"5 rows x \(4 x 108 \+ 4 x 228\).* x 8 bytes = 0.0 GiB.*SnAp1\(\).*Truncated"
    with pytest.raises(InputError, match=shapes):
        RTRL().init_state(model, rows)
    wide = Spec("lstm", {"in_features": 3, "out_features": 2, "hidden": 1024}).build()
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"1 rows x \(2,048 x 4,214,784\).*32.2 GiB"):
        RTRL().check(wide, TASK)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_bad_input(kind, unchecked):
    for every in (0, -1, 1.5, True):
        with pytest.raises(InputError, match="update_every"):
            kind(update_every=every)
    batch = batch_of()
    with pytest.raises(InputError, match="features"):
        next(kind().parts(model_of(GRU(2, 3)), TASK, batch, None))
