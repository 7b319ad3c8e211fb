"""Batches: which sequences go together, and how they are read and padded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Integer, Shaped
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

POOL = 16  # batches that share out their sequences by length
Row = tuple[int, Tensor, Tensor, Tensor | None]


@dataclass(frozen=True)
class Batch:
    """Sequences padded with zeros to one length.

    Attributes:
        x: The inputs [batch, time, features], or token ids [batch, time].
        target: What is to be predicted at each step [batch, time, ...].
        lengths: How many steps of each row are valid [batch].
        index: Which sequence of the split each row is [batch].
        source: What each row starts from [batch, steps]; None where there is nothing.
        source_lengths: How many steps of each source are valid.
        fresh: Whether the rows begin anew; if not, row i goes on where that of the batch before
            ended.
    """

    x: Shaped[Tensor, "B T ..."]
    target: Shaped[Tensor, "B T ..."]
    lengths: Integer[Tensor, " B"]
    index: Integer[Tensor, " B"]
    source: Integer[Tensor, "B N"] | None = None
    source_lengths: Integer[Tensor, " B"] | None = None
    fresh: bool = True

    def to(self, device: torch.device) -> "Batch":
        """Move what a model reads to a device; lengths and index stay.

        Args:
            device: Where to.

        Returns:
            The batch there.
        """
        source = None if self.source is None else self.source.to(device, non_blocking=True)
        return replace(
            self,
            x=self.x.to(device, non_blocking=True),
            target=self.target.to(device, non_blocking=True),
            source=source,
        )

    def pin_memory(self) -> "Batch":
        """Put what a model reads in pinned memory.

        Returns:
            The batch there.
        """
        source = None if self.source is None else self.source.pin_memory()
        return replace(self, x=self.x.pin_memory(), target=self.target.pin_memory(), source=source)


def deal(
    lengths: np.ndarray, size: int, continuous: bool, generator: torch.Generator | None
) -> Sequence[list[int]]:
    """Say which sequences go into which batch; see `Task.batches`.

    Args:
        lengths: The lengths of the sequences.
        size: The number of sequences in a batch.
        continuous: Whether each goes on where the one before ends.
        generator: Shuffles them.

    Returns:
        The numbers of the sequences of each batch.

    Example:
        >>> import numpy as np
        >>> list(deal(np.array([3, 3, 3, 3, 3]), 2, True, None))  # rows 0, 1, 2 and 3, 4
        [[0, 3], [1, 4], [2]]
    """
    if continuous:
        return Runs(len(lengths), min(size, len(lengths)))
    by_length = torch.from_numpy(lengths)
    if generator is None:
        groups: Sequence[Tensor] = torch.split(by_length.argsort(stable=True), size)
    else:
        order = torch.randperm(len(lengths), generator=generator)
        pools = [pool[by_length[pool].argsort()] for pool in order.split(POOL * size)]
        batches = [batch for pool in pools for batch in pool.split(size)]
        groups = [batches[i] for i in torch.randperm(len(batches), generator=generator)]
    return [group.tolist() for group in groups]


@dataclass(frozen=True)
class Runs(Sequence[list[int]]):
    """The batches of continuous sequences: each row is a run of consecutive ones.

    A long stream has more pieces than there is memory for their numbers.

    Attributes:
        sequences: The number of sequences.
        rows: The number of runs; the first ones may be longer by one.
    """

    sequences: int
    rows: int

    def __len__(self) -> int:
        return -(-self.sequences // self.rows)

    @overload
    def __getitem__(self, turn: int) -> list[int]: ...

    @overload
    def __getitem__(self, turn: slice) -> list[list[int]]: ...

    def __getitem__(self, turn: int | slice) -> list[int] | list[list[int]]:
        if isinstance(turn, slice):
            return [self[number] for number in range(len(self))[turn]]
        if not 0 <= turn < len(self):
            raise IndexError(turn)
        short, longer = divmod(self.sequences, self.rows)
        taking = self.rows if turn < short else longer
        return [row * short + min(row, longer) + turn for row in range(taking)]


def load(
    rows: Dataset[Row],
    groups: Sequence[list[int]],
    continuous: bool,
    start: int,
    workers: int,
    pin: bool,
) -> Iterator[Batch]:
    """Read batches; see `Task.batches`.

    Args:
        rows: The sequences of a split, with their numbers and sources.
        groups: The numbers of the sequences of each batch.
        continuous: Whether the rows of a batch go on where those of the one before end.
        start: The first batch to give.
        workers: The number of processes that read.
        pin: Whether the batches are put in pinned memory.

    Yields:
        Each batch.
    """
    loader: DataLoader[Any] = DataLoader(
        rows,
        batch_sampler=(groups[number] for number in range(start, len(groups))),
        num_workers=workers,
        collate_fn=pad,
        pin_memory=pin,
        generator=torch.Generator(),  # else it would draw from the one that dropout draws from
    )
    for number, batch in enumerate(loader, start):
        yield replace(batch, fresh=number == 0 or not continuous)


def pad(rows: list[Row]) -> Batch:
    """Put sequences into one batch.

    Args:
        rows: Their numbers, inputs, targets and sources.

    Returns:
        The batch.
    """
    numbers, x, target, sources = zip(*rows, strict=True)
    given = [source for source in sources if source is not None]
    return Batch(
        pad_sequence(list(x), batch_first=True),
        pad_sequence(list(target), batch_first=True),
        torch.tensor([len(row) for row in x]),
        torch.tensor(numbers),
        pad_sequence(given, batch_first=True) if given else None,
        torch.tensor([len(row) for row in given]) if given else None,
    )
