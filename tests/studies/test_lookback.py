"""Lookback: the true k of known processes, honest splits, one budget, resuming, bad input."""

import json
from dataclasses import replace

import numpy as np
import polars
import pytest
import torch

import unrecur
from small import small_task, small_text
from unrecur import InputError
from unrecur.data.datasets import task_from
from unrecur.data.forecasting import forecasting_task
from unrecur.data.present_step import classification_task
from unrecur.studies import lookback_points
from unrecur.studies.lookback_data import steps_of
from unrecur.studies.lookback_folds import folds_of
from unrecur.studies.lookback_linear import Convex, Ridge, linear_of
from unrecur.studies.lookback_network import Network
from unrecur.studies.lookback_processes import PROCESSES

FACTOR = 1.5


def noise(steps, features=1, seed=0):
    return torch.randn(steps, features, generator=torch.Generator().manual_seed(seed))


def in_order(x, target, **options):
    """A task whose splits are parts of one series, in order."""
    n = len(x)
    parts = {
        "train": slice(0, n * 7 // 10),
        "valid": slice(n * 7 // 10, n * 9 // 10),
        "test": slice(n * 9 // 10, n),
    }
    return task_from({name: [(x[part], target[part])] for name, part in parts.items()}, **options)


def table(steps=900, own=0.5, seed=0):
    """y from its last value and from x of three steps before; z is noise."""
    random = np.random.default_rng(seed)
    x, z = random.normal(size=(2, steps))
    y = np.zeros(steps)
    for t in range(3, steps):
        y[t] = own * y[t - 1] + x[t - 3] + 0.5 * random.normal()
    return polars.DataFrame({"y": y + 100, "x": x, "z": z})


def right(process, seed, folder, **options):
    drawn = PROCESSES[process](seed)
    k = unrecur.lookback(drawn.task, folder, **options)["least"][drawn.rule]
    return drawn.truth / FACTOR <= k <= drawn.truth * FACTOR


@pytest.mark.parametrize("process", ["autoregressive", "seasonal", "delayed"])
def test_the_true_k_is_found(process, tmp_path):
    assert all(right(process, seed, tmp_path / str(seed), longest=32) for seed in (1000, 1001))


def test_the_true_k_of_a_process_of_infinite_order_is_found(tmp_path):
    assert right("hidden Markov", 1000, tmp_path, longest=12)


@pytest.mark.slow
@pytest.mark.parametrize("process", PROCESSES)
def test_the_true_k_is_found_in_95_of_100_runs(process, tmp_path):
    longest = 32 if process == "hidden Markov" else None
    runs = [right(process, seed, tmp_path / str(seed), longest=longest) for seed in range(100)]
    assert sum(runs) >= 95


@pytest.mark.slow
def test_a_network_finds_what_no_linear_model_can(tmp_path):
    x = noise(6000)
    target = torch.zeros(6000, 1)
    target[4:] = x[3:-1] * x[:-4] + 0.3 * noise(5996, seed=1)
    results = unrecur.lookback(in_order(x, target), tmp_path, longest=16)
    assert results["settings"]["model"] == "network"
    assert 5 / FACTOR <= results["least"]["margin"] <= 5 * FACTOR


def test_a_table_says_how_far_back_each_column_and_horizon_matters(tmp_path):
    task = forecasting_task(table(3000, own=0.0), target="y", horizon=(1, 3))
    results = unrecur.lookback(task, tmp_path, longest=12)
    assert results["least"]["measurable"] == 3
    columns = {one["column"]: one["least"]["measurable"] for one in results["columns"]}
    assert columns == {"y": 0, "x": 3, "z": 0}
    horizons = {one["horizon"]: one["least"]["measurable"] for one in results["horizons"]}
    assert horizons == {1: 3, 3: 1}  # in three steps, the present x will be three steps old
    assert results["notes"][0].startswith("Windows hold values")
    json.dumps(results, allow_nan=False)


def test_windows_of_a_table_hold_its_values(tmp_path):
    frame = table(400)
    task = forecasting_task(frame, target="y", inputs=["x"], season=7)
    steps = steps_of(task, 5)
    train = frame["y"].to_numpy()[:280]
    y = (frame["y"].to_numpy() - train.mean()) / train.std()
    window, target = steps.windows[100, :, 0].numpy(), float(steps.targets[100])
    ratio = (window[:-1] - window[1:]) / np.diff(y[96:101])[::-1]
    assert ratio == pytest.approx(np.full(4, ratio[0]), rel=1e-3)  # scaled, but no differences
    assert (target - window[0]) / ratio[0] == pytest.approx(y[101] - y[100], rel=1e-3)


def test_the_metric_is_the_loss_of_the_task_with_the_last_value_as_forecast():
    """The windows hold values, yet the loss is the MASE that a study reports."""
    task = forecasting_task(table(400), target="y")
    steps = steps_of(task, 3)
    ours = float(task.step_loss(steps.windows[:, 0, :1], steps.targets).mean())
    losses = []
    for split in ("train", "valid"):
        for number in range(len(task.splits[split])):
            target = task.pair(split, number)[1]
            target = target[~target.isnan().any(1)]
            losses.append(task.step_loss(torch.zeros_like(target), target))
    assert ours == pytest.approx(float(torch.cat(losses).mean()), rel=1e-4)


def test_no_model_is_fitted_on_the_future():
    x = noise(600)
    steps = steps_of(in_order(x, x), 4)
    folds = folds_of(steps)
    when = steps.share + 10 * steps.stretch
    for stretch in set(steps.stretch):
        own = steps.stretch == stretch
        for fold in folds.splits:
            train, test = (np.isin(folds.part, parts) & own for parts in (fold.train, [fold.test]))
            assert when[train].max() < when[test].min()
            inner = np.isin(folds.part, fold.inner_train) & own
            assert when[inner].max() < when[(folds.part == fold.inner_test) & own].min()
            assert {*fold.inner_train, fold.inner_test} <= {*fold.train}
    tests = [fold.test for fold in folds.splits]
    assert len(tests) == len(set(tests)) == 4


def test_targets_of_one_part_are_not_known_in_another():
    task = forecasting_task(table(1000), target="y", horizon=6)
    steps = steps_of(task, 4)
    folds = folds_of(steps)
    for part in range(5):
        last = np.flatnonzero(folds.part == part)[-1]
        following = np.flatnonzero(folds.part == part + 1)[0]
        assert following - last == 6  # the five steps between look into the next part
        assert set(folds.part[last + 1 : following]) == {-1}


def test_independent_sequences_are_folds_as_they_are():
    steps = steps_of(small_task(sequences=40), 4)
    folds = folds_of(steps)
    assert not steps.in_time
    for stretch in set(steps.stretch):
        assert len(set(folds.part[steps.stretch == stretch])) == 1
    for fold in folds.splits:
        assert fold.test not in fold.train
        assert fold.inner_test not in fold.inner_train


def test_the_test_split_is_not_looked_at(tmp_path):
    x = noise(800)
    target = x + 0.1 * noise(800, seed=1)
    task = in_order(x, target)
    results = unrecur.lookback(task, tmp_path / "a", longest=4)
    spoilt = replace(task, splits={**task.splits, "test": [(1e3 * noise(80), noise(80))]})
    assert unrecur.lookback(spoilt, tmp_path / "b", longest=4)["points"] == results["points"]


def test_every_window_is_judged_on_the_same_steps_with_its_own_inputs():
    """A shorter window is the longer one with its older inputs cut off; 0 stands before a start."""
    x = torch.arange(1.0, 301)[:, None]
    steps = steps_of(in_order(x, x + noise(300)), 6)
    assert steps.windows[2, :, 0].tolist() == [3, 2, 1, 0, 0, 0]
    assert steps.windows[100, :, 0].tolist() == [101, 100, 99, 98, 97, 96]


def test_a_stream_goes_on_across_its_pieces():
    steps = steps_of(small_text(pieces=40), 4)
    tokens = steps.windows.argmax(2)
    task = small_text(pieces=40)
    ids = torch.cat([task.pair("train", number)[0] for number in range(40)])
    assert tokens[7].tolist() == ids[[7, 6, 5, 4]].tolist()  # pieces are 5 long


def test_rare_tokens_count_as_one():
    ids = torch.randint(70, (3000,), generator=torch.Generator().manual_seed(0))
    ids[::2] %= 3
    steps = steps_of(in_order(ids[:-1], ids[1:], token_ids=300), 2)
    assert steps.windows.shape[2] == 64
    assert (steps.windows.sum(2) != 1).sum() == 2  # before the starts of two splits
    assert "commonest" in " ".join(steps.notes)


@pytest.mark.parametrize("k", [1, 2, 5, 9, 17, 40, 64])
def test_networks_have_one_budget(k):
    x = noise(2000, 3)
    task = in_order(x, x[:, :1])
    steps = steps_of(task, 64)
    linear = linear_of(steps, folds_of(steps), task.step_loss, 1)
    network = Network(linear)
    assert network.size(3 * k) == pytest.approx(network.budget, rel=0.02)
    weights = network._start(3 * k, torch.Generator())
    counted = linear.size(3 * k) + sum(weight.numel() for weight in weights)
    assert network.size(3 * k) == counted


def test_ridge_is_the_minimum_of_squares_and_penalty():
    x = noise(500, 2)
    task = in_order(x, x @ torch.tensor([[1.0], [-2.0]]) + noise(500, seed=1))
    steps = steps_of(task, 3)
    ridge = linear_of(steps, folds_of(steps), task.step_loss, 1)
    assert isinstance(ridge, Ridge)
    chosen = torch.tensor([0, 1, 4])
    weights = ridge.fit(chosen, (0, 1, 2), 10.0, torch.zeros(0))
    rows = ridge.folds.rows(0, 1, 2)
    inputs = torch.cat([ridge.features[rows][:, chosen], torch.ones(len(rows), 1)], 1)
    residual = steps.targets[rows] - inputs @ weights
    gradient = inputs.T @ residual - torch.tensor([[10.0]] * 3 + [[0.0]]) * weights
    assert gradient.abs().max() < 1e-2


def test_other_losses_are_minimised_too():
    x = noise(3000, 2)
    logits = torch.stack([x[:, 0], -x[:, 0], x[:, 1]], 1)
    target = torch.distributions.Categorical(logits=logits)
    torch.manual_seed(0)
    task = in_order(x, target.sample())
    steps = steps_of(task, 2)
    model = linear_of(steps, folds_of(steps), task.step_loss, 3)
    assert isinstance(model, Convex)
    weights = model.fit_all(torch.arange(4), (0, 1, 2, 3, 4, 5))[-1]
    centred = weights - weights.mean(1, keepdim=True)
    truth = torch.tensor([[1.0, -1, 0], [-1 / 3, -1 / 3, 2 / 3], [0, 0, 0], [0, 0, 0]])
    assert (centred[:4] - truth).abs().max() < 0.2


def test_what_is_measured_is_not_measured_again(tmp_path, monkeypatch):
    x = noise(600)
    task = in_order(x, x + noise(600, seed=1))
    whole = unrecur.lookback(task, tmp_path / "whole", longest=8)
    measured, scores = [], Ridge.scores

    def stopping(model, chosen, fold, rows):
        measured.append(len(chosen))
        if len(measured) > limit:
            raise KeyboardInterrupt
        return scores(model, chosen, fold, rows)

    monkeypatch.setattr(Ridge, "scores", stopping)
    limit = 10  # in the middle of the third window
    with pytest.raises(KeyboardInterrupt):
        unrecur.lookback(task, tmp_path / "parts", longest=8)
    kept = json.loads((tmp_path / "parts" / lookback_points.FILE).read_text())["points"]
    assert list(kept) == ["[0]", "[1]"]
    measured.clear()
    limit = 1000
    again = unrecur.lookback(task, tmp_path / "parts", longest=8)
    assert {0, 1}.isdisjoint(measured)
    assert again["points"] == whole["points"]
    assert again["verdict"] == whole["verdict"]


def test_another_margin_needs_only_what_is_new(tmp_path, monkeypatch):
    x = noise(600)
    task = in_order(x, x + noise(600, seed=1))
    first = unrecur.lookback(task, tmp_path, margin=0.02, longest=8)
    monkeypatch.setattr(Ridge, "scores", None)
    second = unrecur.lookback(task, tmp_path, margin=0.02, longest=8)
    assert second["points"] == first["points"]


def test_points_of_something_else_are_refused(tmp_path):
    x = noise(600)
    unrecur.lookback(in_order(x, x + noise(600, seed=1)), tmp_path, longest=4)
    with pytest.raises(InputError, match="holds another lookback: its data is"):
        unrecur.lookback(in_order(x, x + noise(600, seed=2)), tmp_path, longest=4)
    (tmp_path / lookback_points.FILE).write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        unrecur.lookback(in_order(x, x + noise(600, seed=1)), tmp_path, longest=4)


@pytest.mark.parametrize(
    ("task", "options", "said"),
    [
        (lambda: in_order(noise(90), noise(90)), {}, "too short to be split"),
        (lambda: in_order(noise(500), torch.ones(500, 1)), {}, "never changes"),
        (
            lambda: in_order(noise(500), torch.ones(500).long(), classes=3),
            {},
            "never changes",
        ),
        (lambda: in_order(noise(500), noise(500)), {"longest": 400}, "longest window of 1 to"),
        (lambda: in_order(noise(500), noise(500)), {"longest": 0}, "the longest window must be"),
        (lambda: in_order(noise(500), noise(500)), {"margin": -0.1}, "expected a margin"),
        (lambda: in_order(noise(500), noise(500)), {"margin": 1.0}, "expected a margin"),
        (lambda: forecasting_task(table(300), target="y", horizon=40), {}, "too few|too short"),
    ],
)
def test_bad_input_is_one_clear_error(task, options, said, tmp_path):
    with pytest.raises(InputError, match=said):
        unrecur.lookback(task(), tmp_path, **options)


def test_a_source_is_refused(tmp_path):
    sources = {"train": [torch.ones(3).long()] * 30, "valid": [torch.ones(3).long()] * 30}
    pairs = [(torch.arange(5), torch.arange(5))] * 30
    splits = {"train": pairs, "valid": pairs, "test": pairs}
    task = replace(
        small_text(),
        splits=splits,
        sources={**sources, "test": sources["train"]},
        source_features=3,
        continuous=False,
    )
    with pytest.raises(InputError, match="starts from a source"):
        unrecur.lookback(task, tmp_path)


@pytest.mark.slow
def test_classes_of_a_table_and_piano_rolls_have_their_lookback(tmp_path):
    frame = table(1500).with_columns(
        state=polars.when(polars.col("x").shift(2, fill_value=0) > 0)
        .then(polars.lit("up"))
        .otherwise(polars.lit("down"))
    )
    task = classification_task(frame, target="state", inputs=["x", "z"])
    results = unrecur.lookback(task, tmp_path / "classes", longest=6)
    assert results["least"]["measurable"] == 3
    columns = {one["column"]: one["least"]["measurable"] for one in results["columns"]}
    assert columns == {"x": 3, "z": 0}
    rolls = small_task(sequences=60)  # features repeat others of one and two frames before
    assert unrecur.lookback(rolls, tmp_path / "rolls")["least"]["measurable"] == 2
