"""Small tasks for tests: seconds matter, and what is learnt does not."""

import torch

from unrecur.data.task import Task, bernoulli_nll

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
