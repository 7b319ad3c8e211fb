"""A model's metric on a split, sequence by sequence."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State
from unrecur.data.losses import counted
from unrecur.data.running import evaluation_batches, run_blocks, start_state
from unrecur.data.task import Split, Task


@dataclass(frozen=True)
class Scores:
    """The losses of a split, summed over each sequence.

    Attributes:
        loss: The sum of the step losses of each sequence.
        steps: The number of steps of each sequence that count.
    """

    loss: Float64[Tensor, " N"]
    steps: Int64[Tensor, " N"]

    @property
    def metric(self) -> float:
        """The mean over all steps of the split that count."""
        return float(self.loss.sum() / self.steps.sum())


def summed_losses(
    task: Task, y: Tensor, target: Tensor, lengths: Tensor
) -> tuple[Float64[Tensor, " B"], Int64[Tensor, " B"]]:
    """Sum the step losses of each row over the steps that count.

    Args:
        task: The task.
        y: The scores [batch, time, scores].
        target: The targets, on the same device.
        lengths: How many steps of each row are valid.

    Returns:
        The sum and the number of the steps, for each row.
    """
    losses, counts = counted_losses(task, y, target, lengths)
    return losses.sum(1).double(), counts.sum(1)


def counted_losses(
    task: Task, y: Tensor, target: Tensor, lengths: Tensor
) -> tuple[Float[Tensor, "B T"], Bool[Tensor, "B T"]]:
    """Give the step losses of a block, 0 at the steps that do not count.

    Args:
        task: The task.
        y: The scores [batch, time, scores].
        target: The targets, on the same device.
        lengths: How many steps of each row are valid.

    Returns:
        The losses, and which steps count.
    """
    counts = counted(target, lengths.to(y.device))
    losses = task.step_loss(y, target)
    # Most batches have no padding, and need no mask.
    return losses if counts.all() else torch.where(counts, losses, 0), counts


@torch.no_grad()
def evaluate(model: AbstractSequenceModel, task: Task, split: Split) -> Scores:
    """Score a model on a split.

    Args:
        model: The model; put into evaluation mode.
        task: The task.
        split: Which split.

    Returns:
        The losses of each sequence, in the split's order, on the CPU.
    """
    model.eval()
    count = len(task.splits[split])
    loss = torch.zeros(count, dtype=torch.float64)
    steps = torch.zeros(count, dtype=torch.long)
    state: State | None = None
    for batch in evaluation_batches(model, task, split):
        state = start_state(model, batch, state)
        for part, y, after in run_blocks(model, batch, state):
            left = (batch.lengths - part.start).clamp(min=0)
            losses, counts = summed_losses(task, y, batch.target[:, part], left)
            loss[batch.index] += losses.cpu()
            steps[batch.index] += counts.cpu()
            state = after
    return Scores(loss, steps)
