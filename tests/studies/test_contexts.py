"""Context and architecture are told apart."""

import math

import numpy as np
import pytest
import torch

from small import small_task
from unrecur import build
from unrecur.audits.memory import windowed_scores
from unrecur.studies.conclude import comparable, inputs_seen
from unrecur.studies.contexts import contexts
from unrecur.studies.verdict import compare
from unrecur.train.evaluate import evaluate


@pytest.fixture(scope="module")
def models():
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        found.append(build("lstm", in_features=5, out_features=5, hidden=6).eval())
    return found


def test_the_two_differences_make_the_whole_one(models):
    task = small_task()
    steps = task.counted("test").astype(float)
    full = np.array([evaluate(model, task, "test").loss.tolist() for model in models])
    ours = 1.1 * full
    (found,) = contexts(task, {"tcn": (3, ours)}, ("lstm", full), models, 0.95)
    assert (found["k"], found["feed_forward"], found["recurrent"]) == (3, "tcn", "lstm")
    short = np.array([windowed_scores(model, task, "test", 3).loss.tolist() for model in models])
    assert found["truncated_metric"] == pytest.approx(short.mean(0).sum() / steps.sum())
    whole = compare(("tcn", ours), ("lstm", full), steps, 0.95).relative_difference
    parts = [1 + found[key]["relative_difference"] for key in ("architecture", "context")]
    assert math.prod(parts) == pytest.approx(1 + whole)
    for key in ("architecture", "context"):
        assert found[key]["low"] <= found[key]["relative_difference"] <= found[key]["high"]


def test_a_window_that_leaves_nothing_out_tells_nothing(models):
    task = small_task()
    full = np.array([evaluate(model, task, "test").loss.tolist() for model in models])
    assert contexts(task, {"tcn": (task.longest, full)}, ("lstm", full), models, 0.95) == []


def test_entries_are_in_order_of_k_and_share_the_confidence(models):
    task = small_task()
    full = np.array([evaluate(model, task, "test").loss.tolist() for model in models])
    two = contexts(task, {"b": (4, full), "a": (2, full)}, ("lstm", full), models, 0.95)
    assert [(entry["k"], entry["feed_forward"]) for entry in two] == [(2, "a"), (4, "b")]
    (one,) = contexts(task, {"b": (4, full)}, ("lstm", full), models, 0.95)
    width = [entry["context"]["high"] - entry["context"]["low"] for entry in (two[1], one)]
    assert width[0] > width[1]


def trial(model, family, seed, **more):
    return {"model": model, "family": family, "seed": seed, **more}


def test_models_are_compared_on_the_seeds_that_all_have():
    rows = [
        *(trial("lstm", "recurrent", seed) for seed in (0, 1, 2)),
        *(trial("tcn", "feed-forward", seed) for seed in (0, 2)),
        trial("markov", "floor", 0),
        trial("tcn (latency)", "feed-forward", 0, match="latency"),
    ]
    found = comparable(rows)
    assert {name: [row["seed"] for row in group] for name, group in found.items()} == {
        "lstm": [0, 2],
        "tcn": [0, 2],
        "markov": [0],
    }


def test_nothing_is_compared_where_no_seed_is_common():
    rows = [trial("lstm", "recurrent", 0), trial("tcn", "feed-forward", 1), trial("m", "floor", 0)]
    assert list(comparable(rows)) == ["m"]


@pytest.mark.parametrize(
    ("name", "options", "inputs"),
    [
        ("tcn", {"levels": 3, "kernel_size": 2}, 15),
        ("lstm", {}, None),
        ("bidirectional_lstm", {}, None),
    ],
)
def test_the_inputs_that_a_model_sees(name, options, inputs):
    spec = {"name": name, "options": {"in_features": 5, "out_features": 5, "hidden": 4, **options}}
    assert inputs_seen({"spec": spec}) == inputs
