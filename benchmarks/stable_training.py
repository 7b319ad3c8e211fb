"""What does training inside a stable class cost, and which windows do the trained models need?

    python benchmarks/stable_training.py --data-dir DIR            # about 12 minutes on 2 cores
    python benchmarks/stable_training.py --data-dir DIR --write    # and keeps the rows

One LSTM of 128 units is trained on three tasks: chorales (nats per frame), a character language
model on text/tinyshakespeare.txt.gz (bits per character; its last tenth is validation and test),
and slot filling on snips (entity F1, by seqeval). Each is trained

- free;
- under the four conditions of Miller and Hardt (2019, section 4.2), by projection after each step:
  rows of W_i and W_o below 1 - phi, of W_g below (1 - phi) / 4, of W_f below (1 - phi)^2, and
  forget biases low enough for gates of at most phi;
- in the cascades of `unrecur.stabilize`,

with the same first weights and the same batches, and keeps the weights that are best on the
validation split. The best setting of a class is the one that is best there. Of each model there is
the least k for which a window of k inputs errs by at most eps in any output of the recurrence:
proved from the weights (`certify`), proved on some test inputs whatever came before them
(`certify_on`), and measured on the test inputs. For the last two the test split is one stream:
chorales and utterances are laid end to end, as a window is longer than most of them.
"""

import argparse
import copy
import gzip
import math
import multiprocessing
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rows
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parametrize

import unrecur
from unrecur.cells import LSTM
from unrecur.certificates.certificate import Certificate
from unrecur.certificates.project import project_l1
from unrecur.core.compose import Serial, in_series
from unrecur.data.sequences import SPLITS, Split
from unrecur.layers.embedding import Embedding, readout
from unrecur.layers.recurrent import Recurrent
from unrecur.train.evaluate import evaluate

HIDDEN = 128
PHIS = (0.64, 0.9, 0.95)
RATES, LEVELS = (0.95, 0.97), (4, 8)
EPS = (0.1, 0.01)
CHECKS = 8  # looks at the validation split in a training run
STARTS = 256  # windows that are measured
LONGEST = 1024  # the longest of them
ON_INPUT = (64, 256, 512)  # the windows that are tried on given inputs
WINDOWS_ON_INPUT = 17  # how many of them on each of two stretches of test inputs
Batch = tuple[Tensor, Tensor, bool]


class AbstractProblem(ABC):
    """A task: what is trained, on what, and how it is scored.

    Attributes:
        name: The task.
        metric: What is reported.
        sign: 1 where less is better, -1 where more is.
        steps: The steps of the optimizer.
        learning_rate: Adam's, at the start; it falls along half a cosine.
        input_box: The inputs that proofs hold for; None where an embedding says it.
    """

    name: str
    metric: str
    sign = 1
    steps: int
    learning_rate: float
    input_box: Any = None

    @abstractmethod
    def build(self) -> Serial:
        """Build the model."""

    @abstractmethod
    def batches(self, seed: int) -> Iterator[Batch]:
        """Give batches without end: inputs, targets, and whether they go on after the last."""

    @abstractmethod
    def loss(self, y: Tensor, target: Tensor) -> Tensor:
        """Give the mean loss of the steps that count."""

    @abstractmethod
    def score(self, model: Serial, split: Split) -> float:
        """Give the metric of a split."""

    @abstractmethod
    def stream(self) -> Tensor:
        """Give the inputs of the test split, end to end."""


class Chorales(AbstractProblem):
    """The next frame of a chorale."""

    name, metric, steps, learning_rate = "chorales", "nats per frame", 800, 1e-2
    input_box = (0.0, 1.0)

    def __init__(self, folder: Path) -> None:
        self.task = unrecur.load_task("chorales")

    def build(self) -> Serial:
        """See `AbstractProblem`."""
        size = self.task.in_features
        return Serial(Recurrent([LSTM(size, HIDDEN)]), readout(HIDDEN, size))

    def batches(self, seed: int) -> Iterator[Batch]:
        """See `AbstractProblem`; the target of padding is -1."""
        order = torch.Generator().manual_seed(seed)
        while True:
            for batch in self.task.batches("train", 8, order):
                padding = torch.arange(batch.x.shape[1]) >= batch.lengths[:, None]
                yield batch.x, batch.target.masked_fill(padding[..., None], -1), False

    def loss(self, y: Tensor, target: Tensor) -> Tensor:
        """See `AbstractProblem`."""
        valid = target[..., 0] >= 0
        return self.task.step_loss(y[valid], target[valid]).mean()

    def score(self, model: Serial, split: Split) -> float:
        """See `AbstractProblem`."""
        return evaluate(model, self.task, split).metric

    def stream(self) -> Tensor:
        """See `AbstractProblem`."""
        return torch.cat([x for x, _ in self.task.splits["test"]])


class Characters(AbstractProblem):
    """The next character of a text."""

    name, metric, steps, learning_rate = "characters", "bits per character", 2000, 4e-3
    rows, stretch = 32, 64

    def __init__(self, folder: Path) -> None:
        packed = (folder / "text" / "tinyshakespeare.txt.gz").read_bytes()
        text = gzip.decompress(packed).decode("utf-8")
        index = {character: number for number, character in enumerate(sorted(set(text)))}
        ids = torch.tensor([index[character] for character in text])
        self.vocabulary = len(index)
        ends = [0, int(0.9 * len(ids)), int(0.95 * len(ids)), len(ids)]
        self.splits = {split: ids[ends[n] : ends[n + 1]] for n, split in enumerate(SPLITS)}

    def build(self) -> Serial:
        """See `AbstractProblem`."""
        return Serial(
            Embedding(self.vocabulary, 64),
            Recurrent([LSTM(64, HIDDEN)]),
            readout(HIDDEN, self.vocabulary),
        )

    def batches(self, seed: int) -> Iterator[Batch]:
        """See `AbstractProblem`; truncated backpropagation through the text in order."""
        ids = self.splits["train"]
        x = ids[: len(ids) // self.rows * self.rows].view(self.rows, -1)
        while True:
            for begin in range(0, x.shape[1] - self.stretch, self.stretch):
                part = x[:, begin : begin + self.stretch + 1]
                yield part[:, :-1], part[:, 1:], begin > 0

    def loss(self, y: Tensor, target: Tensor) -> Tensor:
        """See `AbstractProblem`."""
        return cross_entropy(y.flatten(0, 1), target.flatten())

    def score(self, model: Serial, split: Split) -> float:
        """See `AbstractProblem`."""
        ids = self.splits[split]
        x = ids[: len(ids) // 16 * 16].view(16, -1)
        return float(self.loss(model(x[:, :-1])[0], x[:, 1:])) / math.log(2)

    def stream(self) -> Tensor:
        """See `AbstractProblem`."""
        return self.splits["test"]


class Slots(AbstractProblem):
    """The tag of each word of an utterance.

    Word 0 stands for the rare ones: the time of a proof grows with the vocabulary.
    """

    name, metric, sign, steps, learning_rate = "slots", "entity F1", -1, 800, 4e-3
    padding, rare = -100, 50

    def __init__(self, folder: Path) -> None:
        folders = {"train": "train", "valid": "dev", "test": "test"}
        said, tagged = (
            {
                split: [
                    line.split()
                    for line in (folder / "snips" / folders[split] / f"seq.{end}")
                    .read_text("utf-8")
                    .splitlines()
                ]
                for split in SPLITS
            }
            for end in ("in", "out")
        )
        counts: dict[str, int] = {}
        for words in said["train"]:
            for word in words:
                counts[word] = counts.get(word, 0) + 1
        known = sorted(word for word, count in counts.items() if count >= self.rare)
        index = {word: number for number, word in enumerate(known, 1)}
        self.vocabulary = len(index) + 1
        self.tags = sorted({tag for tags in tagged["train"] for tag in tags})
        number = {tag: n for n, tag in enumerate(self.tags)}
        self.tagged = tagged
        self.words = {
            split: [torch.tensor([index.get(word, 0) for word in words]) for words in said[split]]
            for split in SPLITS
        }
        self.targets = [torch.tensor([number[tag] for tag in tags]) for tags in tagged["train"]]

    def build(self) -> Serial:
        """See `AbstractProblem`."""
        return Serial(
            Embedding(self.vocabulary, 64),
            Recurrent([LSTM(64, HIDDEN)]),
            readout(HIDDEN, len(self.tags)),
        )

    def batches(self, seed: int) -> Iterator[Batch]:
        """See `AbstractProblem`."""
        order, words = torch.Generator().manual_seed(seed), self.words["train"]
        while True:
            for index in torch.randperm(len(words), generator=order).split(32):
                chosen = index.tolist()
                x = nn.utils.rnn.pad_sequence([words[i] for i in chosen], True)
                targets = [self.targets[i] for i in chosen]
                yield x, nn.utils.rnn.pad_sequence(targets, True, self.padding), False

    def loss(self, y: Tensor, target: Tensor) -> Tensor:
        """See `AbstractProblem`."""
        return cross_entropy(y.flatten(0, 1), target.flatten(), ignore_index=self.padding)

    def score(self, model: Serial, split: Split) -> float:
        """See `AbstractProblem`."""
        from seqeval.metrics import f1_score

        words = self.words[split]
        best = model(nn.utils.rnn.pad_sequence(words, True))[0].argmax(-1).tolist()
        found = [
            [self.tags[tag] for tag in row[: len(said)]]
            for row, said in zip(best, words, strict=True)
        ]
        return float(f1_score(self.tagged[split], found))

    def stream(self) -> Tensor:
        """See `AbstractProblem`."""
        return torch.cat(self.words["test"])


PROBLEMS: dict[str, type[AbstractProblem]] = {
    problem.name: problem for problem in (Chorales, Characters, Slots)
}


@dataclass(frozen=True)
class Setting:
    """One model to train."""

    task: str
    kind: str  # "free", "paper" or "ours"
    options: dict[str, float]
    seed: int
    steps: int | None
    folder: Path


def settings(tasks: list[str], seeds: int, steps: int | None, folder: Path) -> list[Setting]:
    """List what is trained, the free model of each task and seed first."""
    options: list[tuple[str, dict[str, float]]] = [("free", {})]
    options += [("paper", {"phi": phi}) for phi in PHIS]
    options += [("ours", {"rate": rate, "levels": n}) for rate in RATES for n in LEVELS]
    return [
        Setting(task, kind, option, seed, steps, folder)
        for task in tasks
        for seed in range(seeds)
        for kind, option in options
    ]


@torch.no_grad()
def project_as_published(model: Serial, input_box: Any, phi: float) -> None:
    """Move the weights into the four conditions of Miller and Hardt."""
    parts = in_series(model)
    cell = next(part for part in parts if isinstance(part, Recurrent)).cells[0]
    limits = (1 - phi, (1 - phi) ** 2, (1 - phi) / 4, 1 - phi)
    for block, limit in zip(cell.weight_hh_l0.chunk(4), limits, strict=True):
        radius = block.new_full((HIDDEN,), limit * (1 - 1e-5))
        block.copy_(project_l1(block, torch.ones_like(block), radius))
    forget = slice(HIDDEN, 2 * HIDDEN)
    w = cell.weight_ih_l0[forget]
    if isinstance(parts[0], Embedding):
        driven = (parts[0].table.weight @ w.T).amax(0)
    else:
        low, high = input_box
        driven = torch.maximum(low * w, high * w).sum(1)
    reach = driven + cell.weight_hh_l0[forget].abs().sum(1)
    reach += cell.bias_ih_l0[forget] + cell.bias_hh_l0[forget]
    excess = (reach - math.log(phi / (1 - phi)) + 1e-5).clamp(min=0)
    # Half from each: with all from one of them Adam would drive the two apart without end.
    cell.bias_ih_l0[forget] -= excess / 2
    cell.bias_hh_l0[forget] -= excess / 2


def constrained(problem: AbstractProblem, setting: Setting) -> tuple[Serial, Callable[[], None]]:
    """Build a model in its class, and what keeps it there after each step."""
    torch.manual_seed(setting.seed)
    model = problem.build()
    if setting.kind == "ours":
        unrecur.stabilize(model, problem.input_box, **setting.options)

    def keep() -> None:
        if setting.kind == "paper":
            project_as_published(model, problem.input_box, setting.options["phi"])

    keep()
    return model, keep


def trained(problem: AbstractProblem, setting: Setting) -> tuple[Serial, float]:
    """Train a model; give it plain, with its best weights, and the seconds of a step."""
    model, keep = constrained(problem, setting)
    steps = problem.steps if setting.steps is None else setting.steps
    optimizer = torch.optim.Adam(model.parameters(), lr=problem.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best, kept, seconds, state = math.inf, {}, 0.0, None
    batches = problem.batches(setting.seed)
    for step in range(1, steps + 1):
        began = time.perf_counter()
        x, target, goes_on = next(batches)
        with parametrize.cached():
            y, state = model(x, state if goes_on else None)
        state = tuple(detached(part) for part in state)
        optimizer.zero_grad()
        problem.loss(y, target).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        keep()
        seconds += time.perf_counter() - began
        if step == steps or step % math.ceil(steps / CHECKS) == 0:
            with torch.no_grad():
                value = problem.sign * problem.score(model.eval(), "valid")
            model.train()
            if value < best:
                best, kept = value, copy.deepcopy(model.state_dict())
    plain = problem.build().eval()
    plain.load_state_dict(kept)
    return plain, seconds / steps


def detached(state: Any) -> Any:
    """Cut a tree of states off its past."""
    if isinstance(state, Tensor):
        return state.detach()
    return tuple(detached(part) for part in state)


def recurrence(model: Serial) -> nn.Module:
    """Leave the readout away."""
    parts = in_series(model)[:-1]
    return Serial(*parts) if len(parts) > 1 else parts[0]


def proved(model: Serial, input_box: Any) -> dict[str, Any]:
    """Prove from the weights, in the type of the weights."""
    began = time.perf_counter()
    certificate = unrecur.certify(model, input_box)
    seconds = time.perf_counter() - began
    windows = [certified_window(certificate, eps) for eps in EPS]
    return {
        "evidence": certificate.evidence.value,
        "rate": round(certificate.rate, 4) if certificate.rule else None,
        "rule": certificate.rule,
        "seconds": round(seconds, 2),
        "k": dict(zip(map(str, EPS), windows, strict=True)),
    }


def certified_window(certificate: Certificate, eps: float) -> int | None:
    """Find the least k whose error of the recurrence's outputs is proved to be at most eps."""
    if certificate.curve is None:
        return None

    def enough(k: int) -> bool:
        outputs = certificate.output(k)
        return outputs is not None and float(outputs.max()) <= eps

    return certificate.curve.first(enough)


@torch.no_grad()
def measured(model: nn.Module, stream: Tensor, seed: int) -> dict[str, int | None]:
    """Find the least k from which on windows of the stream err by at most eps in any output.

    A window of k inputs for each k comes from one run from the zero state at a random start.
    """
    stream = stream.double() if stream.is_floating_point() else stream
    whole = model(stream[None])[0][0]
    longest = min(LONGEST, len(stream) // 2)
    draw = torch.Generator().manual_seed(seed)
    starts = torch.randint(1, len(stream) - longest, (STARTS,), generator=draw)
    error = torch.zeros(longest, dtype=whole.dtype)
    for some in starts.split(64):
        places = some[:, None] + torch.arange(longest)
        gap = (model(stream[places])[0] - whole[places]).abs()
        error = torch.maximum(error, gap.amax((0, 2)))
    found: dict[str, int | None] = {}
    for eps in EPS:
        above = (error > eps).nonzero()
        k = int(above[-1]) + 2 if len(above) else 1  # error[j] is that of j + 1 inputs
        found[str(eps)] = k if k <= longest else None
    return found


def proved_on_input(model: nn.Module, stream: Tensor, input_box: Any) -> dict[str, Any]:
    """Prove on two stretches of the stream, with longer and longer windows."""
    stream = stream.double() if stream.is_floating_point() else stream
    found: dict[str, int | None] = dict.fromkeys(map(str, EPS))
    began = time.perf_counter()
    for k in ON_INPUT:
        length = k + WINDOWS_ON_INPUT - 1
        if 2 * length > len(stream):
            break
        x = torch.stack([stream[:length], stream[-length:]])
        certificate = unrecur.certify_on(model, x, k, input_box)
        found = {str(eps): certificate.steps(eps) for eps in EPS}
        # A set that has stopped shrinking will not begin again.
        if all(found.values()) or not certificate.bound(k) < certificate.bound(k // 2):
            break
    return {"k": found, "seconds": round(time.perf_counter() - began, 2)}


def row_of(setting: Setting) -> dict[str, Any]:
    """Train and examine one model."""
    torch.set_num_threads(1)
    problem = PROBLEMS[setting.task](setting.folder)
    model, seconds = trained(problem, setting)
    with torch.no_grad():
        valid, test = (problem.score(model, split) for split in ("valid", "test"))
    double = copy.deepcopy(model).double()
    top = recurrence(double)
    stream = problem.stream()
    return {
        "benchmark": "stable training",
        "task": setting.task,
        "class": setting.kind,
        **setting.options,
        "seed": setting.seed,
        "metric": problem.metric,
        "valid": round(valid, 4),
        "test": round(test, 4),
        "milliseconds_per_step": round(1e3 * seconds, 2),
        "float32": proved(model, problem.input_box),
        "float64": proved(double, problem.input_box),
        "on_input": proved_on_input(top, stream, problem.input_box),
        "measured": measured(top, stream, setting.seed),
    }


def all_rows(wanted: list[Setting], jobs: int) -> Iterator[dict[str, Any]]:
    """Give the rows, each with what its class loses against the free model."""
    free: dict[tuple[str, int], float] = {}
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for row in pool.imap(row_of, wanted):
            key = (row["task"], row["seed"])
            if row["class"] == "free":
                free[key] = row["test"]
            sign = PROBLEMS[row["task"]].sign
            row["loss_against_free"] = round(sign * (row["test"] - free[key]), 4) + 0.0  # no -0
            yield row


def best_of(kept: list[dict[str, Any]], task: str, kind: str, seed: int) -> dict[str, Any]:
    """Choose a class's best row by the validation split."""
    mine = [r for r in kept if (r["task"], r["class"], r["seed"]) == (task, kind, seed)]
    return min(mine, key=lambda row: PROBLEMS[task].sign * row["valid"])


def summary(kept: list[dict[str, Any]]) -> None:
    """Print the best of each class."""
    table = Table("task", "class", "test", "loss", "rate", *(f"k {eps}" for eps in EPS))
    eps_cells = "proved / on input / measured"
    table.caption = f"k: {eps_cells}, least window for an output error of the recurrence, float64"
    for task, seed in sorted({(row["task"], row["seed"]) for row in kept}):
        chosen = {kind: best_of(kept, task, kind, seed) for kind in ("free", "paper", "ours")}
        for kind, row in chosen.items():
            windows = (
                [row[how]["k"][str(eps)] for how in ("float64", "on_input")]
                + [row["measured"][str(eps)]]
                for eps in EPS
            )
            table.add_row(
                task,
                " ".join([kind, *(f"{n} {row[n]}" for n in ("phi", "rate", "levels") if n in row)]),
                f"{row['test']:.4f} {row['metric']}",
                f"{row['loss_against_free']:.4f}",
                str(row["float64"]["rate"] or "-"),
                *(" / ".join("-" if k is None else str(k) for k in some) for some in windows),
            )
        if chosen["paper"]["loss_against_free"] > 0:
            share = chosen["ours"]["loss_against_free"] / chosen["paper"]["loss_against_free"]
            table.add_row(task, f"ours loses {share:.2f} of what the paper's class loses")
        table.add_section()
    Console(width=130).print(table)


def main() -> None:
    parser: argparse.ArgumentParser = rows.parser(__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="with text/ and snips/")
    parser.add_argument("--steps", type=int, help="of each training run")
    parser.add_argument("--only", choices=PROBLEMS, help="one task")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each class")
    parser.add_argument("--jobs", type=int, default=2, help="models trained side by side")
    given = parser.parse_args()
    tasks = [given.only] if given.only else list(PROBLEMS)
    wanted = settings(tasks, given.seeds, given.steps, given.data_dir)
    kept: list[dict[str, Any]] = []

    def remembered() -> Iterator[dict[str, Any]]:
        for row in all_rows(wanted, given.jobs):
            kept.append(row)
            yield row

    rows.run("stable_training", remembered(), given.write)
    summary(kept)


if __name__ == "__main__":
    main()
