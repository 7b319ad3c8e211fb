"""The engine: limits, tuning and workers; what it does when it is not disturbed."""

import dataclasses
import json
import os
import sqlite3
import threading
import time

import optuna
import pytest

import workers
from small import small_task
from unrecur import InputError, StudyConfig, study
from unrecur.studies.config import Workplace
from unrecur.studies.estimate import estimate
from unrecur.studies.jobs import final_jobs
from unrecur.studies.listener import Listener
from unrecur.studies.owners import is_dead, me
from unrecur.studies.plan import plan_trial
from unrecur.studies.recipes import RECIPES, Recipe
from unrecur.studies.spaces import draws_of, space_of, with_settings
from unrecur.studies.store import Store
from unrecur.studies.tuning import TUNING_SEED, dealt, unsteady
from unrecur.train.config import TrainConfig
from workers import CONFIG, TRIALS, small_study, timeless


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Measure speeds only once."""
    monkeypatch.setattr("unrecur.studies.speed.SECONDS", 0.0)
    monkeypatch.setattr("unrecur.studies.estimate.SECONDS", 0.0)
    monkeypatch.setattr("unrecur.train.loop.SAVE_EVERY", 0.0)


class Heard(Listener):
    """Remembers what was said."""

    def __init__(self):
        self.began, self.failures, self.estimates, self.start_said = [], [], [], None

    def start(self, trials, finished):
        self.start_said = (trials, finished)

    def begin(self, model, seed):
        self.began.append(model)

    def failed(self, model, reason):
        self.failures.append((model, reason))

    def estimate(self, seconds, tuning, final):
        self.estimates.append((seconds, tuning, final))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tuned study that nothing disturbed, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unrecur.studies.speed.SECONDS", 0.0)
        return small_study(folder, tensorboard=False), folder


def test_each_family_tries_as_many_settings(whole):
    results, _ = whole
    tried = results["tuning"]
    assert [(found["model"], found["number"]) for found in tried] == [
        ("gru", 0),
        ("tcn", 0),
        ("gru", 1),
        ("tcn", 1),
    ]
    for found in tried:
        assert found["state"] == "complete"
        assert found["epochs"] == 2
        assert found["reason"] is None
    for name in ("gru", "tcn"):
        own = [found for found in tried if found["model"] == name]
        assert own[0]["params"]["learning_rate"] == RECIPES[name].training.learning_rate
        best = min(own, key=lambda found: found["valid"])["params"]
        for row in results["rows"]:
            if row["model"] == name:
                assert row["training"]["learning_rate"] == best["learning_rate"]
                assert row["training"]["clip"] == best["clip"]
                assert row["spec"]["options"]["dropout"] == best["dropout"]
                assert row["seed"] != TUNING_SEED


def test_rows_go_to_files_and_logs(whole):
    import polars

    results, folder = whole
    lines = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    assert lines == results["rows"]
    table = polars.read_parquet(folder / "rows.parquet")
    assert table["model"].to_list() == [row["model"] for row in results["rows"]]
    assert json.loads(table["metric"][0]) == results["rows"][0]["metric"]
    gru = next(row for row in results["rows"] if row["model"] == "gru")
    log = (folder / "logs" / "gru-0.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in log] == gru["history"]
    assert len(list((folder / "logs").glob("tuning-*.jsonl"))) == 4
    assert not list((folder / "checkpoints").glob("tuning-*"))


def test_nothing_is_run_again(whole):
    results, folder = whole
    heard = Heard()
    again = small_study(folder, listener=heard)
    assert heard.began == []
    assert heard.start_said == (TRIALS, TRIALS)
    assert heard.estimates == []
    assert timeless(again) == timeless(results)


def test_optuna_sees_each_search_space_as_a_study(whole):
    _, folder = whole
    storage = f"sqlite:///{folder}/study.db"
    names = optuna.get_all_study_names(storage)
    assert sorted(names) == ["unrecur", "unrecur tuning gru", "unrecur tuning tcn"]
    found = optuna.load_study(study_name="unrecur tuning gru", storage=storage)
    assert {"learning_rate", "clip", "dropout"} == found.best_params.keys()
    assert len(found.trials) == 2
    assert found.trials[0].intermediate_values.keys() == {1, 2}


def test_two_processes_share_the_trials(whole, tmp_path):
    processes = [workers.begin(tmp_path, seconds=0.02) for _ in range(2)]
    said = [workers.end(process) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    with sqlite3.connect(tmp_path / "study.db") as database:
        found = database.execute("select state, count(*) from trials group by state").fetchall()
        owners = database.execute(
            "select distinct value_json from trial_user_attributes where key = 'owner'"
        ).fetchall()
    assert found == [("COMPLETE", TRIALS)]
    assert len({json.loads(owner)["pid"] for (owner,) in owners}) == 2
    results = json.loads((tmp_path / "results.json").read_text())
    assert timeless(results) == timeless(json.loads(json.dumps(whole[0])))


def test_a_study_stopped_by_time_goes_on(whole, tmp_path):
    config = dataclasses.replace(CONFIG, max_seconds=1.0)
    start = time.monotonic()
    results = small_study(tmp_path, config, workers.Slow(0.2))
    assert time.monotonic() - start < 20
    assert results["verdict"]["answer"] == "undecided"
    assert "Stopped after 1 s" in results["verdict"]["reasons"][-1] == results["stopped"]
    assert len(results["tuning"]) < 4
    later = small_study(tmp_path)
    assert timeless(later) == timeless(whole[0])


def test_a_limit_on_trials_takes_the_first_of_the_plan(tmp_path):
    config = dataclasses.replace(CONFIG, max_trials=7)
    results = small_study(tmp_path, config)
    assert [(row["model"], row["seed"]) for row in results["rows"]] == [
        ("gru", 0),
        ("tcn", 0),
        ("frequencies", 0),
    ]
    assert len(results["tuning"]) == 4
    assert "At most 7 trials were asked for: 3 of 5 final ones" in results["stopped"]


def test_a_setting_that_was_lucky_with_its_seed_is_told():
    tuning = [
        {"model": "lstm", "valid": 8.9},
        {"model": "lstm", "valid": None},
        {"model": "gru", "valid": 9.0},
    ]
    rows = {
        "lstm": [{"metric": {"valid": 10.0}}, {"metric": {"valid": 11.0}}],
        "gru": [{"metric": {"valid": 9.1}}],
        "markov": [{"metric": {"valid": 12.0}}],
    }
    [said] = unsteady(tuning, rows, 0.02)
    assert said.startswith("The setting of lstm did not hold: 8.9 on the validation split")
    assert "10.5 with the final ones" in said
    assert unsteady(tuning, rows, 0.2) == []


def test_a_limit_that_cuts_nothing_is_not_told(tmp_path):
    results = small_study(tmp_path, dataclasses.replace(CONFIG, max_trials=TRIALS))
    assert (len(results["rows"]), results["stopped"]) == (5, None)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_trials": 6}, "Allow at least 7 trials"),
        ({"trials": 1, "names": ("gru", "lstm", "tcn")}, "cannot be dealt over 2 recurrent"),
    ],
)
def test_limits_that_leave_no_room_are_refused(settings, said, tmp_path):
    names = settings.pop("names", workers.NAMES)
    config = dataclasses.replace(CONFIG, **settings)
    with pytest.raises(InputError, match=said):
        study(small_task(), tmp_path, config, {name: RECIPES[name] for name in names})
    assert not (tmp_path / "study.db").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"budget_seconds": 9.0, "max_seconds": 3.0}, "budget_seconds=9 gives one model more"),
        ({"prune": True}, "there are none. Ask for some with trials=20"),
        ({"trials": -1}, "trials must be"),
        ({"max_trials": 0}, "max_trials must be"),
        ({"max_seconds": -1.0}, "max_seconds must be"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, said):
    with pytest.raises(InputError, match=said):
        StudyConfig(**settings)


def test_a_recipe_that_cannot_have_so_many_parameters_is_left_out(tmp_path):
    training = TrainConfig(epochs=1, batch_size=4)
    recipes = {
        "gru": Recipe("gru", "recurrent", {}, training),
        "deep": Recipe("lstm", "recurrent", {"layers": 40}, training),
    }
    heard, config = Heard(), StudyConfig(seeds=1, parameters=850, epochs=1)
    results = study(small_task(), tmp_path, config, recipes, heard)
    assert [entry["model"] for entry in results["skipped"]] == ["deep"]
    assert "within 2%" in results["skipped"][0]["reason"]
    assert heard.failures[0][0] == "deep"
    assert {row["model"] for row in results["rows"]} == {"gru"}
    del recipes["gru"]
    with pytest.raises(InputError, match="no recurrent recipe can have so many parameters"):
        study(small_task(), tmp_path / "none", config, recipes)


def test_a_trial_that_diverges_does_not_end_the_study(tmp_path):
    wild = TrainConfig(epochs=1, batch_size=4, optimizer="sgd", learning_rate=1e30, clip=1e30)
    recipes = {
        "gru": RECIPES["gru"],
        "wild": Recipe("tcn", "feed-forward", {"levels": 1, "kernel_size": 2}, wild),
    }
    config = StudyConfig(seeds=2, parameters=2700, epochs=1)
    results = study(small_task(), tmp_path, config, recipes)
    assert [(entry["model"], entry["seed"]) for entry in results["failures"]] == [
        ("wild", 0),
        ("wild", 1),
    ]
    assert all(entry["stage"] == "training" for entry in results["failures"])
    assert {row["model"] for row in results["rows"]} == {"gru"}
    assert study(small_task(), tmp_path, config, recipes)["failures"] == results["failures"]


@pytest.mark.slow
def test_pruning_ends_draws_and_says_so(tmp_path):
    training = TrainConfig(epochs=9, batch_size=4, patience=9, learning_rate=1e-2)
    recipes = {
        "gru": Recipe("gru", "recurrent", {}, training),
        "tcn": Recipe("tcn", "feed-forward", {"levels": 1, "kernel_size": 2}, training),
    }
    config = StudyConfig(seeds=1, parameters=2700, trials=4, prune=True)
    results = study(small_task(), tmp_path, config, recipes)
    found = [entry["state"] for entry in results["tuning"]]
    assert len(found) == 8
    assert "pruned" in found
    assert found.count("complete") >= 2
    for entry in results["tuning"]:
        assert (entry["valid"] is None) is (entry["state"] == "pruned")
        assert entry["epochs"] == 9 or entry["state"] == "pruned"


def test_draws_depend_on_nothing_but_their_number():
    recipe = RECIPES["lstm"]
    few, many = (draws_of(recipe, count, seed=3) for count in (4, 40))
    assert many[:4] == few
    assert few != draws_of(recipe, 4, seed=4)
    space = space_of(recipe)
    for draw in many:
        assert draw.keys() == space.keys()
        for name, value in draw.items():
            assert space[name]._contains(value)
    rates = sorted(draw["learning_rate"] / recipe.training.learning_rate for draw in many)
    assert rates[0] < 0.15  # evenly over a factor 10 on both sides
    assert rates[-1] > 6.5
    changed = with_settings(recipe, many[5])
    assert changed.options["dropout"] == many[5]["dropout"]
    assert changed.training.clip == many[5]["clip"]


def test_a_setting_outside_its_space_widens_it():
    recipe = Recipe("gru", "recurrent", {"dropout": 0.7}, TrainConfig(clip=9.0))
    assert draws_of(recipe, 2, seed=0)[0]["dropout"] == 0.7
    assert space_of(recipe)["clip"].high == 9.0


def test_what_is_left_over_goes_to_the_first():
    assert dealt(RECIPES, 4) == {"lstm": 2, "gru": 1, "stable-lstm": 1, "tcn": 4}


@pytest.mark.slow
def test_an_estimate_is_of_the_right_size(tmp_path, monkeypatch):
    monkeypatch.setattr("unrecur.studies.estimate.SECONDS", 0.2)
    task = small_task(sequences=60)
    config = StudyConfig(seeds=1, parameters=20_000, epochs=6)
    recipes = {"gru": RECIPES["gru"]}
    plan = {"gru": plan_trial(task, recipes["gru"], config)}
    found = estimate(task, final_jobs(recipes, plan, 2), config)
    assert found["seconds"] == pytest.approx(2 * found["by_model"]["gru"])
    results = study(task, tmp_path, config, recipes)
    took = results["rows"][0]["seconds"]
    assert took / 5 < found["by_model"]["gru"] < took * 5  # a machine shared with others


@pytest.mark.slow
@pytest.mark.parametrize("budget", [1.0, 2.0])
def test_the_budget_of_a_model_is_kept(budget, tmp_path):
    task = small_task(sequences=40)
    config = StudyConfig(seeds=1, parameters=20_000, epochs=1000, budget_seconds=budget)
    results = study(task, tmp_path, config, {"gru": RECIPES["gru"]})
    assert results["rows"][0]["stopped"] in ("budget", "patience")
    assert results["rows"][0]["seconds"] <= 1.05 * budget


def test_a_process_knows_another_that_is_dead():
    mine = me()
    assert not is_dead(mine)
    assert is_dead({**mine, "began": "1"})  # its number was given to another since
    assert not is_dead({**mine, "host": "elsewhere"})
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert is_dead({**mine, "pid": child})


def test_a_trial_is_claimed_by_one_of_many(tmp_path):
    """Two readers of a waiting trial must not both take it, on SQLite too."""
    store = Store(tmp_path, {})
    final = store.study("final")
    for number in range(12):
        final.enqueue_trial({}, user_attrs={"key": str(number)})
    waiting = [entry.id for entry in store.listing("final").read()]
    taken, gate = [], threading.Barrier(4)

    def take():
        mine = Store(tmp_path, {}).storage
        gate.wait()
        running = optuna.trial.TrialState.RUNNING
        taken.extend(n for n in waiting if mine.set_trial_state_values(n, running))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == waiting
    assert all(entry.owner == me() for entry in store.listing("final").read())


def test_a_database_elsewhere_belongs_to_one_folder(tmp_path):
    url = f"sqlite:///{tmp_path}/x.db"
    small_study(tmp_path / "a", dataclasses.replace(CONFIG, trials=0, seeds=1), storage=url)
    with pytest.raises(InputError, match="All its workers must share one folder"):
        small_study(tmp_path / "b", dataclasses.replace(CONFIG, trials=0, seeds=1), storage=url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "names no database"),
        ("mysql://u:p@h/x", "a SQLite file or a PostgreSQL database"),
        ("sqlite://", "a SQLite file or a PostgreSQL database"),
        ("oddsql://u:p@h/x", "names no database"),
    ],
)
def test_a_storage_that_is_none_is_refused(url, said, tmp_path):
    with pytest.raises(InputError, match=said):
        small_study(tmp_path, storage=url)


def test_tables_of_another_version_are_migrated_or_refused(tmp_path):
    Store(tmp_path, {"task": "a"})
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute("update alembic_version set version_num = 'v99'")
    with pytest.raises(InputError, match="made by a newer optuna"):
        Store(tmp_path, {"task": "a"})
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute("update alembic_version set version_num = 'v3.0.0.d'")
    assert Store(tmp_path, {"task": "a"}).rows() == []
    with sqlite3.connect(tmp_path / "study.db") as database:
        found = database.execute("select version_num from alembic_version").fetchone()
    assert found[0] > "v3.0.0.d"


def test_scalars_are_written_for_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = StudyConfig(seeds=1, parameters=2700, epochs=2)
    recipes = {"gru": RECIPES["gru"]}
    place = Workplace(tensorboard=True)
    results = study(small_task(), tmp_path, config, recipes, workplace=place)
    found = EventAccumulator(str(tmp_path / "tensorboard" / "gru-0")).Reload()
    history = results["rows"][0]["history"]
    assert [event.value for event in found.Scalars("valid")] == pytest.approx(
        [entry["valid"] for entry in history]
    )


def test_a_cluster_that_does_not_answer_is_an_error(tmp_path):
    pytest.importorskip("ray")
    start = time.monotonic()
    with pytest.raises(InputError, match=r"no Ray cluster answers at '127\.0\.0\.1:1'"):
        small_study(tmp_path, ray="127.0.0.1:1")
    assert time.monotonic() - start < 30
