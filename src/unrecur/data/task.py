"""A task: sequences in three splits, what is to be predicted, and how that is scored."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from unrecur._check import InputError
from unrecur.certificates.inputs import read_box
from unrecur.core.model import AbstractSequenceModel
from unrecur.data.batches import Batch, Row, deal, load
from unrecur.data.hashing import split_hash
from unrecur.data.sequences import SPLITS, Pair, Sequences, Some, Split, check_pair, known_steps


@dataclass(frozen=True)
class Published:
    """A figure that somebody has published for a task.

    Attributes:
        value: The figure.
        unit: Its unit, or the name of the metric.
        model: What reached it.
        source: Where it stands: authors, year, number, table.
    """

    value: float
    unit: str
    model: str
    source: str


@dataclass(frozen=True)
class Figure:
    """What a figure beside the loss is called.

    Attributes:
        title: What it is, in words.
        unit: Its unit; empty for a plain number.
        better: Whether higher or lower is better.
    """

    title: str
    unit: str
    better: Literal["higher", "lower"]


@dataclass(frozen=True)
class Score(Figure):
    """A figure that is computed from the metric, or from the model.

    Attributes:
        compute: Gives it, of the model, the task, the split and the metric on that split.
    """

    compute: "Callable[[AbstractSequenceModel, Task, Split, float], float]"


@runtime_checkable
class Tally(Protocol):
    """Takes what a model gives, sequence by sequence, and tells a figure at the end."""

    def add(self, number: int, y: Tensor, target: Tensor) -> None:
        """Take one sequence; each comes once, in any order.

        Args:
            number: Its number in the split.
            y: What the model gives [time, scores], on the CPU.
            target: What was to be predicted [time, ...], on the CPU.
        """

    def value(self) -> float:
        """Tell the figure."""


@dataclass(frozen=True)
class OutputScore(Figure):
    """A figure that is counted while the model runs over a split.

    Attributes:
        tally: Begins to count, for the task and a split.
    """

    tally: "Callable[[Task, Split], Tally]"


@dataclass(frozen=True)
class Task:
    """Sequences to be predicted step by step.

    Sequences in a list are checked at once, others when they are read.

    Attributes:
        name: The task's name on the command line.
        title: What it is, in words.
        metric: What is measured, in words; the mean over all counted steps of a split, lower is
            better. A step counts where its target is known: no `IGNORED` class, not only NaN.
        unit: The metric's unit.
        in_features: The number of input features; of token ids, with `tokens`.
        out_features: The number of scores a model must give at each step.
        step_loss: Maps scores [..., out_features] and targets [...] to the loss of each step [...].
        chance_level: The metric of a model that knows nothing.
        splits: For each split its sequences: pairs of inputs, [time, features] of float32 or token
            ids [time] of int64, and targets of the same length, classes [time] or numbers
            [time, ...].
        input_box: The least and the largest value an input can take, by the nature of the data;
            None where there is none, and for tokens.
        hashes: For each split the SHA-256 of its content; computed where left out.
        floors: Names of models that are fitted, not trained, and the options of each.
        tokens: Whether the inputs are token ids.
        whole: Whether the whole sequence is given before anything is predicted, so that models may
            look ahead.
        sources: For each split what each sequence starts from, token ids [time]: what is
            translated; empty where there is nothing.
        source_features: The number of token ids of the sources.
        continuous: Whether sequence i + 1 of a split goes on where sequence i ends: models carry
            their state over.
        scores: Figures beside the loss, in units that people know.
        longest_dependency: How many steps back an input can matter, where that is known.
        reach: How many inputs a feed-forward model of a study should see; None for the longest
            dependency, or a whole sequence, up to a limit.
        parameters: A size of models that makes sense for the task on a small machine.
        published: Figures for comparison.
        notes: What was done to the data, a sentence each.

    Raises:
        InputError: A split is missing or empty; or a sequence is empty, of the wrong rank, type or
            number of features, holds NaN or infinite values, or leaves the input box.
    """

    name: str
    title: str
    metric: str
    unit: str
    in_features: int
    out_features: int
    step_loss: Callable[[Tensor, Tensor], Tensor]
    chance_level: float
    splits: Mapping[Split, Sequences]
    input_box: tuple[float, float] | None = None
    hashes: Mapping[Split, str] = field(default_factory=dict)
    floors: Mapping[str, Mapping[str, Any]] | tuple[str, ...] = ()
    tokens: bool = False
    whole: bool = False
    sources: Mapping[Split, Sequence[Tensor]] = field(default_factory=dict)
    source_features: int = 0
    continuous: bool = False
    scores: Mapping[str, Score | OutputScore] = field(default_factory=dict)
    longest_dependency: int | None = None
    reach: int | None = None
    parameters: int = 120_000
    published: tuple[Published, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.input_box is not None:
            read_box(self.input_box, self.in_features)
        for split in SPLITS:
            sequences = self.splits.get(split, ())
            if not len(sequences):
                raise InputError(f"task '{self.name}' has no sequences in its split '{split}'.")
            if self.sources and len(self.sources[split]) != len(sequences):
                raise InputError(
                    f"task '{self.name}', split '{split}': expected one source for each sequence, "
                    f"got {len(self.sources[split])} for {len(sequences)}."
                )
            if isinstance(sequences, list | tuple):
                for number, (x, target) in enumerate(sequences):
                    self._check((x, target), split, number)
        if not self.hashes:
            hashes = {split: self._hash(split) for split in SPLITS}
            object.__setattr__(self, "hashes", hashes)

    def pair(self, split: Split, number: int) -> Pair:
        """Read one sequence, and check it unless it stands in a list, which is checked at once.

        Args:
            split: Of which split.
            number: Which one.

        Returns:
            Its inputs and its targets.

        Raises:
            InputError: It is malformed; see `Task`.
        """
        sequences = self.splits[split]
        x, target = sequences[number]
        if not isinstance(sequences, list | tuple):  # these were checked at once
            self._check((x, target), split, number)
        return x, target

    def _check(self, pair: Pair, split: Split, number: int) -> None:
        """Check one sequence."""
        name = f"{split} sequence {number} of task '{self.name}'"
        check_pair(pair, name, self.in_features, self.out_features, self.tokens, self.input_box)

    def _hash(self, split: Split) -> str:
        """Identify the content of a split."""
        tensors = [
            tensor
            for number in range(len(self.splits[split]))
            for tensor in self.pair(split, number)
        ]
        tensors += self.sources.get(split, ())
        return split_hash([tensor.cpu().numpy() for tensor in tensors])

    def lengths(self, split: Split) -> np.ndarray:
        """Count the steps of each sequence of a split.

        Args:
            split: Which one.

        Returns:
            The numbers, int64.
        """
        sequences = self.splits[split]
        known = getattr(sequences, "lengths", None)
        if known is None:
            known = [len(sequences[number][0]) for number in range(len(sequences))]
        return np.asarray(known, dtype=np.int64)

    def steps(self, split: Split) -> int:
        """Count the steps of a split.

        Args:
            split: Which one.

        Returns:
            Their number, those that do not count included.
        """
        return int(self.lengths(split).sum())

    def counted(self, split: Split) -> np.ndarray:
        """Count the steps of each sequence of a split at which something is to be predicted.

        Args:
            split: Which one.

        Returns:
            The numbers, int64.
        """
        pairs = (self.pair(split, number) for number in range(len(self.splits[split])))
        return np.array([int(known_steps(target).sum()) for _, target in pairs])

    @property
    def longest(self) -> int:
        """The length of the longest sequence of any split."""
        return max(int(self.lengths(split).max()) for split in SPLITS)

    def box(self, *splits: Split) -> Any:
        """Give the inputs that proofs are to hold for.

        Args:
            *splits: Where to look for the extremes, if the task says nothing itself.

        Returns:
            `input_box`, or the extremes of the inputs of these splits; None for tokens, which
            proofs know by their embedding.
        """
        if self.tokens or self.input_box is not None:
            return self.input_box
        ends = [
            (float(x.min()), float(x.max()))
            for split in splits
            for x, _ in (self.pair(split, number) for number in range(len(self.splits[split])))
        ]
        return min(low for low, _ in ends), max(high for _, high in ends)

    def part(self, split: Split, steps: int) -> "Task":
        """Keep some sequences of a split, about as many as have so many steps.

        Args:
            split: Which one.
            steps: The number of steps.

        Returns:
            The task itself where it has no more; else one with the first sequences of the split, if
            they are continuous, or with evenly spaced ones.
        """
        count, total = len(self.splits[split]), self.steps(split)
        if total <= steps:
            return self
        kept = max(1, count * steps // total)
        index = np.arange(kept) if self.continuous else np.arange(kept) * count // kept
        splits = {**self.splits, split: Some(self.splits[split], self.lengths(split), index)}
        sources = dict(self.sources)
        if sources:
            sources[split] = [sources[split][i] for i in index.tolist()]
        return replace(self, splits=splits, sources=sources)

    def batches(
        self,
        split: Split,
        size: int,
        generator: torch.Generator | None = None,
        start: int = 0,
        workers: int = 0,
        pin: bool = False,
    ) -> Iterator[Batch]:
        """Give a split in batches.

        Args:
            split: Which one.
            size: The number of sequences in a batch.
            generator: Shuffles the sequences. None takes them by length, so that little is padded;
                shuffled ones are put in order of length within pools of 16 batches, and the
                batches shuffled. Continuous ones are not shuffled: each row of the batches is a
                run of consecutive sequences.
            start: The first batch to give; those before it are not read.
            workers: The number of processes that read; 0 reads in this one.
            pin: Whether the batches are put in pinned memory, from where a GPU fetches them.

        Returns:
            The batches, in the same order whatever the number of workers.
        """
        groups = deal(self.lengths(split), size, self.continuous, generator)
        return load(Rows(self, split), groups, self.continuous, start, workers, pin)


class Rows(Dataset[Row]):
    """The sequences of a split with their numbers and sources.

    Args:
        task: The task.
        split: The split.
    """

    def __init__(self, task: Task, split: Split) -> None:
        self.task, self.split = task, split

    def __len__(self) -> int:
        return len(self.task.splits[self.split])

    def __getitem__(self, number: int) -> Row:
        sources = self.task.sources
        source = sources[self.split][number] if sources else None
        return number, *self.task.pair(self.split, number), source
