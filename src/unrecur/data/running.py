"""Running a model over a task: state carried, sources read, memory bounded."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur.core.model import AbstractConditionalModel, AbstractSequenceModel
from unrecur.core.state import State, map_state
from unrecur.data.batches import Batch
from unrecur.data.task import Split, Task

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


def run_blocks(
    model: AbstractSequenceModel, batch: Batch, state: State | None
) -> Iterator[tuple[slice, Float[Tensor, "B T E"], State]]:
    """Run a model over a batch, in blocks of time that keep memory bounded.

    Args:
        model: The model.
        batch: The batch, on its device.
        state: The state before.

    Yields:
        Which steps, the outputs there, and the state after them.
    """
    rows, time = batch.x.shape[:2]
    lengths = lengths_for(model, batch)
    size = time if lengths is not None else max(1, LARGEST_OUTPUT // (rows * model.out_features))
    for start in range(0, time, size):
        part = slice(start, start + size)
        y, state = model(batch.x[:, part], state, lengths)
        yield part, y, state


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
    model.eval()
    state: State | None = None
    for batch in evaluation_batches(model, task, split, streams):
        outputs = []
        with torch.no_grad():
            state = start_state(model, batch, state)
            for _, y, after in run_blocks(model, batch, state):
                outputs.append(y.cpu())
                state = after
        y = torch.cat(outputs, 1)
        for row, (number, length) in enumerate(
            zip(batch.index.tolist(), batch.lengths.tolist(), strict=True)
        ):
            yield number, y[row, :length]
