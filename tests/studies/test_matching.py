"""The other ways to be fair: the same latency, the same time of training."""

import pytest

from small import small_task, small_translation
from unrecur.models.spec import Spec
from unrecur.studies import matching
from unrecur.studies.config import StudyConfig
from unrecur.studies.matching import MOST, SLACK, match_plan, settle_match
from unrecur.studies.plan import plan_trial
from unrecur.studies.recipes import RECIPES, recipes_for

CONFIG = StudyConfig(seeds=2, parameters=2700, epochs=4)


@pytest.fixture(scope="module")
def plan():
    task = small_task()
    return {
        name: plan_trial(task, RECIPES[name], CONFIG) for name in ("lstm", "gru", "tcn", "markov")
    }


def by_parameters(seconds_of):
    """A stand-in for the clock: the latency follows from the parameters."""
    return lambda spec, *_: seconds_of(spec.name, spec.parameters)


def test_each_recipe_gets_the_largest_model_that_is_quick_enough(plan, monkeypatch):
    latency = {"lstm": 1e-8, "gru": 2e-8, "tcn": 4e-8}
    monkeypatch.setattr(matching, "_step", by_parameters(lambda name, count: latency[name] * count))
    settled = settle_match("latency", small_task(), RECIPES, plan, {}, "cpu")
    assert set(settled["models"]) == {"lstm", "gru", "tcn"}
    assert settled["target"] == pytest.approx(4e-8 * plan["tcn"][0].parameters)
    found = match_plan(settled, plan)
    assert found["tcn"] == plan["tcn"]
    for name, times in (("lstm", 4), ("gru", 2)):
        spec, training = found[name]
        assert training == plan[name][1]
        assert spec.parameters / plan[name][0].parameters == pytest.approx(times, rel=0.2)
        assert settled["models"][name]["reached"] <= SLACK * settled["target"]
        assert settled["models"][name]["reached"] == pytest.approx(latency[name] * spec.parameters)


def test_a_latency_that_no_size_changes_ends_at_the_limit(plan, monkeypatch):
    steps = {"lstm": 1e-4, "gru": 1e-4, "tcn": 2e-4}
    monkeypatch.setattr(matching, "_step", by_parameters(lambda name, _: steps[name]))
    settled = settle_match("latency", small_task(), RECIPES, plan, {}, "cpu")
    spec = match_plan(settled, plan)["lstm"][0]
    assert MOST / 1.3 < spec.parameters / plan["lstm"][0].parameters <= 1.02 * MOST


def test_models_without_a_step_are_left_out_and_said(plan, monkeypatch):
    steps = {"lstm": 1e-4, "gru": 1e-4, "tcn": None}
    monkeypatch.setattr(matching, "_step", by_parameters(lambda name, _: steps[name]))
    settled = settle_match("latency", small_task(), RECIPES, plan, {}, "cpu")
    assert [entry["model"] for entry in settled["skipped"]] == ["tcn"]
    assert set(settled["models"]) == {"lstm", "gru"}


def test_the_quick_ones_get_more_epochs(plan):
    seconds = {"lstm": 2.0, "gru": 8.0, "tcn": 0.01}
    settled = settle_match("time", small_task(), RECIPES, plan, seconds, "cpu")
    found = match_plan(settled, plan)
    assert {name: training.epochs for name, (_, training) in found.items()} == {
        "lstm": 16,
        "gru": 4,
        "tcn": 4 * MOST,
    }
    assert {name: spec for name, (spec, _) in found.items()} == {
        name: plan[name][0] for name in found
    }
    assert settled["target"] == settled["models"]["lstm"]["reached"] == 8.0


def test_a_step_is_measured_where_there_is_one(plan, monkeypatch):
    monkeypatch.setattr("unrecur.studies.speed.SECONDS", 0.0)
    spec, training = plan["tcn"]
    assert 0 < matching._step(spec, small_task(), training, "cpu") < 1
    ahead = Spec("bidirectional_lstm", {"in_features": 5, "out_features": 5, "hidden": 4})
    assert matching._step(ahead, small_task(), training, "cpu") is None


def test_models_that_start_from_a_source_are_matched_too(monkeypatch):
    monkeypatch.setattr("unrecur.studies.speed.SECONDS", 0.0)
    task = small_translation()
    recipes = recipes_for(task)
    small = StudyConfig(parameters=3907)
    plan = {"lstm-seq2seq": plan_trial(task, recipes["lstm-seq2seq"], small)}
    settled = settle_match("latency", task, recipes, plan, {}, "cpu")
    assert settled["models"]["lstm-seq2seq"]["reached"] == settled["target"] > 0
