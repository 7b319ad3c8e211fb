"""Running a model over a task: state carried, sources read, memory bounded."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur.core.model import AbstractConditionalModel, AbstractSequenceModel
from unrecur.core.state import State, map_state
from unrecur.data.batches import Batch
from unrecur.data.sequences import Split
from unrecur.data.task import Task

EVALUATION_BATCH = 64
STREAMS = 8  # rows that continuous sequences are read in: all but the first begin without a past
LARGEST_OUTPUT = 2**25  # numbers that a model gives at once


def start_state(model: AbstractSequenceModel, batch: Batch, before: State | None) -> State | None:
    """Give the state with which a model begins a batch.

    Args:
        model: The model.
        batch: The batch, on the model's device.
        before: The state after the batch before.

    Returns:
        What the model makes of the sources; the rows of the state before that go on; None for the
        state before the first input.
    """
    if isinstance(model, AbstractConditionalModel) and batch.source is not None:
        return model.encode(batch.source, batch.source_lengths)
    if batch.fresh or before is None:
        return None
    return map_state(lambda leaf: leaf[: len(batch.x)], before)


def lengths_for(model: AbstractSequenceModel, batch: Batch) -> Tensor | None:
    """Give the lengths to a model that could see the padding; to a causal one it is yet to come.

    Args:
        model: The model.
        batch: The batch.

    Returns:
        The lengths, or None.
    """
    return None if model.receptive_field.causal else batch.lengths


def evaluation_batches(
    model: AbstractSequenceModel, task: Task, split: Split, streams: int = STREAMS
) -> Iterator[Batch]:
    """Give a split in batches of a size that is good for evaluation, on the model's device.

    Args:
        model: The model.
        task: The task.
        split: Which split.
        streams: The number of rows that continuous sequences are read in.

    Returns:
        The batches.
    """
    device = next(model.parameters()).device
    longest = int(task.lengths(split).max())
    rows = max(1, LARGEST_OUTPUT // (longest * task.out_features))
    size = min(streams if task.continuous else EVALUATION_BATCH, rows)
    return (batch.to(device) for batch in task.batches(split, size))


def blocks_of(
    model: AbstractSequenceModel, task: Task, split: Split, streams: int = STREAMS
) -> Iterator[tuple[Batch, slice, Float[Tensor, "B T E"]]]:
    """Run a model over a split, without gradients, in blocks of time that keep memory bounded.

    Args:
        model: The model; put into evaluation mode.
        task: The task.
        split: Which split.
        streams: The number of rows that continuous sequences are read in.

    Yields:
        A batch, which of its steps, and the model's outputs there; block after block, batch after
        batch.
    """
    model.eval()
    state: State | None = None
    for batch in evaluation_batches(model, task, split, streams):
        rows, time = batch.x.shape[:2]
        lengths = lengths_for(model, batch)
        size = time if lengths is not None else max(1, LARGEST_OUTPUT // (rows * task.out_features))
        with torch.no_grad():
            state = start_state(model, batch, state)
        for start in range(0, time, size):
            part = slice(start, start + size)
            with torch.no_grad():  # not across a yield, where it would hold for the caller
                y, state = model(batch.x[:, part], state, lengths)
            yield batch, part, y


class Rows:
    """Puts the blocks of a batch together again."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []

    def add(
        self, batch: Batch, part: slice, y: Float[Tensor, "B T E"]
    ) -> Iterator[tuple[int, Float[Tensor, "T E"], Tensor]]:
        """Take a block; see `blocks_of`.

        Args:
            batch: The batch.
            part: Which steps.
            y: The outputs there.

        Yields:
            At the end of a batch, for each row: the number of its sequence, the outputs and the
            targets, on the CPU.
        """
        self.parts.append(y.cpu())
        if part.stop < batch.x.shape[1]:
            return
        y, target = torch.cat(self.parts, 1), batch.target.cpu()
        self.parts.clear()
        for row, (number, length) in enumerate(
            zip(batch.index.tolist(), batch.lengths.tolist(), strict=True)
        ):
            yield number, y[row, :length], target[row, :length]


def predictions(
    model: AbstractSequenceModel, task: Task, split: Split, streams: int = STREAMS
) -> Iterator[tuple[int, Float[Tensor, "T E"]]]:
    """Run a model over a split.

    Args:
        model: The model; put into evaluation mode.
        task: The task.
        split: Which split.
        streams: The number of rows that continuous sequences are read in.

    Yields:
        The number of each sequence and the model's outputs for it, on the CPU, each sequence once.
    """
    rows = Rows()
    for block in blocks_of(model, task, split, streams):
        for number, y, _ in rows.add(*block):
            yield number, y
