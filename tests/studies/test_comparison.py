"""The runner of comparisons: the same rows however often it is stopped, and answers by rule."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from unrecur import InputError, TrainConfig
from unrecur.data.recall import delayed_recall
from unrecur.studies import comparison as runner
from unrecur.studies.answers import headline, race, sentences
from unrecur.studies.arms import Arm, Comparison
from unrecur.studies.comparison import compare
from unrecur.studies.findings import arm_figures, difference, shows, spread, time_to_level
from unrecur.studies.listener import Listener

TIMED = {"seconds", "seconds_to_level", "wall_seconds", "created", "environment", "findings"}
EASY = Comparison(
    name="easy",
    title="An easy one",
    question="Does the step size matter?",
    task=partial(delayed_recall, length=6, delay=1, sequences=(40, 20, 20)),
    arms={
        "slow": Arm("elman", {}, {"learning_rate": 1e-5}),
        "quick": Arm("elman", {}, {"learning_rate": 0.1}),
    },
    reference="slow",
    level=1.2,
    training=TrainConfig(epochs=3, batch_size=8, patience=3),
    parameters=1000,
)


def timeless(found):
    """Results without what is a time."""
    if isinstance(found, dict):
        return {key: timeless(value) for key, value in found.items() if key not in TIMED}
    return [timeless(value) for value in found] if isinstance(found, list) else found


@pytest.fixture(scope="module")
def easy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("easy")
    return compare(EASY, folder, seeds=2, command="again"), folder


def test_every_arm_has_a_row_for_each_seed(easy):
    results, folder = easy
    trials = [(row["model"], row["seed"]) for row in results["rows"]]
    assert trials == [("slow", 0), ("quick", 0), ("slow", 1), ("quick", 1)]
    assert all(len(row["history"]) == 3 and row["diverged"] is None for row in results["rows"])
    assert json.loads((folder / "results.json").read_text()) == json.loads(json.dumps(results))


def test_the_answer_is_the_one_the_rows_show(easy):
    results, _ = easy
    (entry,) = results["differences"]
    means = [np.mean([r["metric"]["test"] for r in results["rows"][i::2]]) for i in (0, 1)]
    assert entry["relative_difference"] == pytest.approx(means[1] / means[0] - 1, rel=1e-6)
    assert entry["low"] < entry["relative_difference"] < entry["high"] < 0
    assert results["headline"] == "quick is better than slow"
    slow, quick = results["arms"]
    assert (slow["reached"], quick["reached"]) == (0, 2)
    assert (slow["learnt"], quick["learnt"]) == (False, True)
    assert slow["epochs_to_level"] is None
    assert any(
        said.startswith("Counted in epochs, quick is the first") for said in results["findings"]
    )


def test_arms_of_the_same_weights_start_alike_and_meet_the_same_batches(tmp_path):
    same = {name: Arm("elman") for name in ("one", "other")}
    results = compare(replace(EASY, arms=same, reference="one"), tmp_path, seeds=2)
    (entry,) = results["differences"]
    assert (entry["relative_difference"], entry["low"], entry["high"]) == (0.0, 0.0, 0.0)
    assert results["headline"] == "No difference seen between other and one"


class Stops(Listener):
    """Stops a run, as Ctrl-C does, in the middle of a training."""

    def __init__(self, after):
        self.left = after

    def train(self, progress, batches, epochs):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_stopped_and_run_again_it_gives_the_same(easy, tmp_path, monkeypatch):
    monkeypatch.setattr("unrecur.train.loop.SAVE_EVERY", 0.0)
    for after in (3, 20):
        with pytest.raises(KeyboardInterrupt):
            compare(EASY, tmp_path, seeds=2, listener=Stops(after))
    assert timeless(compare(EASY, tmp_path, seeds=2, command="again")) == timeless(easy[0])


def test_finished_trials_are_not_run_again_and_seeds_may_be_added(easy, tmp_path, monkeypatch):
    results, _ = easy
    calls, real = [], runner.run_arm
    monkeypatch.setattr(runner, "run_arm", lambda *args: calls.append(args[1]) or real(*args))
    compare(EASY, tmp_path, seeds=1)
    again = compare(EASY, tmp_path, seeds=2, command="again")
    assert calls == ["slow", "quick"] * 2
    assert timeless(again) == timeless(results)


def test_another_comparison_is_not_mixed_in(easy):
    with pytest.raises(InputError, match="holds another study: its arms"):
        compare(replace(EASY, training=TrainConfig(epochs=5)), easy[1])
    with pytest.raises(InputError, match="seeds must be a whole number"):
        compare(EASY, easy[1], seeds=0)


def test_a_diverged_arm_is_a_result(tmp_path):
    wild = Arm("elman", {"activation": "relu"}, {"learning_rate": 1e30})
    arms = {"calm": EASY.arms["quick"], "wild": wild}
    asked = replace(EASY, arms=arms, reference="calm")
    results = compare(asked, tmp_path, seeds=2)
    rows = [row for row in results["rows"] if row["model"] == "wild"]
    assert all(row["diverged"].startswith("epoch ") for row in rows)
    assert all(row["metric"]["test"] is None for row in rows)
    assert results["headline"] == "wild diverged with 2 of 2 seeds"
    assert f"wild diverged with seed 0: {rows[0]['diverged']}." in results["findings"]
    assert results["differences"][0]["low"] is None
    stored = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert len(stored) == 4
    assert timeless(compare(asked, tmp_path, seeds=2)) == timeless(results)


def test_other_errors_of_training_are_errors(tmp_path):
    checkpoint = tmp_path / "checkpoints" / "slow-0.safetensors"
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="truncated or damaged"):
        compare(EASY, tmp_path, seeds=1)


def row(arm, seed, losses, valid=(3.0, 1.0), diverged=None):
    """A row of three test sequences of one step each."""
    return {
        "model": arm,
        "seed": seed,
        "parameters": 10,
        "diverged": diverged,
        "history": [
            {"epoch": epoch, "train": 1.0, "valid": metric, "seconds": 2.0}
            for epoch, metric in enumerate(valid, 1)
        ],
        "metric": {
            "valid": valid[0],
            "test": None if diverged else float(np.mean(losses)),
        },
        "test_losses": None if diverged else list(losses),
        "seconds": 4.0,
    }


STEPS = np.ones(3)


def answer(rows, chance=10.0):
    """The headline and the sentences of rows of the arms a (the reference) and b."""
    arms = [[one for one in rows if one["model"] == arm] for arm in ("a", "b")]
    figures = [arm_figures(found, 1.0, chance) for found in arms]
    differences = [difference(arms[1], arms[0], STEPS, 0.95)]
    said = sentences(rows, figures, differences, 1.0, chance, "nats")
    return headline(figures, differences), said


@pytest.mark.parametrize(
    ("of_b", "line", "sentence"),
    [
        (
            (0.5, 0.5, 0.5),
            "b is better than a",
            "b is better than a: its test metric is 50 % lower",
        ),
        ((1.5, 1.5, 1.5), "b is worse than a", "b is worse than a: its test metric is 50 % higher"),
        (
            (0.2, 1.0, 2.0),
            "No difference seen between b and a",
            "No difference seen between b and a: its test metric is 6.67 % higher",
        ),
    ],
)
def test_what_is_said_of_a_difference(of_b, line, sentence):
    rows = [row(arm, seed, of_b if arm == "b" else (1.0,) * 3) for seed in range(3) for arm in "ab"]
    found, said = answer(rows)
    assert found == line
    assert said[0].startswith(sentence)


def test_an_interval_that_ends_at_zero_holds_it():
    entry = {"arm": "b", "reference": "a", "low": -0.5, "high": 0.0, "lost": 0}
    assert shows(entry, ["a"]) == "none"
    assert shows(entry | {"high": -1e-9}, ["a"]) == "better"
    assert shows(entry | {"low": 1e-9, "high": 0.1}, ["b"]) == "worse"
    assert shows(entry, []) == "unknown"
    assert shows(entry | {"lost": 1}, ["a", "b"]) == "unknown"


def test_one_seed_shows_nothing():
    found, said = answer([row("a", 0, (1.0,) * 3), row("b", 0, (0.1,) * 3)])
    assert found == "Too few seeds came to their end to compare anything with a"
    assert said[0].startswith("b and a are not compared: 1 seed of both")


def test_where_nothing_was_learnt_nothing_is_compared():
    rows = [row(arm, seed, (1.0,) * 3) for seed in range(3) for arm in "ab"]
    found, said = answer(rows, chance=1.0)
    assert found == "No arm has learnt anything"
    assert said[0] == "b and a are not compared: neither has learnt anything."
    assert (
        "a has learnt next to nothing: its median test metric is 1, and chance is 1 nats." in said
    )


def test_what_diverged_with_a_seed_is_not_compared():
    rows = [row("a", seed, (1.0,) * 3) for seed in range(3)]
    rows += [row("b", seed, (0.5,) * 3) for seed in (0, 1)]
    rows.append(row("b", 2, (), diverged="epoch 1, batch 2"))
    found, said = answer(rows)
    assert "better" not in found
    assert "b diverged with 1 of 3 seeds" in found
    assert said[0].startswith("b and a are not compared: 1 seed did not come to the end")
    assert "b diverged with seed 2: epoch 1, batch 2." in said


@pytest.mark.parametrize(
    ("valid", "said"),
    [
        (
            ((3.0, 0.5), (3.0, 2.0)),
            "a is the first to reach a validation metric of 1 nats with each",
        ),
        (((0.5, 0.5), (3.0, 1.0)), "a is the first"),
        (((3.0, 0.5), (3.0, 0.5)), "no arm is the first"),
        (((3.0, 1.1), (3.0, 1.1)), "No arm reached a validation metric of 1 nats."),
    ],
)
def test_who_is_first_is_said_only_where_every_seed_says_it(valid, said):
    rows = [row(arm, s, (1.0,) * 3, valid["ab".index(arm)]) for s in range(2) for arm in "ab"]
    assert any(said in sentence for sentence in answer(rows)[1])


def test_a_race_is_answered_in_a_few_words():
    rows = [
        row(arm, s, (1.0,) * 3, (3.0, 0.5 if arm == "a" else 2.0)) for s in (0, 1) for arm in "ab"
    ]
    won = "a is first to 1 in epochs with every seed; a is first to 1 in seconds with every seed"
    assert race(rows, 1.0) == won
    assert race(rows, 0.1) == won.replace("a is", "none is").replace("to 1", "to 0.1")


def test_large_differences_are_written_out():
    rows = [row(arm, s, (1.0 + 99 * (arm == "b"),) * 3) for s in range(3) for arm in "ab"]
    assert "9,900 % higher [+9,900 %, +9,900 %]" in answer(rows, 1000.0)[1][0]


def test_seeds_that_disagree_have_no_first():
    first, last = (0.5, 0.5), (3.0, 0.5)
    rows = [row("a", 0, (1.0,) * 3, first), row("b", 0, (1.0,) * 3, last)]
    rows += [row("a", 1, (1.0,) * 3, last), row("b", 1, (1.0,) * 3, first)]
    assert any("Counted in epochs, no arm is the first" in said for said in answer(rows)[1])


def test_small_parts():
    assert spread([3.0, None, 1.0, 2.0]) == {"median": 2.0, "low": 1.0, "high": 3.0}
    assert spread([None]) is None
    assert time_to_level(row("a", 0, (1.0,), (3.0, 2.0, 1.0)), 2.0) == (2, 4.0)
    assert time_to_level(row("a", 0, (1.0,), (3.0, None)), 2.0) is None
