"""Training: it learns, stops, and goes on exactly where it was killed."""

import dataclasses
import math
import multiprocessing
import os
import signal
import time
from functools import partial

import pytest
import torch

from small import FEATURES, Killed, killed_after, small_task, small_text, small_translation
from unrecur import CorruptFileError, DivergedError, InputError, Spec, TrainConfig, certify
from unrecur.core.state import map_state
from unrecur.data.sequences import SPLITS
from unrecur.train.evaluate import evaluate, summed_losses
from unrecur.train.loop import train

IO = {"in_features": FEATURES, "out_features": FEATURES}
LSTM = Spec("lstm", {**IO, "hidden": 6, "dropout": 0.3})
TCN = Spec("tcn", {**IO, "hidden": 4, "levels": 2, "dropout": 0.3})
SYMBOLS = {"in_features": 7, "out_features": 7, "hidden": 6}
TEXT = Spec("lstm", {**SYMBOLS, "tokens": True, "dropout": 0.3})
PAIR = Spec("seq2seq", {**SYMBOLS, "in_features": 9, "dropout": 0.3})
CONFIG = TrainConfig(epochs=3, batch_size=3, learning_rate=1e-2)


def weights(trained):
    return trained.model.state_dict()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("spec", "make"),
    [
        (LSTM, small_task),
        (TCN, small_task),
        (TEXT, partial(small_text, 18)),
        (PAIR, small_translation),
    ],
    ids=["lstm", "tcn", "stream", "translation"],
)
@pytest.mark.parametrize("save_every", [0.0, 1e9], ids=["each batch", "each epoch"])
def test_a_killed_run_ends_with_the_same_weights(spec, make, save_every, tmp_path, monkeypatch):
    monkeypatch.setattr("unrecur.train.loop.SAVE_EVERY", save_every)
    task = make()
    whole = train(spec, task, CONFIG, seed=3)
    path = tmp_path / "checkpoint.safetensors"
    for batches in (2, 5, 1, 4):
        with pytest.raises(Killed):
            train(spec, task, CONFIG, 3, path, report=killed_after(batches))
    resumed = train(spec, task, CONFIG, 3, path)
    assert same(weights(whole), weights(resumed))
    for key in ("train", "valid"):
        assert [h[key] for h in whole.progress.history] == [
            h[key] for h in resumed.progress.history
        ]


def train_slowly(path):
    torch.set_num_threads(1)
    train(LSTM, small_task(), CONFIG, 3, path, report=lambda *_: time.sleep(0.05))


def test_kill_9_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("unrecur.train.loop.SAVE_EVERY", 0.0)  # inherited by the fork
    path = tmp_path / "checkpoint.safetensors"
    context = multiprocessing.get_context("fork")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        process = context.Process(target=train_slowly, args=(path,))
        process.start()
        deadline = time.monotonic() + 60
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.12)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        resumed = train(LSTM, small_task(), CONFIG, 3, path)
        assert same(weights(train(LSTM, small_task(), CONFIG, 3)), weights(resumed))
    finally:
        torch.set_num_threads(threads)


def test_a_run_that_diverges_leaves_its_best_epoch(monkeypatch):
    first = train(LSTM, small_task(), dataclasses.replace(CONFIG, epochs=1, schedule="inverse"), 3)

    def stop(value, seen, chance, epoch, batch, batches):
        if epoch == 2:
            raise DivergedError("loss", value, epoch, batch, reason="and is far above")

    monkeypatch.setattr("unrecur.train.loop.check_loss", stop)
    with pytest.raises(DivergedError) as raised:
        train(LSTM, small_task(), dataclasses.replace(CONFIG, schedule="inverse"), 3)
    assert raised.value.trained.stopped == "diverged"
    assert raised.value.trained.progress.best_epoch == 1
    assert same(weights(raised.value.trained), weights(first))


def test_a_finished_run_is_not_trained_again(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    first = train(LSTM, small_task(), CONFIG, 0, path)
    again = train(LSTM, small_task(), CONFIG, 0, path, report=killed_after(1))
    assert same(weights(first), weights(again))
    assert first.progress == again.progress


def test_a_seed_decides_the_run():
    task = small_task()
    assert same(weights(train(LSTM, task, CONFIG, 1)), weights(train(LSTM, task, CONFIG, 1)))
    assert not same(weights(train(LSTM, task, CONFIG, 1)), weights(train(LSTM, task, CONFIG, 2)))


def test_it_learns_what_can_be_learnt():
    task = small_task(sequences=60)
    config = TrainConfig(epochs=30, batch_size=4, learning_rate=2e-2)
    trained = train(Spec("lstm", {**IO, "hidden": 16}), task, config, 0)
    floor = Spec("markov", {"in_features": FEATURES}).build()
    floor.fit(task.splits["train"])
    assert evaluate(trained.model, task, "test").metric < 0.9 * evaluate(floor, task, "test").metric


def test_the_best_epoch_is_kept_and_patience_ends_the_run():
    task = small_task(sequences=6)
    config = TrainConfig(epochs=60, batch_size=2, learning_rate=0.1, patience=2)
    trained = train(Spec("lstm", {**IO, "hidden": 24}), task, config, 0)
    progress = trained.progress
    valid = [entry["valid"] for entry in progress.history]
    assert trained.stopped == "patience"
    assert progress.best_epoch == valid.index(min(valid)) + 1 == len(valid) - 2
    assert evaluate(trained.model, task, "valid").metric == progress.best == min(valid)


def test_a_budget_ends_the_run_and_the_epoch_is_scored():
    trained = train(LSTM, small_task(), CONFIG, 0, budget=1e-9)
    assert trained.stopped == "budget"
    assert len(trained.progress.history) == 1


def test_a_stable_model_is_proved_stable_at_every_epoch():
    task = small_task()
    config = dataclasses.replace(CONFIG, rate=0.9)
    trained = train(Spec("lstm", {**IO, "hidden": 6}), task, config, 0)
    assert certify(trained.model, task.input_box).rate <= 0.9


def test_gradients_are_clipped():
    task = small_task()
    config = TrainConfig(epochs=1, batch_size=100, learning_rate=1.0, clip=1e-12)
    # Adam divides by the gradient's size, save below its epsilon, where a step is nearly none.
    trained = train(Spec("lstm", {**IO, "hidden": 6}), task, config, 0)
    torch.manual_seed(0)
    start = Spec("lstm", {**IO, "hidden": 6}).build().state_dict()
    for name, weight in weights(trained).items():
        assert (weight - start[name]).abs().max() < 1e-3


@pytest.mark.parametrize(
    ("step_loss", "message"),
    [
        (lambda scores, _: scores.sum(-1) * math.inf, "training loss is"),
        (lambda scores, _: (0 * scores).abs().sqrt().sum(-1), "training gradient is nan"),
    ],
)
def test_a_loss_or_gradient_that_is_no_number_is_an_error(step_loss, message, tmp_path):
    task = dataclasses.replace(small_task(), step_loss=step_loss)
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(InputError, match=message):
        train(LSTM, task, CONFIG, 0, path)
    assert not path.exists()


@pytest.mark.parametrize("keep", [0, 5, 500, -1])
def test_a_truncated_checkpoint_is_an_error(keep, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    train(LSTM, small_task(), CONFIG, 0, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptFileError, match="truncated or damaged"):
        train(LSTM, small_task(), CONFIG, 0, path)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"spec": TCN},
        {"config": dataclasses.replace(CONFIG, clip=2.0)},
        {"task": small_task(features=FEATURES, sequences=10)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_checkpoint_of_another_run_is_an_error(change, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    run = {"spec": LSTM, "task": small_task(), "config": CONFIG, "seed": 0}
    train(**run, checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="another run"):
        train(**{**run, **change}, checkpoint=path)
    assert path.read_bytes() == before


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Killed):
        train(LSTM, small_task(), CONFIG, 0, path, report=killed_after(6))
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            train(LSTM, small_task(), CONFIG, 0, path)
    assert path.read_bytes() == before
    assert same(
        weights(train(LSTM, small_task(), CONFIG, 0, path)),
        weights(train(LSTM, small_task(), CONFIG, 0)),
    )


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "cpu:x", ""])
def test_a_device_that_is_not_there_is_an_error(device):
    with pytest.raises(InputError, match="no device"):
        train(LSTM, small_task(), CONFIG, 0, device=device)


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": 0},
        {"batch_size": 1.5},
        {"learning_rate": 0.0},
        {"learning_rate": math.nan},
        {"clip": -1.0},
        {"patience": 0},
        {"rate": 1.0},
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(InputError, match=next(iter(setting))):
        TrainConfig(**setting)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bidirectional_lstm", {}),
        ("transformer_encoder", {"layers": 1, "heads": 1}),
        ("hierarchical_attention", {"heads": 1}),
    ],
)
def test_a_model_that_sees_its_targets_is_not_trained(name, options):
    with pytest.raises(InputError, match=f"a {name} sees the inputs to come"):
        train(Spec(name, {**IO, "hidden": 4, **options}), small_task(), CONFIG, 0)


def test_a_stream_carries_its_state_and_no_gradient_across_batches():
    task = small_text(pieces=6)
    config = TrainConfig(epochs=1, batch_size=2, learning_rate=1e-3, clip=1e9)
    spec = Spec("lstm", {**SYMBOLS, "tokens": True})
    trained = train(spec, task, config, 0)
    torch.manual_seed(0)
    model = spec.build().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    state = None
    for number, batch in enumerate(task.batches("train", 2)):
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 + math.cos(math.pi * number / 3)) / 2
        y, state = model(batch.x, state)
        state = map_state(torch.Tensor.detach, state)
        losses, counts = summed_losses(task, y, batch.target, batch.lengths)
        optimizer.zero_grad()
        (losses.sum() / counts.sum()).backward()
        optimizer.step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(trained.model.state_dict()[name], value)


@pytest.mark.parametrize(
    ("spec", "make", "message"),
    [
        (LSTM, small_text, "does not read token ids"),
        (TEXT, small_task, "does not read numbers"),
        (TEXT, small_translation, "has a source to start from"),
        (PAIR, small_text, "starts from a source"),
    ],
)
def test_a_model_that_does_not_fit_the_task_is_not_trained(spec, make, message):
    with pytest.raises(InputError, match=message):
        train(spec, make(), CONFIG, 0)


def test_workers_change_no_weight():
    task, config = small_task(), dataclasses.replace(CONFIG, epochs=1)
    reading = dataclasses.replace(config, workers=2)
    assert same(weights(train(LSTM, task, config, 0)), weights(train(LSTM, task, reading, 0)))


def test_scores_are_those_of_each_sequence_alone():
    task = small_task()
    model = LSTM.build().eval()
    scores = evaluate(model, task, "test")
    for number, (x, target) in enumerate(task.splits["test"]):
        with torch.no_grad():
            alone = task.step_loss(model(x[None])[0][0], target).sum()
        assert float(scores.loss[number]) == pytest.approx(float(alone), rel=1e-5)
        assert int(scores.steps[number]) == len(x)
    assert scores.metric == pytest.approx(float(scores.loss.sum() / scores.steps.sum()))


def test_padding_adds_nothing_to_the_loss():
    task = small_task()
    (batch,) = task.batches("train", 100)
    y = torch.randn(*batch.target.shape)
    poisoned = y.clone()
    for row, length in enumerate(batch.lengths.tolist()):
        poisoned[row, length:] = math.nan
    clean, found = (summed_losses(task, z, batch.target, batch.lengths) for z in (y, poisoned))
    torch.testing.assert_close(found, clean)
    assert torch.equal(clean[1], batch.lengths)
    assert set(SPLITS) == {"train", "valid", "test"}
