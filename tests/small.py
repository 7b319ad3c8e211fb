"""Small tasks for tests: seconds matter, and what is learnt does not."""

import torch

from unrecur.data.losses import bernoulli_nll, categorical_nll
from unrecur.data.scores import perplexity
from unrecur.data.task import Task

FEATURES = 5


def rolls(count, seed, longest=14, features=FEATURES):
    """Random rolls in which each feature repeats what another did one or two frames before."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for number in range(count):
        time = 3 + (7 * number) % (longest - 2)
        roll = (torch.rand(time, features, generator=generator) < 0.3).float()
        roll[1:, 0] = roll[:-1, 1]
        roll[2:, 2] = roll[:-2, 3]
        found.append(roll)
    return found


def small_task(name="small", sequences=12, features=FEATURES):
    """A task of seconds; its splits differ in size and its sequences in length."""
    splits = {
        split: [(roll[:-1], roll[1:]) for roll in rolls(count, seed, features=features)]
        for seed, (split, count) in enumerate(
            {"train": sequences, "valid": sequences // 2, "test": sequences // 2}.items()
        )
    }
    return Task(
        name=name,
        title="A small task",
        metric="negative log-likelihood",
        unit="nats per frame",
        in_features=features,
        out_features=features,
        step_loss=bernoulli_nll,
        chance_level=features * 0.6931,
        input_box=(0.0, 1.0),
        splits=splits,
        floors=("frequencies", "markov"),
    )


def small_text(pieces=6, piece=5, vocabulary=7):
    """A stream of tokens in pieces that go on where the one before ends; the last is shorter."""
    splits = {}
    for seed, split in enumerate(("train", "valid", "test")):
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(vocabulary, (pieces * piece,), generator=generator)
        ids[2:] = (ids[:-2] + ids[2:] % 2) % vocabulary
        parts = torch.split(torch.arange(len(ids) - 1), piece)
        splits[split] = [(ids[part], ids[part + 1]) for part in parts]
    return Task(
        name="text",
        title="A small text",
        metric="negative log-likelihood",
        unit="nats per token",
        in_features=vocabulary,
        out_features=vocabulary,
        step_loss=categorical_nll,
        chance_level=1.9459,
        splits=splits,
        floors={"constant": {}, "ngram": {"order": 2}},
        tokens=True,
        continuous=True,
        scores={"perplexity": perplexity},
    )


def small_translation(count=8):
    """Pairs in which the target is the source, some ids lower."""
    generator = torch.Generator().manual_seed(0)
    splits, sources = {}, {}
    for split in ("train", "valid", "test"):
        drawn = [torch.randint(2, 9, (2 + i % 4,), generator=generator) for i in range(count)]
        sources[split] = drawn
        # 0 begins a sequence, 1 ends it.
        made = [torch.cat([torch.zeros(1).long(), ids - 2, torch.ones(1).long()]) for ids in drawn]
        splits[split] = [(ids[:-1], ids[1:]) for ids in made]
    return Task(
        name="translation",
        title="A small translation",
        metric="negative log-likelihood",
        unit="nats per token",
        in_features=7,
        out_features=7,
        step_loss=categorical_nll,
        chance_level=1.9459,
        splits=splits,
        tokens=True,
        sources=sources,
        source_features=9,
    )


class Killed(Exception):
    pass


def killed_after(batches):
    """A report that ends the process's work after so many batches, as kill -9 would."""
    seen = 0

    def report(progress, _):
        nonlocal seen
        seen += 1
        if seen == batches:
            raise Killed

    return report
