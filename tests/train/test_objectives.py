"""Objectives over time: each gradient is what its docstring says, by a slow obvious version."""

import copy
import dataclasses
import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from small import FEATURES, Killed, killed_after, small_task, small_text, small_translation
from unrecur import InputError, Spec, TrainConfig, truncate
from unrecur.core.state import detach
from unrecur.data.losses import squared_error
from unrecur.data.running import start_state
from unrecur.data.task import Task
from unrecur.train import loop
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


@pytest.mark.parametrize("length", [3, 99])
def test_segments_meet_the_same_dropout_again(length):
    _, task, batch = problem()
    torch.manual_seed(0)
    model = Spec("lstm", {**IO, "hidden": 4, "layers": 2, "dropout": 0.5}).build().double()
    torch.manual_seed(1)
    ((found, _, _),) = parts(Full(length), model, task, batch)
    after = torch.rand(1)
    torch.manual_seed(1)
    losses, state = [], None
    for start in range(0, batch.x.shape[1], length):  # the dropout of a segment is drawn for each
        part = slice(start, start + length)
        y, state = model(batch.x[:, part], state)
        left = (batch.lengths - start).clamp(min=0)
        losses.append(summed_losses(task, y, batch.target[:, part], left)[0].sum())
    assert_same(found, gradients(model, sum(losses)))
    assert torch.equal(torch.rand(1), after)


@pytest.mark.parametrize(
    ("spec", "make"),
    [
        (Spec("tcn", {**IO, "hidden": 4, "levels": 2}), small_task),
        (
            Spec("transformer", {**IO, "hidden": 8, "layers": 1, "heads": 2, "context": 6}),
            small_task,
        ),
        (Spec("seq2seq", {"in_features": 9, "out_features": 7, "hidden": 6}), small_translation),
    ],
    ids=["tcn", "transformer", "source"],
)
def test_segments_of_other_models(spec, make):
    torch.manual_seed(0)
    model, task = spec.build(), make()
    batch = next(task.batches("train", 4))
    found = []
    for objective in (Full(), Full(2)):
        state = start_state(model, batch, None)
        (part,) = objective.parts(model, task, batch, state)
        found.append((gradients(model, part.loss), float(part.loss.detach())))
    (one, loss), (other, again) = found
    assert again == pytest.approx(loss, rel=1e-5)
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


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


@settings(max_examples=15, deadline=None)
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
    x = torch.randn(1, 700, FEATURES, dtype=torch.float64)
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


@pytest.mark.parametrize("objective", [Truncated(3), Windowed(3)], ids=str)
def test_each_objective_learns(objective):
    task = small_task()
    config = TrainConfig(epochs=5, batch_size=4, learning_rate=3e-2, objective=objective)
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


@pytest.mark.parametrize("accumulate", [1, 3])
def test_batches_in_which_nothing_counts_change_nothing(accumulate):
    task = small_text()
    blank = [(x, torch.full_like(y, -100)) for x, y in task.splits["train"]]
    pairs = [task.splits["train"][0], *blank[1:]]
    config = TrainConfig(
        epochs=2, batch_size=1, optimizer="sgd", schedule="inverse", accumulate=accumulate
    )

    def trained(some):
        made = dataclasses.replace(
            task, splits={**task.splits, "train": some}, hashes={}, continuous=False
        )
        return train(TEXT, made, dataclasses.replace(config, learning_rate=1e-9), 0)

    # Only rates fall meanwhile: at a rate of nothing all weights are those of the start.
    one, two = trained(pairs), trained(pairs[:1])
    history = [[entry["train"] for entry in run.progress.history] for run in (one, two)]
    assert history[0] == pytest.approx(history[1], rel=1e-5)


def test_gradients_of_a_group_do_not_leak_into_the_next(monkeypatch):
    task = small_text()
    blank = [(x, torch.full_like(y, -100)) for x, y in task.splits["train"]]
    pairs = [task.splits["train"][0], blank[1], task.splits["train"][2], blank[3]]
    made = dataclasses.replace(
        task, splits={**task.splits, "train": pairs}, hashes={}, continuous=False
    )
    learn, left = loop._Run._learn, []

    def watched(self, group, budget):
        learn(self, group, budget)
        left.extend(weight.grad for weight in self.bare.parameters())

    monkeypatch.setattr(loop._Run, "_learn", watched)
    for seed in range(4):  # in some orders a group ends with a batch in which nothing counts
        train(TEXT, made, TrainConfig(epochs=1, batch_size=1, accumulate=2), seed)
    assert left
    assert all(gradient is None for gradient in left)


def test_loud_steps_within_a_batch_do_not_stop_learning_after_each_step():
    made = small_task()
    x = torch.zeros(400, FEATURES)
    y = torch.zeros(400, FEATURES)
    y[100:130] = 30.0
    pairs = [(x, y)] * 3
    task = dataclasses.replace(
        made,
        splits={split: pairs for split in made.splits},
        hashes={},
        input_box=None,
        step_loss=squared_error,
        chance_level=1.0,
    )
    config = TrainConfig(epochs=1, batch_size=3, objective=Truncated(1), learning_rate=1e-4)
    assert train(LSTM, task, config, 0).stopped == "epochs"


@pytest.mark.parametrize("objective", [Full(), Truncated(1)], ids=str)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_gradients_are_measured_ten_times_an_epoch_at_the_most(objective, accumulate):
    if accumulate > 1 and not objective.one_step:
        pytest.skip("several steps a batch")
    config = TrainConfig(
        epochs=1, batch_size=1, objective=objective, accumulate=accumulate, watch=True
    )
    progress = train(LSTM, small_task(sequences=22), config, 0).progress
    assert 5 <= len(progress.measured) <= 12
    assert len({one["batch"] for one in progress.measured}) == len(progress.measured)


@pytest.mark.parametrize(
    "spec",
    [Spec("lstm", {**IO, "hidden": 6, "layers": 2}), TEXT, Spec("elman", {**IO, "hidden": 5})],
)
def test_mixed_precision_of_stacks_and_tokens(spec):
    task = small_text() if spec is TEXT else small_task()
    config = TrainConfig(epochs=1, batch_size=3, precision="bf16-mixed")
    assert math.isfinite(train(spec, task, config, 0).progress.best)


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
        (lambda: TrainConfig(precision="16-mixed", clip_by="value"), "clips by norm"),
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
