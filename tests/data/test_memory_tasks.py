"""Tasks of known memory: against their definitions in plain Python, and against the audit."""

import math

import pytest
import torch
from torch import nn

from audits.known import elman
from unrecur import InputError, Serial, audit, load_task, memory_curve
from unrecur.core.compose import Pointwise
from unrecur.data.losses import IGNORED
from unrecur.data.memory import ALPHABET
from unrecur.data.recall import copy_memory, delayed_recall, n_back, selective_copy
from unrecur.data.sequences import SPLITS, known_steps
from unrecur.data.sums import adding, decay, parity
from unrecur.data.tasks import TASKS
from unrecur.layers.embedding import Embedding
from unrecur.layers.recurrent import Recurrent

SMALL = (60, 3, 40)


# What the tasks ask for, as loops; None where nothing is asked


def say_first_again(x):
    symbols = x[: sum(t == 9 for t in x) - 1]
    return [None] * (len(x) - len(symbols)) + symbols


def say_all_again(x):
    symbols = [symbol for symbol in x if symbol < 8]
    return [None] * (len(x) - len(symbols)) + symbols


def say_late(delay):
    return lambda x: [x[t - delay] if t >= delay else None for t in range(len(x))]


def compare(n):
    return lambda x: [int(x[t] == x[t - n]) if t >= n else None for t in range(len(x))]


def count_odd(x):
    return [x[: t + 1].count(1) % 2 for t in range(len(x))]


def add_marked(x):
    first, second = (number for number, mark in x if mark == 1)
    return [None] * (len(x) - 1) + [first + second]


def decay_by_hand(rate):
    def solve(x):
        return [sum(rate ** (t - s) * x[s][0] for s in range(t + 1)) for t in range(len(x))]

    return solve


# name: the task, its solver, the longest dependency and the loss of the best constant
CASES = {
    "copy": (
        lambda **o: copy_memory(length=5, symbols=3, **o),
        say_first_again,
        8,
        math.log(8),
    ),
    "recall": (lambda **o: delayed_recall(9, 4, **o), say_late(4), 4, math.log(8)),
    "selective-copy": (lambda **o: selective_copy(6, 3, **o), say_all_again, 6, math.log(8)),
    "n-back": (lambda **o: n_back(12, 3, **o), compare(3), 3, math.log(2)),
    "parity": (lambda **o: parity(7, **o), count_odd, 6, math.log(2)),
    "adding": (lambda **o: adding(6, **o), add_marked, 5, 1 / 6),
    "decay": (lambda **o: decay(5, 0.7, **o), decay_by_hand(0.7), None, None),
}
each = pytest.mark.parametrize("name", CASES)


def answers(target):
    """The targets as a list, None where nothing is asked."""
    if target.is_floating_point():
        return [None if math.isnan(value) else value for value in target[:, 0].tolist()]
    return [None if value == IGNORED else value for value in target.tolist()]


@each
def test_targets_are_what_the_definition_says(name):
    make, solve, *_ = CASES[name]
    task = make(sequences=SMALL)
    assert [len(task.splits[split]) for split in SPLITS] == list(SMALL)
    for split in SPLITS:
        for x, target in task.splits[split]:
            found, expected = answers(target), solve(x.tolist())
            assert [a is None for a in found] == [b is None for b in expected]
            given = [(a, b) for a, b in zip(found, expected, strict=True) if a is not None]
            assert given
            for a, b in given:
                assert a == pytest.approx(b, abs=1e-6)


@each
def test_chance_is_what_the_best_constant_gets(name):
    make, _, _, chance = CASES[name]
    task = make(sequences=(1, 1, 400))
    targets = torch.stack([target for _, target in task.splits["test"]])
    known = torch.stack([known_steps(target) for target in targets])
    scores = torch.zeros(*targets.shape[:2], task.out_features)
    if name == "adding":
        scores += 1
    losses = task.step_loss(scores, targets)[known]
    if not task.tokens:  # the error of the mean, with the steps of a sequence as one draw
        rows = task.step_loss(scores, targets).sum(1) / known.sum(1)
        off = 4 * float(rows.std()) / math.sqrt(len(rows))
        assert float(losses.mean()) == pytest.approx(task.chance_level, abs=off)
        assert off < 0.3 * task.chance_level
    else:  # all classes score the same, so the loss is exact; is that the best constant?
        assert float(losses.mean()) == pytest.approx(task.chance_level)
        shares = torch.bincount(targets[known], minlength=task.out_features) / int(known.sum())
        assert len(shares) == task.out_features
        assert -float((shares * shares.log()).sum()) == pytest.approx(chance, rel=5e-3)
    if chance is not None:
        assert task.chance_level == pytest.approx(chance)


def changed(x, place, task):
    """The sequence with another input at a place, of the same kind."""
    other = list(x)
    if not task.tokens:
        other[place] = [1 - other[place][0], *other[place][1:]]
    elif other[place] < 8:  # blanks and delimiters stay where they are
        other[place] = (other[place] + 1) % min(ALPHABET, task.in_features)
    return other


@each
def test_the_longest_dependency_is_exact(name):
    make, solve, longest, _ = CASES[name]
    task = make(sequences=(1, 1, 200))
    assert task.longest_dependency == longest
    if longest is None:
        return
    reach = set()
    for x, _ in task.splits["test"]:
        x = x.tolist()
        before = solve(x)
        for place in range(len(x)):
            after = solve(changed(x, place, task))
            reach |= {t - place for t in range(len(x)) if before[t] != after[t]}
    assert max(reach) == longest
    assert min(reach) >= 0


def test_a_decaying_sum_forgets_at_its_rate():
    task = decay(30, 0.8, sequences=(1, 1, 5))
    x = [row.tolist() for row in task.splits["test"][0][0]]
    other = [[x[0][0] + 1.0], *x[1:]]
    solve = decay_by_hand(0.8)
    differences = [b - a for a, b in zip(solve(x), solve(other), strict=True)]
    assert differences == pytest.approx([0.8**t for t in range(30)])
    assert "halves every 3.11 steps" in " ".join(task.notes)


@each
def test_a_seed_gives_one_task_and_another_another(name):
    make = CASES[name][0]
    first, again, other = (make(seed=seed, sequences=(20, 20, 20)) for seed in (3, 3, 4))
    assert first.hashes == again.hashes
    for split in SPLITS:
        assert first.hashes[split] != other.hashes[split]
    assert "seed 3" in " ".join(first.notes)
    assert len(set(first.hashes.values())) == 3  # each split has a generator of its own


def test_the_sequences_of_a_seed_are_pinned():
    task = copy_memory(length=3, symbols=2)
    assert task.hashes["test"][:16] == "10838ae33563b434"


@each
def test_the_table_has_it(name):
    task = load_task(name)
    assert (task.name, TASKS[name].kind, TASKS[name].needs) == (name, "memory", "")
    assert task.title == TASKS[name].title
    assert [len(task.splits[split]) for split in SPLITS] == [1000, 200, 200]
    assert task.steps("train") <= 100_000  # a study of it takes minutes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: copy_memory(length=0), "length must be"),
        (lambda: copy_memory(symbols=0), "symbols must be"),
        (lambda: delayed_recall(delay=0), "delay must be"),
        (lambda: delayed_recall(length=10, delay=10), "length must be at least 11.*delay of 10"),
        (lambda: selective_copy(length=4, symbols=5), "length must be at least 5"),
        (lambda: selective_copy(symbols=-1), "symbols must be"),
        (lambda: n_back(length=3, n=3), "length must be at least 4"),
        (lambda: n_back(n=0), "n must be a whole number"),
        (lambda: adding(length=1), "length must be at least 2"),
        (lambda: parity(length=0), "length must be"),
        (lambda: decay(rate=1.0), "rate must be above 0 and below 1"),
        (lambda: decay(rate=float("nan")), "rate must be"),
        (lambda: parity(seed=-1), "seed must be"),
        (lambda: parity(sequences=(10, 0, 10)), "split 'valid' must be"),
    ],
)
def test_bad_sizes_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


# The audit finds the memory


def recaller(delay):
    """A model that solves delayed recall: a shift register of one-hot symbols, and its last."""
    units = ALPHABET * (delay + 1)
    hidden, inputs = torch.zeros(units, units), torch.zeros(units, ALPHABET)
    moved = torch.arange(ALPHABET, units)
    hidden[moved, moved - ALPHABET] = 1.0
    inputs[:ALPHABET] = torch.eye(ALPHABET)
    table, readout = Embedding(ALPHABET, ALPHABET), nn.Linear(units, ALPHABET)
    with torch.no_grad():
        table.table.weight.copy_(torch.eye(ALPHABET))
        readout.weight.zero_()[:, -ALPHABET:] = 20 * torch.eye(ALPHABET)
        readout.bias.zero_()
    layer = Recurrent([elman(hidden, inputs)])
    return Serial(table, layer, Pointwise(readout, units, ALPHABET)).eval()


def test_the_audit_finds_the_memory():
    task = delayed_recall(length=24, delay=7, sequences=(1, 1, 8))
    window, model = task.longest_dependency + 1, recaller(7)
    points = {point.k: point for point in memory_curve(model, task)}
    assert points[window].error_max == 0.0
    assert points[window].scores.metric < 1e-6  # the model solves the task, and so does its window
    assert points[window // 2].scores.metric > 1.0

    x = torch.stack([x for x, _ in task.splits["test"]])
    [found] = audit(model, x).recurrences
    for eps in (0.1, 0.001):
        assert found.window("output", eps) == window
