"""Running a model over a task: streams carry their state, sources are read, nothing twice."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from small import FEATURES, small_task, small_text, small_translation
from unrecur import InputError, build, evaluate
from unrecur.audits.memory import memory_curve, windowed_scores
from unrecur.data.losses import IGNORED
from unrecur.data.running import predictions
from unrecur.data.scores import accuracy, perplexity
from unrecur.data.task import OutputScore
from unrecur.train.evaluate import figures

TOKENS = {"tokens": True, "hidden": 6}


def text_model(task, name="gru", **options):
    torch.manual_seed(0)
    io = {"in_features": task.in_features, "out_features": task.out_features}
    return build(name, **io, **TOKENS, **options).eval()


@given(pieces=st.integers(1, 9), size=st.integers(1, 6))
def test_rows_of_a_stream_are_runs_of_consecutive_pieces(pieces, size):
    task = small_text(pieces=pieces)
    before, seen = None, []
    for batch in task.batches("train", size):
        index = batch.index.tolist()
        assert batch.fresh is (before is None)
        if before is not None:
            assert index == [number + 1 for number in before[: len(index)]]
        before = index
        seen += index
    assert sorted(seen) == list(range(pieces))


def test_a_stream_is_read_as_one_sequence():
    task = small_text(pieces=5)
    model = text_model(task)
    whole = torch.cat([task.pair("test", number)[0] for number in range(5)])
    y = torch.cat([y for _, y in sorted(predictions(model, task, "test", streams=1))])
    with torch.no_grad():
        torch.testing.assert_close(y, model(whole[None])[0][0])


def test_outputs_are_the_same_in_small_blocks(monkeypatch):
    task = small_task()
    torch.manual_seed(0)
    model = build("tcn", in_features=FEATURES, out_features=FEATURES, hidden=4, levels=2).eval()
    task = dataclasses.replace(task, scores={"kept": OutputScore("all outputs", "", "lower", Kept)})
    whole, kept = figures(model, task, "test")
    monkeypatch.setattr("unrecur.data.running.LARGEST_OUTPUT", 3 * FEATURES)
    blocks, again = figures(model, task, "test")
    torch.testing.assert_close(blocks.loss, whole.loss)
    assert again == pytest.approx(kept)


class Kept:
    """Sums up all outputs, weighted by their places, and sees each sequence once."""

    def __init__(self, task, split):
        self.task, self.split, self.sum, self.seen = task, split, 0.0, []

    def add(self, number, y, target):
        assert not y.requires_grad
        assert torch.equal(target, self.task.pair(self.split, number)[1])
        self.sum += float((y * torch.arange(1, y.numel() + 1).view(y.shape)).sum() * (number + 1))
        self.seen.append(number)

    def value(self):
        assert sorted(self.seen) == list(range(len(self.task.splits[self.split])))
        return self.sum


def test_all_scores_of_outputs_are_counted_in_one_run():
    task = small_text(pieces=4)
    model = text_model(task)
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    evaluate(model, task, "test")
    once = len(calls)
    scores = {name: dataclasses.replace(accuracy, title=name) for name in "abc"}
    _, found = figures(model, dataclasses.replace(task, scores=scores), "test")
    assert list(found) == ["a", "b", "c"]
    assert len(calls) == 2 * once
    assert torch.is_grad_enabled()


def test_a_model_that_looks_ahead_does_not_read_the_padding():
    task = dataclasses.replace(small_task(), whole=True)
    torch.manual_seed(0)
    io = {"in_features": FEATURES, "out_features": FEATURES}
    model = build("bidirectional_gru", **io, hidden=4).eval()
    for number, y in predictions(model, task, "test"):
        with torch.no_grad():
            alone, _ = model(task.pair("test", number)[0][None])
        torch.testing.assert_close(y, alone[0])


def test_a_translation_starts_from_its_source():
    task = small_translation()
    torch.manual_seed(0)
    model = build("seq2seq", in_features=9, out_features=7, hidden=4, cell="gru").eval()
    for number, y in predictions(model, task, "test"):
        with torch.no_grad():
            state = model.encode(task.sources["test"][number][None])
            alone, _ = model(task.pair("test", number)[0][None], state)
        torch.testing.assert_close(y, alone[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_after_a_start_are_those_of_the_whole_order(workers):
    task = small_task()

    def order(start):
        generator = torch.Generator().manual_seed(3)
        found = task.batches("train", 3, generator, start, workers)
        return [(batch.index.tolist(), batch.x.sum().item()) for batch in found]

    assert order(2) == order(0)[2:]


def test_reading_draws_nothing_from_the_generator_that_dropout_draws_from():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(small_task().batches("train", 3))
    assert torch.equal(torch.get_rng_state(), before)


class Lazily:
    """A split that counts what is read."""

    def __init__(self, pairs):
        self.pairs, self.reads = pairs, 0
        self.lengths = np.array([len(x) for x, _ in pairs])

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, number):
        self.reads += 1
        return self.pairs[number]


def test_a_lazy_split_is_read_when_needed_and_checked_then():
    eager = small_task()
    pairs = list(eager.splits["train"])
    pairs[5] = (pairs[5][0] + math.nan, pairs[5][1])
    lazy = Lazily(pairs)
    task = dataclasses.replace(eager, splits={**eager.splits, "train": lazy})
    assert (lazy.reads, task.steps("train")) == (0, eager.steps("train"))
    next(iter(task.batches("train", 2)))
    assert lazy.reads == 2
    with pytest.raises(InputError, match="train sequence 5"):
        list(task.batches("train", 2))


def test_a_part_keeps_evenly_spaced_sequences_and_of_a_stream_the_first():
    task, text = small_task(sequences=12), small_text(pieces=10)
    assert task.part("train", task.steps("train")) is task
    half = task.part("train", task.steps("train") // 2)
    assert half.splits["train"].index.tolist() == [0, 2, 4, 6, 8, 10]
    assert torch.equal(half.pair("train", 1)[0], task.pair("train", 2)[0])
    assert text.part("test", text.steps("test") // 2).splits["test"].index.tolist() == [0, 1, 2, 3]


def test_perplexity_and_accuracy_are_those_by_hand():
    task = small_text(pieces=4)
    model = text_model(task)
    task = dataclasses.replace(task, scores={"perplexity": perplexity, "accuracy": accuracy})
    scores, found = figures(model, task, "test")
    assert torch.equal(scores.loss, evaluate(model, task, "test").loss)
    assert found["perplexity"] == math.exp(scores.metric)
    right = total = 0
    for number, y in predictions(model, task, "test"):
        for scored, wanted in zip(y, task.pair("test", number)[1].tolist(), strict=True):
            right += int(scored.argmax()) == wanted
            total += 1
    assert found["accuracy"] == right / total


def test_windows_reach_back_into_the_pieces_before():
    task = small_text(pieces=6)
    model = text_model(task)
    found = windowed_scores(model, task, "test", 7)
    whole = torch.cat([task.pair("test", number)[0] for number in range(6)])
    ends = iter(range(1, len(whole) + 1))
    for number in range(6):
        _, target = task.pair("test", number)
        with torch.no_grad():
            here = [next(ends) for _ in target]
            windows = [whole[None, max(end - 7, 0) : end] for end in here]
            y = torch.stack([model(window)[0][0, -1] for window in windows])
        wanted = float(task.step_loss(y, target).sum())
        assert float(found.loss[number]) == pytest.approx(wanted, rel=1e-5)
        assert int(found.steps[number]) == len(target)


def test_windows_are_run_at_the_steps_that_count_alone():
    text = small_text(pieces=4)
    pairs = [
        (x, torch.full((len(x),), IGNORED).index_fill(0, torch.tensor([len(x) - 1]), 1))
        for x, _ in text.splits["test"]
    ]
    task = dataclasses.replace(text, splits={**text.splits, "test": pairs}, continuous=False)
    model = text_model(task)
    found = windowed_scores(model, task, "test", 3)
    assert found.steps.tolist() == [1, 1, 1, 1]
    for number, (x, target) in enumerate(pairs):
        with torch.no_grad():
            y = model(x[None, -3:])[0][0, -1]
        wanted = float(task.step_loss(y, target[-1]))
        assert float(found.loss[number]) == pytest.approx(wanted, rel=1e-5)
    curve = list(memory_curve(model, task))
    assert curve[-1].error_max < 1e-5
    assert curve[-1].scores.metric == pytest.approx(evaluate(model, task, "test").metric, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((torch.tensor([0, 9]), torch.tensor([0, 1])), "token ids from 0 to 6"),
        ((torch.tensor([0, -1]), torch.tensor([0, 1])), "token ids from 0 to 6"),
        ((torch.tensor([0.0, 1.0]), torch.tensor([0, 1])), r"token ids \[time >= 1\] of int64"),
        ((torch.tensor([0, 1]), torch.tensor([0, 7])), "classes from 0 to 6"),
        ((torch.tensor([0, 1]), torch.tensor([0, -2])), "classes from 0 to 6"),
    ],
)
def test_bad_tokens_are_refused(change, message):
    text = small_text()
    with pytest.raises(InputError, match=message):
        dataclasses.replace(text, splits={**text.splits, "valid": [change]}, hashes={})


def test_sources_are_in_step_with_their_sequences():
    task = small_translation()
    with pytest.raises(InputError, match="one source for each sequence"):
        dataclasses.replace(task, sources={**task.sources, "test": []})
