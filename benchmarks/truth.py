"""Is the verdict right where the truth is known by construction?

    python benchmarks/truth.py --write            # 50 studies of each kind: 20 minutes on one core
    python benchmarks/truth.py --studies 3        # a look

Each study is a whole one (`unrecur.study`: matched parameters, three seeds, least window, verdict)
of a task drawn afresh, an LSTM against a TCN that sees 7 inputs:

- "parity": is the number of ones so far odd? Every input since the first counts: needed;
- "copy": the first input, asked for at every step, far beyond the TCN's 7: needed;
- "2-gram": a language in which each symbol is drawn given the last two: not needed;
- "tie": the same LSTM, three seeds against three others, on the language: not needed; and its
  interval should leave zero out in no more than 1 of 20.

`wrong` counts verdicts of the contrary, `undecided` those that did not say. The confidence of a
verdict is 95 %: of 50, at most 5 wrong ones are what a right rate of 1 in 20 gives with a
probability of 96 %.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rows
import torch
from torch import Tensor
from torch.nn.functional import one_hot

import unrecur
from unrecur.data.losses import bernoulli_nll, categorical_nll
from unrecur.data.task import Task
from unrecur.studies import speed
from unrecur.studies.recipes import Recipe
from unrecur.studies.verdict import decide
from unrecur.train.config import TrainConfig

LENGTH, SYMBOLS = 24, 4
COUNTS = {"train": 256, "valid": 64, "test": 64}
RIGHT = {"parity": "needed", "copy": "needed", "2-gram": "not needed", "tie": "not needed"}
TRAINING = TrainConfig(epochs=20, batch_size=16, learning_rate=2e-2, patience=20)
RECIPES = {
    "lstm": Recipe("lstm", "recurrent", {}, TRAINING),
    "tcn": Recipe("tcn", "feed-forward", {"levels": 2, "kernel_size": 2}, TRAINING),
}
CONFIG = unrecur.StudyConfig(seeds=3)


def task_of(kind: str, number: int) -> Task:
    """Draw a task."""
    random = np.random.default_rng([list(RIGHT).index(kind), number])
    draw = {"parity": _parity, "copy": _copy}.get(kind) or _language(random)
    symbols = kind in ("2-gram", "tie")
    splits = {split: [draw(random) for _ in range(count)] for split, count in COUNTS.items()}
    features = SYMBOLS if symbols else 1
    return Task(
        name=kind,
        title=kind,
        metric="negative log-likelihood",
        unit="nats per step",
        in_features=features,
        out_features=features,
        step_loss=categorical_nll if symbols else bernoulli_nll,
        chance_level=float(np.log(features if symbols else 2)),
        splits=splits,
        parameters=1000,
    )


def _parity(random: np.random.Generator) -> tuple[Tensor, Tensor]:
    bits = random.integers(0, 2, LENGTH)
    return _numbers(bits), _numbers(bits.cumsum() % 2)


def _copy(random: np.random.Generator) -> tuple[Tensor, Tensor]:
    bits = random.integers(0, 2, LENGTH)
    return _numbers(bits), _numbers(np.full(LENGTH, bits[0]))


def _numbers(bits: np.ndarray) -> Tensor:
    return torch.tensor(bits, dtype=torch.float32)[:, None]


def _language(random: np.random.Generator) -> Any:
    table = random.dirichlet(np.full(SYMBOLS, 0.3), (SYMBOLS, SYMBOLS)).cumsum(-1)

    def draw(random: np.random.Generator) -> tuple[Tensor, Tensor]:
        ids = list(random.integers(0, SYMBOLS, 2))
        for _ in range(LENGTH - 1):
            ids.append(int((random.random() > table[ids[-2], ids[-1]][:-1]).sum()))
        found = torch.tensor(ids)
        return one_hot(found[:-1], SYMBOLS).float(), found[1:]

    return draw


def study_of(kind: str, number: int) -> dict[str, Any]:
    """Run one study and give its verdict."""
    task, recipes, config = task_of(kind, number), dict(RECIPES), CONFIG
    if kind == "tie":
        del recipes["tcn"]
        config = replace(CONFIG, seeds=2 * CONFIG.seeds)
    with tempfile.TemporaryDirectory() as folder:
        results = unrecur.study(task, Path(folder), config, recipes)
    if kind != "tie":
        return results["verdict"]
    losses = np.array([row["test_losses"] for row in results["rows"] if row["model"] == "lstm"])
    steps = task.counted("test").astype(float)
    ours, theirs = losses[:3], losses[3:]
    return decide({"others": ours}, ("lstm", theirs), {}, steps, 0.02, 0.95).as_json()


def measured(kinds: list[str], studies: int) -> Iterator[dict[str, Any]]:
    """Count the right verdicts of each kind."""
    speed.SECONDS = 0.0  # speeds are not what is asked here
    for kind in kinds:
        verdicts = [study_of(kind, number) for number in range(studies)]
        answers = [verdict["answer"] for verdict in verdicts]
        right, undecided = answers.count(RIGHT[kind]), answers.count("undecided")
        row = {
            "benchmark": "truth",
            "kind": kind,
            "truth": RIGHT[kind],
            "studies": studies,
            "right": right,
            "undecided": undecided,
            "wrong": studies - right - undecided,
        }
        if kind == "tie":
            entries = [verdict["comparisons"][0] for verdict in verdicts]
            row["zero_left_out"] = sum(not e["low"] <= 0 <= e["high"] for e in entries)
        yield row


if __name__ == "__main__":
    options = rows.parser(__doc__)
    options.add_argument("--studies", type=int, default=50, help="of each kind")
    options.add_argument("--only", choices=list(RIGHT), help="one kind")
    given = options.parse_args()
    torch.set_num_threads(1)
    asked = [given.only] if given.only else list(RIGHT)
    rows.run("truth", measured(asked, given.studies), given.write, rows.others("kind", given.only))
