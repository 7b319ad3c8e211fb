"""Objectives over time: each gradient is what its docstring says, by a slow obvious version."""

import copy
import dataclasses
import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from small import FEATURES, small_task, small_text, small_translation
from unrecur import InputError, Spec, TrainConfig, truncate
from unrecur.core.state import detach
from unrecur.data.task import Task
from unrecur.train.evaluate import evaluate, summed_losses
from unrecur.train.full import Full
from unrecur.train.in_parallel import InParallel
from unrecur.train.loop import train
from unrecur.train.truncated import Truncated
from unrecur.train.windowed import Windowed

IO = {"in_features": FEATURES, "out_features": FEATURES}
LSTM = Spec("lstm", {**IO, "hidden": 6, "dropout": 0.3})
TEXT = Spec("gru", {"in_features": 7, "out_features": 7, "hidden": 6, "tokens": True})
OBJECTIVES = [
    Full(segment=0),
    Full(segment=3),
    Truncated(3),
    Truncated(2, 4),
    Windowed(3),
    InParallel(burn_in=1, length=2),
]


def problem(time=23, rows=3):
    """A model in float64, and a batch of random frames of different lengths."""
    torch.manual_seed(0)
    model = Spec("lstm", {**IO, "hidden": 4}).build().double()
    generator = torch.Generator().manual_seed(1)
    pairs = []
    for row in range(rows):
        x = torch.randn(max(1, time - 4 * row), FEATURES, generator=generator)
        pairs.append((x, (torch.rand(x.shape, generator=generator) < 0.5).float()))
    made = small_task()
    task = dataclasses.replace(
        made,
        splits={**made.splits, "train": pairs},
        input_box=None,
        hashes={},
    )
    batch = next(task.batches("train", rows))
    return model, task, dataclasses.replace(batch, x=batch.x.double(), target=batch.target.double())


def gradients(model, loss):
    return torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)


def parts(objective, model, task, batch):
    """The gradients and step counts of all parts, without a step of an optimizer between them."""
    form = objective.form(model)
    return [
        (gradients(model, part.loss), part.steps, float(part.loss.detach()))
        for part in objective.parts(form, task, batch, None)
    ]


def plain(model, task, batch):
    """Full backpropagation, as one line."""
    losses, counts = summed_losses(task, model(batch.x)[0], batch.target, batch.lengths)
    return gradients(model, losses.sum()), int(counts.sum())


def assert_same(found, expected, tol=1e-10):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=tol, rtol=tol)


@pytest.mark.parametrize("segment", [None, 0, 1, 5, 100])
@pytest.mark.parametrize("time", [1, 2, 23])
def test_full_backpropagation_in_segments_is_full_backpropagation(segment, time):
    model, task, batch = problem(time)
    ((found, steps, _),) = parts(Full(segment), model, task, batch)
    expected, counts = plain(model, task, batch)
    assert steps == counts == int(batch.lengths.sum())
    assert_same(found, expected)


def test_segments_meet_the_same_dropout_again():
    config = TrainConfig(epochs=2, batch_size=3)
    one = train(LSTM, small_task(), config, 0)
    two = train(LSTM, small_task(), dataclasses.replace(config, objective=Full(3)), 0)
    # The dropout of a segment is drawn anew for each, so only one segment draws as the whole does.
    whole = train(LSTM, small_task(), dataclasses.replace(config, objective=Full(99)), 0)
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(whole.model.state_dict()[name], value, atol=1e-6, rtol=1e-5)
    assert two.progress.history[0]["train"] != 0


def truncated_slowly(model, task, batch, every, back):
    """TBPTT(k1, k2) by its definition: cut the history k2 inputs before the end of each window."""
    time, found = batch.x.shape[1], []
    for begin in range(0, time, every):
        end = min(begin + every, time)
        # The window of a full turn of k1 steps, of which a last one may be the beginning.
        cut = max(0, begin + every - back)
        state = None
        if cut:
            with torch.no_grad():
                _, state = model(batch.x[:, :cut])
        y, _ = model(batch.x[:, cut:end], detach(state) if cut else None)
        left = (batch.lengths - begin).clamp(min=0)
        losses, counts = summed_losses(task, y[:, begin - cut :], batch.target[:, begin:end], left)
        found.append((gradients(model, losses.sum()), int(counts.sum())))
    return found


@given(time=st.integers(1, 24), every=st.integers(1, 8), more=st.integers(0, 9))
def test_truncated_backpropagation_is_its_definition(time, every, more):
    model, task, batch = problem(time)
    found = parts(Truncated(every, every + more), model, task, batch)
    expected = truncated_slowly(model, task, batch, every, every + more)
    assert len(found) == len(expected) == math.ceil(time / every)
    for (one, steps, _), (other, counts) in zip(found, expected, strict=True):
        assert steps == counts
        assert_same(one, other)


def reach(objective, time=20):
    """For each step, which inputs the gradient of its loss reaches."""
    model, task, batch = problem(time, rows=1)
    x = batch.x.requires_grad_()
    form, reached = objective.form(model), {}
    begin = 0
    for part in objective.parts(form, task, dataclasses.replace(batch, x=x), None):
        (by_x,) = torch.autograd.grad(part.loss, x)
        end = begin + part.steps
        reached[begin, end] = by_x[0].abs().sum(-1).nonzero().flatten().tolist()
        begin = end
    return reached


def test_the_two_meanings_of_k():
    # How often: every 5 inputs; how far back: to the beginning of the piece, for k1 = k2.
    assert reach(Truncated(5)) == {
        (0, 5): [0, 1, 2, 3, 4],
        (5, 10): [5, 6, 7, 8, 9],
        (10, 15): [10, 11, 12, 13, 14],
        (15, 20): [15, 16, 17, 18, 19],
    }
    # How far back, whatever the step: exactly the last 5 inputs of each loss, for k1 = 1.
    for (step, _), inputs in reach(Truncated(1, 5)).items():
        assert inputs == list(range(max(0, step - 4), step + 1))
    # Both: a window of 8 inputs moved on by 3.
    assert reach(Truncated(3, 8))[12, 15] == list(range(7, 15))


def test_full_reach_in_one_window_is_full_backpropagation():
    model, task, batch = problem(12)
    ((found, _, _),) = parts(Truncated(12), model, task, batch)
    assert_same(found, plain(model, task, batch)[0])


@pytest.mark.parametrize("k", [1, 4, 23])
def test_windowed_training_has_the_gradient_of_the_truncated_model(k):
    model, task, batch = problem()
    ((found, _, _),) = parts(Windowed(k), model, task, batch)
    losses = torch.zeros((), dtype=torch.float64)
    for row, length in enumerate(batch.lengths.tolist()):
        for t in range(length):  # each output afresh from its last k inputs
            y, _ = model(batch.x[row : row + 1, max(0, t + 1 - k) : t + 1])
            losses = losses + task.step_loss(y[0, -1], batch.target[row, t])
    assert_same(found, gradients(model, losses))


def test_what_windowed_training_scores_is_the_truncated_model():
    task = small_task()
    config = TrainConfig(epochs=2, batch_size=3, objective=Windowed(2))
    trained = train(LSTM, task, config, 0)
    assert evaluate(truncate(trained.model, k=2), task, "valid").metric == pytest.approx(
        trained.progress.best, rel=1e-6
    )


def test_backpropagation_in_parallel_is_full_backpropagation():
    torch.manual_seed(0)
    model = Spec("gru", {**IO, "hidden": 8, "layers": 2}).build().double()
    x = torch.randn(1, 1500, FEATURES, dtype=torch.float64)
    made = small_task()
    task = dataclasses.replace(
        made,
        splits={**made.splits, "train": [(x[0].float(), (x[0] > 0).float())]},
        hashes={},
        input_box=None,
    )
    batch = next(task.batches("train", 1))
    batch = dataclasses.replace(batch, x=x, target=(x > 0).double())
    objective = InParallel(burn_in=40, length=100, tol=1e-9)
    form = objective.form(model)
    ((found, _, _),) = [
        (gradients(model, part.loss), part.steps, 0)
        for part in objective.parts(form, task, batch, None)
    ]
    expected, _ = plain(model, task, batch)
    for one, other in zip(found, expected, strict=True):
        assert float((one - other).norm() / other.norm()) < 1e-7
    assert {report.stats.solver for report in form.models[0].reports} == {"Chunked"}


class Killed(Exception):
    pass


def killed_after(batches):
    seen = 0

    def report(progress, _):
        nonlocal seen
        seen += 1
        if seen == batches:
            raise Killed

    return report


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
@pytest.mark.parametrize(
    ("spec", "make"), [(LSTM, small_task), (TEXT, partial(small_text, 18))], ids=["rows", "stream"]
)
def test_a_killed_run_ends_with_the_same_weights(objective, spec, make, tmp_path, monkeypatch):
    monkeypatch.setattr("unrecur.train.loop.SAVE_EVERY", 0.0)
    config = TrainConfig(epochs=2, batch_size=3, objective=objective)
    task = make()
    whole = train(spec, task, config, seed=3)
    path = tmp_path / "checkpoint.safetensors"
    for batches in (2, 3):
        with pytest.raises(Killed):
            train(spec, task, config, 3, path, report=killed_after(batches))
    resumed = train(spec, task, config, 3, path)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value)
    assert [entry["train"] for entry in whole.progress.history] == [
        entry["train"] for entry in resumed.progress.history
    ]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_each_objective_learns(objective):
    task = small_task(sequences=24)
    config = TrainConfig(epochs=6, batch_size=4, learning_rate=2e-2, objective=objective)
    history = train(Spec("lstm", {**IO, "hidden": 8}), task, config, 0).progress.history
    assert history[-1]["train"] < 0.95 * history[0]["train"]


def test_accumulated_gradients_are_those_of_the_batches_together():
    task = small_task(sequences=6)
    spec = Spec("lstm", {**IO, "hidden": 6})
    plain_sgd = {"optimizer": "sgd", "learning_rate": 0.5, "clip": 1e9, "epochs": 1}
    one = train(spec, task, TrainConfig(batch_size=6, **plain_sgd), 0)
    two = train(spec, task, TrainConfig(batch_size=2, accumulate=3, **plain_sgd), 0)
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(two.model.state_dict()[name], value, atol=1e-6, rtol=1e-5)


def test_mixed_precision_learns_as_well():
    task = small_task(sequences=24)
    config = TrainConfig(epochs=4, batch_size=4, learning_rate=2e-2)
    spec = Spec("lstm", {**IO, "hidden": 8})
    full = train(spec, task, config, 0).progress.best
    mixed = train(spec, task, dataclasses.replace(config, precision="bf16-mixed"), 0)
    assert mixed.progress.best == pytest.approx(full, rel=0.02)
    assert mixed.progress.best != full
    assert all(value.dtype == torch.float32 for value in mixed.model.state_dict().values())


def test_a_batch_in_which_nothing_counts_changes_nothing():
    task = small_text()
    nothing = [(x, torch.full_like(y, -100)) for x, y in task.splits["train"][:-1]]
    last = [task.splits["train"][-1]]
    silent = dataclasses.replace(
        task, splits={**task.splits, "train": nothing + last}, hashes={}, continuous=False
    )
    config = TrainConfig(epochs=1, batch_size=1, optimizer="sgd", learning_rate=0.1)
    only = dataclasses.replace(
        task, splits={**task.splits, "train": last}, hashes={}, continuous=False
    )
    spec = Spec("gru", {"in_features": 7, "out_features": 7, "hidden": 6, "tokens": True})
    constant = dataclasses.replace(config, schedule="inverse")
    one, two = train(spec, silent, constant, 0), train(spec, only, constant, 0)
    assert one.progress.history[0]["train"] == pytest.approx(two.progress.history[0]["train"])


TOO_LONG = "the longest training sequence has"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Truncated(0), "update_every"),
        (lambda: Truncated(5, 3), "look_back must be at least update_every=5, got 3"),
        (lambda: Windowed(0), "k must be"),
        (lambda: Full(-1), "segment"),
        (lambda: InParallel(tol=0), "tol"),
        (lambda: InParallel(burn_in=8, length=4), "length must be at least burn_in=8"),
        (lambda: TrainConfig(accumulate=2, objective=Truncated(3)), "several steps in one"),
        (lambda: TrainConfig(optimizer="adamw"), "optimizer"),
        (lambda: TrainConfig(precision="8-true"), "precision"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("spec", "make", "objective", "message"),
    [
        (LSTM, small_task, Truncated(99), TOO_LONG),
        (LSTM, small_task, Truncated(2, 99), "look_back is 99"),
        (LSTM, small_task, Windowed(99), TOO_LONG),
        (Spec("tcn", {**IO, "hidden": 4, "levels": 1}), small_task, InParallel(), "no recurrent"),
        (
            Spec("seq2seq", {"in_features": 9, "out_features": 7, "hidden": 6}),
            small_translation,
            Truncated(2),
            "start from nothing",
        ),
    ],
)
def test_objectives_that_do_not_fit_are_refused(spec, make, objective, message):
    task: Task = make()
    with pytest.raises(InputError, match=message):
        train(spec, task, TrainConfig(epochs=1, objective=objective), 0)


def test_half_precision_on_a_cpu_is_refused():
    with pytest.raises(InputError, match="needs a CUDA device"):
        train(LSTM, small_task(), TrainConfig(precision="16-mixed"), 0)


def test_resuming_with_another_objective_is_refused_and_says_what_differs(tmp_path):
    path = tmp_path / "checkpoint"
    config = TrainConfig(epochs=1, objective=Truncated(2))
    train(LSTM, small_task(), config, 0, path)
    before = copy.copy(path.read_bytes())
    with pytest.raises(InputError, match="update_every"):
        train(LSTM, small_task(), dataclasses.replace(config, objective=Truncated(3)), 0, path)
    assert path.read_bytes() == before
