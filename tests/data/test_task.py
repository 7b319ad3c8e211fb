"""Tasks: batches, losses, checks."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from small import FEATURES, small_task
from unrecur import InputError, load_task
from unrecur.data.losses import bernoulli_nll
from unrecur.data.sequences import SPLITS


@given(size=st.integers(1, 20), seed=st.none() | st.integers(0, 100))
def test_batches_hold_every_sequence_once(size, seed):
    task = small_task()
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    seen = []
    for batch in task.batches("train", size, generator):
        assert len(batch.x) <= size
        assert batch.x.shape[1] == int(batch.lengths.max())
        for row, index in enumerate(batch.index.tolist()):
            x, target = task.splits["train"][index]
            length = int(batch.lengths[row])
            assert torch.equal(batch.x[row, :length], x)
            assert torch.equal(batch.target[row, :length], target)
            assert not batch.x[row, length:].any()
            seen.append(index)
    assert sorted(seen) == list(range(len(task.splits["train"])))


def test_shuffling_is_a_function_of_the_seed():
    task = small_task()

    def order(seed):
        generator = torch.Generator().manual_seed(seed)
        return [b.index.tolist() for b in task.batches("train", 3, generator)]

    assert order(1) == order(1) != order(2)


def test_the_loss_is_the_negative_log_likelihood():
    scores = torch.tensor([[0.3, -1.0], [2.0, 0.0]])
    target = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    p = torch.sigmoid(scores)
    expected = -(target * p.log() + (1 - target) * (1 - p).log()).sum(-1)
    torch.testing.assert_close(bernoulli_nll(scores, target), expected)


def test_chance_is_what_a_model_that_knows_nothing_gets():
    task = load_task("chorales")
    _, target = task.splits["test"][0]
    loss = task.step_loss(torch.zeros_like(target), target).mean()
    assert float(loss) == pytest.approx(task.chance_level) == pytest.approx(88 * math.log(2))


def test_targets_are_the_next_inputs():
    task = load_task("chorales")
    for split in SPLITS:
        for x, target in task.splits[split]:
            assert torch.equal(x[1:], target[:-1])
            assert set(x.unique().tolist()) <= {0.0, 1.0}
    assert {task.in_features, task.out_features} == {88}
    assert task.steps("test") == sum(len(x) for x, _ in task.splits["test"])


def changed(pair):
    """A task whose first training sequence is replaced."""
    task = small_task()
    splits = {**task.splits, "train": [pair, *task.splits["train"][1:]]}
    return dataclasses.replace(task, splits=splits)


GOOD = torch.zeros(4, FEATURES)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ((torch.zeros(4), torch.zeros(4)), "expected inputs"),
        ((torch.zeros(0, FEATURES), torch.zeros(0, FEATURES)), "expected inputs"),
        ((torch.zeros(4, FEATURES + 1), GOOD), "expected inputs"),
        ((GOOD, torch.zeros(3, FEATURES)), "4 inputs but 3 targets"),
        ((GOOD + math.nan, GOOD), "NaN or infinite"),
        ((GOOD, GOOD + math.inf), "NaN or infinite"),
        ((GOOD.double(), GOOD), "expected inputs of float32, got torch.float64"),
        ((GOOD + 1.5, GOOD), "outside input_box"),
        ((GOOD - 0.5, GOOD), "outside input_box"),
    ],
)
def test_bad_sequences_are_refused(pair, message):
    with pytest.raises(InputError, match=message):
        changed(pair)


def test_an_empty_split_is_refused():
    task = small_task()
    with pytest.raises(InputError, match="no sequences in its split 'test'"):
        dataclasses.replace(task, splits={**task.splits, "test": []})


def test_an_unknown_task_is_told_its_nearest():
    with pytest.raises(InputError, match="Did you mean 'chorales'"):
        load_task("chorale")


def test_a_task_of_a_file_needs_its_folder(tmp_path):
    with pytest.raises(InputError, match="--data-dir"):
        load_task("jsb")
    with pytest.raises(InputError, match="JSB_Chorales"):
        load_task("jsb", tmp_path)


def test_a_malformed_box_is_refused_at_once():
    with pytest.raises(InputError, match="input_box"):
        dataclasses.replace(small_task(), input_box=(1.0, 0.0))


def test_data_identify_a_task():
    same, other = small_task(), small_task(sequences=10)
    assert same.hashes == small_task().hashes
    assert all(len(digest) == 64 for digest in same.hashes.values())
    assert other.hashes != same.hashes
    x, target = same.splits["test"][0]
    splits = {**same.splits, "test": [(1 - x, target), *same.splits["test"][1:]]}
    changed = dataclasses.replace(same, splits=splits, hashes={})
    assert changed.hashes["train"] == same.hashes["train"]
    assert changed.hashes["test"] != same.hashes["test"]
