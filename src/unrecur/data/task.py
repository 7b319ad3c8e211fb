"""A task: sequences in three splits, what is to be predicted, and how that is scored."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from unrecur import _check
from unrecur._check import InputError
from unrecur.certificates.inputs import read_box
from unrecur.core.model import AbstractSequenceModel
from unrecur.data.batches import Batch, Row, deal, load
from unrecur.data.hashing import split_hash
from unrecur.data.losses import IGNORED, counted

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
Pair = tuple[Tensor, Tensor]


@runtime_checkable
class Sequences(Protocol):
    """The sequences of a split; a list of pairs is one.

    Others are read when they are needed, from a disk for example. They may have `lengths`, the
    number of steps of each; else each is read once to count them.
    """

    def __len__(self) -> int:
        """Count the sequences."""

    def __getitem__(self, index: int, /) -> Pair:
        """Give the inputs and the targets of a sequence, of the same length.

        Args:
            index: Which one, from 0.
        """


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
class Score:
    """How a model is scored beside its loss.

    Attributes:
        title: What it is, in words.
        unit: Its unit; empty for a plain number.
        better: Whether higher or lower is better.
        compute: Gives it, of the model, the task, the split and the metric on that split.
    """

    title: str
    unit: str
    better: Literal["higher", "lower"]
    compute: "Callable[[AbstractSequenceModel, Task, Split, float], float]"


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
    scores: Mapping[str, Score] = field(default_factory=dict)
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
                    self._check(x, target, f"{split} sequence {number}")
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
            self._check(x, target, f"{split} sequence {number}")
        return x, target

    def _check(self, x: Tensor, target: Tensor, name: str) -> None:
        """Check one sequence."""
        if self.tokens:
            self._check_tokens(x, name)
        else:
            self._check_floats(x, name)
        if len(target) != len(x):
            raise InputError(
                f"{name} of task '{self.name}': {len(x)} inputs but {len(target)} targets."
            )
        if target.is_floating_point():
            _check.finite(torch.where(target.isnan(), 0, target), f"targets of {name}")
        elif target.dim() == 1:
            classes = target[target != IGNORED]
            if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < (
                self.out_features
            ):
                raise InputError(
                    f"{name} of task '{self.name}': expected classes from 0 to "
                    f"{self.out_features - 1} (or {IGNORED}), got {int(classes.min())} to "
                    f"{int(classes.max())}."
                )

    def _check_tokens(self, x: Tensor, name: str) -> None:
        """Check the inputs of a sequence of token ids."""
        if x.dim() != 1 or len(x) == 0 or x.dtype is not torch.int64:
            raise InputError(
                f"{name} of task '{self.name}': expected token ids [time >= 1] of int64, got "
                f"{list(x.shape)} of {x.dtype}."
            )
        if not 0 <= int(x.min()) <= int(x.max()) < self.in_features:
            raise InputError(
                f"{name} of task '{self.name}': expected token ids from 0 to "
                f"{self.in_features - 1}, got {int(x.min())} to {int(x.max())}."
            )

    def _check_floats(self, x: Tensor, name: str) -> None:
        """Check the inputs of a sequence of features."""
        if x.dim() != 2 or len(x) == 0 or x.shape[1] != self.in_features:
            raise InputError(
                f"{name} of task '{self.name}': expected inputs [time >= 1, {self.in_features}], "
                f"got {list(x.shape)}."
            )
        if x.dtype is not torch.float32:
            raise InputError(
                f"{name} of task '{self.name}': expected inputs of float32, got {x.dtype}. Convert "
                "with x.float()."
            )
        _check.finite(x, f"inputs of {name}")
        if self.input_box is not None:
            low, high = self.input_box
            if not low <= float(x.min()) <= float(x.max()) <= high:
                raise InputError(
                    f"{name} of task '{self.name}' has inputs from {float(x.min()):g} to "
                    f"{float(x.max()):g}, outside input_box {self.input_box}, for which proofs "
                    "would hold. Widen the box."
                )

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


@dataclass(frozen=True)
class Some:
    """Some sequences of a split.

    Attributes:
        whole: All of them.
        all_lengths: Their lengths.
        index: Which are taken.
    """

    whole: Sequences
    all_lengths: np.ndarray
    index: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """The lengths of those taken."""
        return self.all_lengths[self.index]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, number: int) -> Pair:
        return self.whole[int(self.index[number])]


def known_steps(target: Tensor) -> Tensor:
    """Mark the steps of one sequence at which something is to be predicted.

    Args:
        target: The targets of the sequence.

    Returns:
        One truth value a step.
    """
    return counted(target[None], torch.tensor([len(target)]))[0]
