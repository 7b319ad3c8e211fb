"""Monitors: norms by layer and by lag are those of their definition; nothing is disturbed."""

import json
import math
from dataclasses import asdict, replace

import pytest
import torch

from small import FEATURES, small_task, small_text, small_translation
from unrecur import Pointwise, Recurrent, Residual, Serial, Spec
from unrecur.cells import GRU, LSTM, Elman
from unrecur.data.batches import Batch
from unrecur.data.losses import squared_error
from unrecur.train.evaluate import summed_losses
from unrecur.train.monitor import Measurement, lag_norms, layer_norms, measure

IO = {"in_features": FEATURES, "out_features": FEATURES}


def task_of(step_loss):
    return replace(small_task(), step_loss=step_loss)


def block(x, target, lengths):
    return Batch(x, target, torch.tensor(lengths), torch.arange(len(x)))


def first_batch(task, size=6):
    return next(iter(task.batches("train", size)))


def backward(model, task, batch):
    losses, counts = summed_losses(task, model(batch.x)[0], batch.target, batch.lengths)
    (losses.sum() / counts.sum()).backward()


def test_layer_norms_are_those_of_the_modules_own_parameters():
    torch.manual_seed(0)
    task = small_task()
    model = Spec("lstm", {**IO, "hidden": 4, "layers": 2}).build()
    batch = first_batch(task)
    backward(model, task, batch)
    cells = model.models[0].cells
    parts = {
        "models.0.cells.0": cells[0],
        "models.0.cells.1": cells[1],
        "models.2.module": model.models[2].module,
    }
    found = layer_norms(model)
    assert list(found) == list(parts)
    for name, part in parts.items():
        flat = torch.cat([weight.grad.flatten() for weight in part.parameters()])
        assert found[name] == pytest.approx(float(flat.norm()), rel=1e-5)
    measured = measure(model, task, batch, 2, 3)
    assert measured.norms == found
    weights = torch.cat([weight.detach().flatten() for weight in cells[1].parameters()])
    expected = found["models.0.cells.1"] / float(weights.norm())
    assert measured.relative["models.0.cells.1"] == pytest.approx(expected, rel=1e-5)
    assert Measurement(**json.loads(json.dumps(asdict(measured)))) == measured


def test_layers_without_a_gradient_are_left_out():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    assert layer_norms(model) == {}
    model[1].weight.grad = torch.full((1, 2), 3.0)
    assert layer_norms(model) == {"1": pytest.approx(math.sqrt(18))}


@pytest.mark.parametrize("a", [0.5, 1.0, 1.2])
def test_a_linear_recurrence_gives_powers(a):
    # h' = max(0, a h + x) with positive inputs: dL_t/dh_{t-l} = a^l dL_t/dh_t.
    cell = Elman(1, 1, "relu", bias=False)
    with torch.no_grad():
        cell.weight_hh_l0.fill_(a)
        cell.weight_ih_l0.fill_(1.0)
    model = Serial(Recurrent([cell]))
    x = torch.rand(2, 60, 1, generator=torch.Generator().manual_seed(0)) + 0.1
    task = task_of(squared_error)
    target = torch.zeros(2, 60, 1)
    target[1, 50:] = math.nan  # the last step that counts is an earlier one
    y = model(x)[0].detach()
    slopes = torch.stack([2 * y[0, 59, 0], 2 * y[1, 49, 0]]).double()
    [norms] = lag_norms(model, task, block(x, target, [60, 60]), lags=20).values()
    assert len(norms) == 21
    for lag, norm in enumerate(norms):
        of = slopes if lag <= 10 else slopes[:1]  # the second row is met 10 steps later
        assert norm == pytest.approx(a**lag * float(of.square().mean().sqrt()), rel=1e-4)


@pytest.mark.parametrize("make", [Elman, GRU, LSTM])
def test_lags_are_products_of_jacobians(make):
    torch.manual_seed(0)
    cell = make(3, 4).double()
    model = Serial(Recurrent([cell])).double()
    x, target = torch.randn(1, 12, 3).double(), torch.randn(1, 12, 4).double()
    [norms] = lag_norms(model, task_of(squared_error), block(x, target, [9])).values()
    states = [cell.init_state(1)]
    for x_t in x[:, :9].unbind(1):
        states.append(cell.phi(states[-1], x_t))
    h = states[-1].detach().requires_grad_()
    loss = squared_error(cell.readout(h), target[:, 8])
    (row,) = torch.autograd.grad(loss.sum(), h)
    assert len(norms) == 9
    for lag, norm in enumerate(norms):
        assert norm == pytest.approx(float(row.detach().norm()), rel=1e-9)
        row = (row[:, None] @ cell.jacobian(states[-2 - lag], x[:, 8 - lag]))[:, 0]


def test_a_stack_is_followed_by_every_path_row_by_row():
    torch.manual_seed(0)
    task = small_task()
    model = Spec("gru", {**IO, "hidden": 4, "layers": 2, "dropout": 0.5}).build()
    batch = first_batch(task)
    assert len(set(batch.lengths.tolist())) > 3
    found = lag_norms(model, task, batch, lags=5)
    model.eval()
    begin = int(batch.lengths.max()) - 6  # the steps before are run, not differentiated
    squares = {name: [[] for _ in range(6)] for name in found}
    for x, target, length in zip(batch.x, batch.target, batch.lengths.tolist(), strict=True):
        state, seen = None, []
        for step in range(length):
            y, state = model.step(x[None, step], state)
            seen.append(state[0])
        loss = task.step_loss(y, target[None, length - 1]).sum()
        for number, name in enumerate(found):
            for step in range(begin, length):
                (g,) = torch.autograd.grad(loss, seen[step][number], retain_graph=True)
                squares[name][length - 1 - step].append(float(g.square().sum()))
    assert list(found) == ["models.0.cells.0", "models.0.cells.1"]
    for name, norms in found.items():
        expected = [math.sqrt(sum(rows) / len(rows)) for rows in squares[name]]
        assert norms == pytest.approx(expected, rel=1e-4)


def test_nothing_is_disturbed():
    torch.manual_seed(0)
    task = small_text()
    model = Spec(
        "lstm",
        {**IO, "in_features": 7, "out_features": 7, "hidden": 4, "tokens": True, "dropout": 0.5},
    ).build()
    batch = first_batch(task, 2)
    backward(model, task, batch)
    _, state = model(batch.x)
    model.train()
    gradients = [weight.grad.clone() for weight in model.parameters()]
    random = torch.get_rng_state()
    with torch.no_grad():  # gradients are made all the same
        found = lag_norms(model, task, replace(batch, fresh=False), state)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(w.grad, g) for w, g in zip(model.parameters(), gradients, strict=True))
    assert model.training
    assert all("step" not in vars(module) for module in model.modules())
    # Rows go on from the state they are given, through the steps before the lags too.
    on = replace(batch, fresh=False)
    assert found != lag_norms(model, task, batch, state)
    assert lag_norms(model, task, on, state, 2) != lag_norms(model, task, batch, state, 2)
    for name, norms in lag_norms(model, task, on, state, 2).items():
        assert norms == pytest.approx(found[name][:3], rel=1e-5)


def test_layers_are_found_wherever_steps_reach_them():
    torch.manual_seed(0)
    task = task_of(squared_error)
    inner = Residual(Serial(Pointwise(torch.nn.Dropout(0.5), FEATURES), Recurrent([GRU(5, 5)])))
    model = Serial(Recurrent([LSTM(5, 5)]), inner)
    found = lag_norms(model, task, first_batch(task))
    assert list(found) == ["models.0.cells.0", "models.1.model.models.1.cells.0"]
    pairs = small_translation()
    spec = Spec("seq2seq", {"in_features": 9, "out_features": 7, "hidden": 4})
    assert lag_norms(spec.build(), pairs, first_batch(pairs))


def test_a_model_without_recurrent_steps_gives_nothing():
    task = small_task()
    batch = first_batch(task)
    for name, options in (("tcn", {"levels": 2}), ("bidirectional_lstm", {})):
        model = Spec(name, {**IO, "hidden": 4, **options}).build()
        assert lag_norms(model, task, batch) == {}
    model = Spec("gru", {**IO, "hidden": 4}).build()
    unknown = torch.full_like(batch.target, math.nan)
    assert lag_norms(model, task, replace(batch, target=unknown)) == {}
