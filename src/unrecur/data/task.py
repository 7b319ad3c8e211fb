"""A task: sequences in three splits, what is to be predicted, and how that is scored."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from unrecur import _check
from unrecur._check import InputError
from unrecur.certificates.inputs import Box, read_box
from unrecur.data.hashing import split_hash

Split = Literal["train", "valid", "test"]
POOL = 16  # batches that share out their sequences by length
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Batch:
    """Sequences padded with zeros to one length.

    Attributes:
        x: The inputs [batch, time, features].
        target: What is to be predicted at each step [batch, time, ...].
        lengths: How many steps of each row are valid [batch].
        index: Which sequence of the split each row is [batch].
    """

    x: Shaped[Tensor, "B T ..."]
    target: Shaped[Tensor, "B T ..."]
    lengths: Integer[Tensor, " B"]
    index: Integer[Tensor, " B"]


@dataclass(frozen=True)
class Task:
    """Sequences to be predicted step by step.

    Attributes:
        name: The task's name on the command line.
        title: What it is, in words.
        metric: What is measured, in words; the mean over all steps of a split, lower is better.
        unit: The metric's unit.
        in_features: The number of input features.
        out_features: The number of scores a model must give at each step.
        step_loss: Maps scores and targets [..., features] to the loss of each step [...].
        chance_level: The metric of a model that knows nothing.
        input_box: The least and the largest value an input can take, by the nature of the data.
        splits: For each split its sequences, pairs of inputs and targets of the same length.
        hashes: For each split the SHA-256 of its content; computed where left out.
        floors: Names of models without memory that are fitted by counting.

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
    input_box: tuple[float, float]
    splits: Mapping[Split, Sequence[Pair]]
    hashes: Mapping[Split, str] = field(default_factory=dict)
    floors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        box = read_box(self.input_box, self.in_features)
        for split in SPLITS:
            pairs = self.splits.get(split, ())
            if not pairs:
                raise InputError(f"task '{self.name}' has no sequences in its split '{split}'.")
            for number, (x, target) in enumerate(pairs):
                self._check_pair(x, target, box, f"{split} sequence {number}")
        if not self.hashes:
            hashes = {split: _hash(self.splits[split]) for split in SPLITS}
            object.__setattr__(self, "hashes", hashes)

    def _check_pair(self, x: Tensor, target: Tensor, box: Box, name: str) -> None:
        """Check one sequence."""
        if x.dim() != 2 or len(x) == 0 or x.shape[1] != self.in_features:
            raise InputError(
                f"{name} of task '{self.name}': expected inputs [time >= 1, {self.in_features}], "
                f"got {list(x.shape)}."
            )
        if len(target) != len(x):
            raise InputError(
                f"{name} of task '{self.name}': {len(x)} inputs but {len(target)} targets."
            )
        if x.dtype is not torch.float32:
            raise InputError(
                f"{name} of task '{self.name}': expected inputs of float32, got {x.dtype}. Convert "
                "with x.float()."
            )
        _check.finite(x, f"inputs of {name}")
        _check.finite(target, f"targets of {name}")
        if not ((box.low <= x) & (x <= box.high)).all():
            raise InputError(
                f"{name} of task '{self.name}' has inputs from {float(x.min()):g} to "
                f"{float(x.max()):g}, outside input_box {self.input_box}, for which proofs would "
                "hold. Widen the box."
            )

    def steps(self, split: Split) -> int:
        """Count the steps of a split.

        Args:
            split: Which one.

        Returns:
            The number of predicted steps.
        """
        return sum(len(x) for x, _ in self.splits[split])

    @property
    def longest(self) -> int:
        """The length of the longest sequence of any split."""
        return max(len(x) for split in SPLITS for x, _ in self.splits[split])

    def batches(
        self, split: Split, size: int, generator: torch.Generator | None = None
    ) -> Iterator[Batch]:
        """Give a split in batches.

        Args:
            split: Which one.
            size: The number of sequences in a batch.
            generator: Shuffles the sequences. None takes them by length, so that little is padded;
                shuffled ones are put in order of length within pools of 16 batches, and the
                batches shuffled.

        Yields:
            Each batch.
        """
        pairs = self.splits[split]
        lengths = torch.tensor([len(x) for x, _ in pairs])
        if generator is None:
            groups = list(torch.split(lengths.argsort(stable=True), size))
        else:
            order = torch.randperm(len(pairs), generator=generator)
            pools = [pool[lengths[pool].argsort()] for pool in order.split(POOL * size)]
            batches = [batch for pool in pools for batch in pool.split(size)]
            groups = [batches[i] for i in torch.randperm(len(batches), generator=generator)]
        for index in groups:
            rows = [pairs[i] for i in index.tolist()]
            yield Batch(
                pad_sequence([x for x, _ in rows], batch_first=True),
                pad_sequence([target for _, target in rows], batch_first=True),
                torch.tensor([len(x) for x, _ in rows]),
                index,
            )


def _hash(pairs: Sequence[Pair]) -> str:
    """Identify the content of a split."""
    return split_hash([tensor.cpu().numpy() for pair in pairs for tensor in pair])


def bernoulli_nll(
    scores: Float[Tensor, "*B E"], target: Float[Tensor, "*B E"]
) -> Float[Tensor, "*B"]:
    """Give the negative log-likelihood of frames of independent zeros and ones.

    -sum_j [target_j log p_j + (1 - target_j) log(1 - p_j)], p = sigmoid(scores), in nats.

    Args:
        scores: The log-odds.
        target: The frames.

    Returns:
        The sum over the features, for each frame.
    """
    return torch.nn.functional.binary_cross_entropy_with_logits(
        scores, target, reduction="none"
    ).sum(-1)
