"""The study: the same rows however often it is killed, and a verdict from them."""

import dataclasses
import json
import math
import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
import torch

from small import FEATURES, small_task, small_text, small_translation
from unrecur import CorruptFileError, InputError, StudyConfig, build, load_model, study
from unrecur.data.losses import bernoulli_nll
from unrecur.data.task import Task
from unrecur.studies.listener import Listener
from unrecur.studies.recipes import PAIRS, RECIPES, Recipe, recipes_for
from unrecur.studies.trial import scored_part
from unrecur.train.config import TrainConfig
from unrecur.train.evaluate import evaluate

CONFIG = StudyConfig(seeds=2, parameters=2700, epochs=2)
TIMED = {"speed", "estimate", "seconds", "wall_seconds", "created", "environment", "command"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Measure speeds only once."""
    monkeypatch.setattr("unrecur.studies.speed.SECONDS", 0.0)
    monkeypatch.setattr("unrecur.train.loop.SAVE_EVERY", 0.0)


def timeless(found):
    """Results without what is a time."""
    if isinstance(found, dict):
        return {key: timeless(value) for key, value in found.items() if key not in TIMED}
    return [timeless(value) for value in found] if isinstance(found, list) else found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted study and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return study(small_task(), folder, CONFIG), folder


def test_every_recipe_has_its_rows(whole):
    results, _ = whole
    trials = [(row["model"], row["seed"]) for row in results["rows"]]
    floors = [(name, 0) for name in ("frequencies", "markov")]
    trained = [name for name, recipe in RECIPES.items() if recipe.kind != "floor"]
    assert sorted(trials) == sorted(floors + [(n, s) for n in trained for s in (0, 1)])


def test_budgets_match(whole):
    results, _ = whole
    for row in results["rows"]:
        if row["family"] != "floor":
            assert abs(row["parameters"] - 2700) <= 0.02 * 2700
            assert len(row["history"]) == 2


def test_recurrent_models_are_audited(whole):
    results, _ = whole
    for row in results["rows"]:
        if row["family"] == "recurrent":
            assert [point["k"] for point in row["memory"]] == [1, 2, 4, 8, 16]
            last = row["memory"][-1]
            assert last["metric"] == pytest.approx(row["full_metric"], rel=1e-5)
            assert last["output_error_max"] < 1e-5
            proved = row["model"] == "stable-lstm"
            assert (row["certificate"]["evidence"] == "proved") is proved
            for point in row["memory"]:
                assert (point["bound"] is not None) is proved
                assert not proved or point["output_error_max"] <= point["bound"]
        else:
            assert "memory" not in row


def test_the_window_is_within_the_tolerance_on_validation(whole):
    results, folder = whole
    cut = results["truncation"]
    rows = [row for row in results["rows"] if row["model"] == cut["model"]]
    assert cut["seeds"] == [0, 1]
    assert cut["full_metric"] == pytest.approx(sum(r["metric"]["test"] for r in rows) / 2)
    names = [entry["feed_forward"] for entry in results["verdict"]["comparisons"]]
    assert (f"{cut['model']} on {cut['k']} inputs" in names) is (cut["left_out"] >= 0.5)
    spec, model = load_model(folder / "models" / f"{cut['model']}-0.safetensors")
    assert spec.parameters == rows[0]["parameters"] == sum(p.numel() for p in model.parameters())


def test_steps_agree_with_blocks_where_speeds_are_given(whole):
    results, _ = whole
    for row in results["rows"]:
        assert row["speed"]["step_error"] < 1e-4
        assert row["speed"]["step_seconds"] > 0
        assert ("train_steps_per_second" in row["speed"]) is (row["family"] != "floor")


def test_results_are_json_and_on_disk(whole):
    results, folder = whole
    written = json.loads((folder / "results.json").read_text())
    assert written == json.loads(json.dumps(results, allow_nan=False))
    assert len((folder / "rows.jsonl").read_text().splitlines()) == len(results["rows"])


class Counting(Listener):
    """Counts the trials that are run."""

    def __init__(self):
        self.begun, self.ended, self.announced = [], 0, None

    def start(self, trials, finished):
        self.announced = (trials, finished)

    def begin(self, model, seed):
        self.begun.append((model, seed))

    def end(self, row):
        self.ended += 1


def test_a_second_run_skips_what_is_finished(whole):
    results, folder = whole
    listener = Counting()
    again = study(small_task(), folder, CONFIG, listener=listener)
    assert listener.begun == []
    assert listener.announced == (10, 10)
    assert again["rows"] == results["rows"]
    assert timeless(again) == timeless(results)


def test_rows_are_exported_again_after_a_kill_between_two_files(whole):
    _, folder = whole
    lines = (folder / "rows.jsonl").read_text().splitlines(keepends=True)
    (folder / "rows.jsonl").write_text("".join(lines[:-1]))
    study(small_task(), folder, CONFIG)
    assert (folder / "rows.jsonl").read_text() == "".join(lines)


@pytest.mark.slow
def test_seeds_can_be_added(whole, tmp_path):
    results, _ = whole
    one = study(small_task(), tmp_path, StudyConfig(seeds=1, parameters=2700, epochs=2))
    assert one["verdict"]["answer"] == "undecided"
    listener = Counting()
    both = study(small_task(), tmp_path, CONFIG, listener=listener)
    assert {seed for _, seed in listener.begun} == {1}
    assert timeless(both) == timeless(results)


def run_slowly(folder):
    torch.set_num_threads(1)
    study(small_task(), folder, CONFIG)


@pytest.mark.parametrize(
    "moments", [(0.2, 0.9), pytest.param((0.5, 1.6, 0.4), marks=pytest.mark.slow)]
)
def test_kill_9_changes_no_row(moments, whole, tmp_path):
    context = multiprocessing.get_context("fork")
    killed = 0
    for moment in moments:
        process = context.Process(target=run_slowly, args=(tmp_path,))
        process.start()
        deadline = time.monotonic() + 60
        while not (tmp_path / "checkpoints").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(moment)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    assert killed
    resumed = study(small_task(), tmp_path, CONFIG)
    assert timeless(resumed) == timeless(whole[0])


def test_another_task_in_the_same_folder_is_refused(whole):
    _, folder = whole
    with pytest.raises(InputError, match="another study: its task"):
        study(small_task(name="other"), folder, CONFIG)
    with pytest.raises(InputError, match=r"another study: its (data|models)"):
        study(small_task(sequences=10), folder, CONFIG)
    with pytest.raises(InputError, match="another study: its parameters"):
        study(small_task(), folder, StudyConfig(seeds=2, parameters=2709, epochs=2))


def test_another_version_is_refused(whole, monkeypatch):
    _, folder = whole
    monkeypatch.setattr("unrecur.__version__", "99.0")
    with pytest.raises(InputError, match="another study: its version"):
        study(small_task(), folder, CONFIG)


@pytest.mark.slow
def test_a_missing_or_damaged_model_is_an_error(tmp_path):
    study(small_task(), tmp_path, CONFIG)
    models = sorted((tmp_path / "models").glob("*lstm*")) + sorted(
        (tmp_path / "models").glob("gru*")
    )
    for path in models:
        path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CorruptFileError, match="no whole model file"):
        study(small_task(), tmp_path, CONFIG)
    for path in models:
        path.unlink()
    with pytest.raises(CorruptFileError, match="is missing"):
        study(small_task(), tmp_path, CONFIG)


def test_recipes_of_ones_own(tmp_path):
    training = TrainConfig(epochs=1, batch_size=4)
    recipes = {
        "mine": Recipe("elman", "recurrent", {}, training),
        "wide": Recipe("tcn", "feed-forward", {"levels": 1}, training),
    }
    results = study(small_task(), tmp_path, CONFIG, recipes)
    assert {row["model"] for row in results["rows"]} == {"mine", "wide"}
    assert results["truncation"]["model"] == "mine"
    assert results["rows"][0]["spec"]["options"]["in_features"] == FEATURES


def test_a_recipe_that_looks_ahead_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr("unrecur.studies.worker.run_trial", lambda *_: pytest.fail("a trial ran"))
    training, config = TrainConfig(epochs=1, batch_size=4), StudyConfig(parameters=20_000)
    recipes = {
        "mine": Recipe("elman", "recurrent", {}, training),
        "both": Recipe("bidirectional_lstm", "recurrent", {}, training),
    }
    with pytest.raises(InputError, match="bidirectional_lstm sees the inputs to come"):
        study(small_task(), tmp_path, config, recipes)


def test_an_autoregression_is_a_floor(tmp_path):
    """It takes the number of outputs too, and a squared error is what it is fitted to."""
    task = dataclasses.replace(
        memory_task(count=6),
        step_loss=lambda y, target: (y - target).square().sum(-1),
    )
    recipes = {
        "gru": Recipe("gru", "recurrent", {}, TrainConfig(epochs=1, batch_size=4)),
        "linear": Recipe("autoregression", "floor", {"order": 3}),
    }
    results = study(task, tmp_path, StudyConfig(seeds=1, parameters=760), recipes)
    row = next(row for row in results["rows"] if row["model"] == "linear")
    assert row["spec"]["options"] == {"in_features": 2, "out_features": 1, "order": 3}
    fitted = build("autoregression", in_features=2, out_features=1, order=3)
    fitted.fit(task.splits["train"])
    assert row["metric"]["test"] == pytest.approx(evaluate(fitted, task, "test").metric)
    _, kept = load_model(tmp_path / "models" / "linear-0.safetensors")
    for name, weight in fitted.state_dict().items():
        torch.testing.assert_close(kept.state_dict()[name], weight)


def test_the_relatives_of_frames_stand_in_one_study(tmp_path):
    task = dataclasses.replace(
        small_task(), step_loss=lambda y, target: (y - target).square().sum(-1)
    )
    hidden_markov = {"hidden": 3, "emission": "gaussian"}
    recipes = {
        "gru": Recipe("gru", "recurrent", {}, TrainConfig(epochs=1, batch_size=4)),
        "linear": Recipe("autoregression", "floor", {"order": 2}),
        "hidden-markov": Recipe("hidden_markov", "floor", hidden_markov),
    }
    results = study(task, tmp_path, StudyConfig(seeds=1, parameters=760), recipes)
    test = {row["model"]: row["metric"]["test"] for row in results["rows"]}
    # Each feature repeats another, a frame or two later: a line of the last two frames knows that.
    assert test["linear"] < test["hidden-markov"]
    _, kept = load_model(tmp_path / "models" / "hidden-markov-0.safetensors")
    assert evaluate(kept, task, "test").metric == pytest.approx(test["hidden-markov"])


def test_a_floor_that_is_not_fitted_is_refused_before_anything_is_trained(tmp_path):
    recipes = dict(RECIPES, wide=Recipe("tcn", "floor", {"levels": 1, "hidden": 3}))
    listener = Counting()
    with pytest.raises(InputError, match="'tcn' is trained"):
        study(small_task(), tmp_path, CONFIG, recipes, listener)
    assert listener.begun == []


@pytest.mark.parametrize("kinds", [("recurrent",), ("feed-forward",), ("floor",)])
def test_both_families_are_needed(kinds, tmp_path):
    recipes = {name: recipe for name, recipe in RECIPES.items() if recipe.kind in kinds}
    if kinds == ("recurrent",):
        # The recurrent model's own short window is the only feed-forward candidate there can be.
        results = study(small_task(), tmp_path, CONFIG, recipes)
        assert len(results["verdict"]["comparisons"]) <= 1
    else:
        with pytest.raises(InputError, match="at least one recurrent"):
            study(small_task(), tmp_path, CONFIG, recipes)


@pytest.mark.parametrize(
    "setting",
    [{"seeds": 0}, {"parameters": -1}, {"margin": 1.0}, {"budget_seconds": 0.0}, {"epochs": 0}],
)
@pytest.mark.usefixtures("unchecked")
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(InputError, match=next(iter(setting))):
        StudyConfig(**setting)


def memory_task(length=24, count=40):
    """Say at every step what the first input was: nothing but memory helps."""
    generator = torch.Generator().manual_seed(0)

    def pairs(number):
        found = []
        for _ in range(number):
            x = torch.zeros(length, 2)
            x[0, 0] = (torch.rand((), generator=generator) < 0.5).float()
            x[0, 1] = 1.0
            found.append((x, x[0, 0].expand(length, 1).clone()))
        return found

    return Task(
        name="hold",
        title="Hold the first bit",
        metric="negative log-likelihood",
        unit="nats",
        in_features=2,
        out_features=1,
        step_loss=bernoulli_nll,
        chance_level=0.693,
        input_box=(0.0, 1.0),
        splits={"train": pairs(count), "valid": pairs(count // 2), "test": pairs(count // 2)},
    )


@pytest.mark.slow
def test_recurrence_is_found_to_be_needed_where_it_is(tmp_path):
    training = TrainConfig(epochs=15, batch_size=4, learning_rate=2e-2, patience=15)
    recipes = {
        "gru": Recipe("gru", "recurrent", {}, training),
        "tcn": Recipe("tcn", "feed-forward", {"levels": 2, "kernel_size": 2}, training),
    }
    config = StudyConfig(seeds=3, parameters=760)
    results = study(memory_task(), tmp_path, config, recipes)
    verdict = results["verdict"]
    assert verdict["answer"] == "needed", verdict
    assert results["truncation"]["left_out"] < 0.5
    assert any("is no feed-forward candidate" in reason for reason in verdict["reasons"])


def test_losses_below_zero_are_refused(tmp_path):
    task = dataclasses.replace(
        small_task(), step_loss=lambda scores, target: bernoulli_nll(scores, target) - 50
    )
    with pytest.raises(InputError, match="a loss below 0"):
        study(task, tmp_path, CONFIG)


def test_other_data_under_the_same_name_are_refused(whole):
    _, folder = whole
    task = small_task()
    x, target = task.splits["train"][0]
    splits = {**task.splits, "train": [(1 - x, target), *task.splits["train"][1:]]}
    with pytest.raises(InputError, match="another study: its data"):
        study(dataclasses.replace(task, splits=splits, hashes={}), folder, CONFIG)
    with pytest.raises(InputError, match="another study: its input_box"):
        study(dataclasses.replace(task, input_box=(-1.0, 1.0)), folder, CONFIG)


SHORT = StudyConfig(seeds=1, parameters=20_000, epochs=1)


@pytest.mark.slow
def test_a_study_of_a_stream_of_tokens(tmp_path):
    task = small_text(pieces=12)
    results = study(task, tmp_path, SHORT)
    rows = {row["model"]: row for row in results["rows"]}
    assert {"lstm", "gru", "stable-lstm", "tcn", "constant", "ngram"} == rows.keys()
    for row in rows.values():
        assert row["scores"]["perplexity"] == pytest.approx(math.exp(row["metric"]["test"]))
    assert rows["lstm"]["memory"][-1]["k"] == 1024
    assert results["task"]["scores"]["perplexity"]["better"] == "lower"
    assert results["truncation"]["k"] is None or results["truncation"]["left_out"] > 0


def test_a_study_of_whole_sequences_has_models_that_look_ahead(tmp_path):
    task = dataclasses.replace(small_task(), whole=True, floors=())
    results = study(task, tmp_path, SHORT)
    rows = {row["model"]: row for row in results["rows"]}
    assert {"bilstm", "bigru", "lstm", "transformer-encoder", "tcn"} == rows.keys()
    assert "step_seconds" not in rows["bilstm"]["speed"]
    assert "memory" in rows["lstm"]
    assert "memory" not in rows["bilstm"]


def test_a_study_of_translation(tmp_path):
    results = study(small_translation(), tmp_path, dataclasses.replace(SHORT, parameters=80_000))
    assert {row["model"] for row in results["rows"]} == set(PAIRS)
    assert results["truncation"] is None
    assert any("cannot be truncated" in reason for reason in results["verdict"]["reasons"])


def test_the_budget_is_the_tasks_own_if_none_is_given(tmp_path):
    task = dataclasses.replace(small_task(), parameters=2000)
    only = {"gru": RECIPES["gru"]}
    results = study(task, tmp_path, StudyConfig(seeds=1, epochs=1), only)
    assert results["settings"]["parameters"] == 2000
    assert results["rows"][0]["parameters"] == pytest.approx(2000, rel=0.02)


class Many:
    """The same sequence many times."""

    def __init__(self, pair, count):
        self.pair, self.lengths = pair, np.full(count, len(pair[0]))

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, number):
        return self.pair


@pytest.mark.parametrize(("sequences", "size"), [(12, 4), (5000, 10), (10**6, 64)])
def test_batches_grow_with_the_number_of_sequences(sequences, size):
    task = small_task()
    many = Many(task.splits["train"][0], sequences)
    recipes = recipes_for(dataclasses.replace(task, splits={**task.splits, "train": many}))
    sizes = {found.training.batch_size for found in recipes.values() if found.kind != "floor"}
    assert sizes == {size}


def test_a_tcn_sees_as_far_as_the_task_needs():
    near = dataclasses.replace(small_task(), longest_dependency=60)
    far = dataclasses.replace(small_task(), longest_dependency=6000)
    assert [recipes_for(task)["tcn"].options["levels"] for task in (near, far)] == [5, 9]


def test_a_large_training_split_is_scored_in_part(monkeypatch):
    task = small_task(sequences=100)
    assert scored_part(task) is task
    monkeypatch.setattr("unrecur.studies.trial.TRAIN_STEPS", 1)
    part = scored_part(task)
    assert part.steps("train") <= task.steps("test") < task.steps("train")
    assert [part.steps(split) for split in ("valid", "test")] == [
        task.steps(split) for split in ("valid", "test")
    ]
