"""A model's metric on a split, sequence by sequence."""

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import valid_steps
from unrecur.data.task import Batch, Split, Task

EVALUATION_BATCH = 64


@dataclass(frozen=True)
class Scores:
    """The losses of a split, summed over each sequence.

    Attributes:
        loss: The sum of the step losses of each sequence.
        steps: The number of steps of each sequence.
    """

    loss: Float64[Tensor, " N"]
    steps: Int64[Tensor, " N"]

    @property
    def metric(self) -> float:
        """The mean over all steps of the split."""
        return float(self.loss.sum() / self.steps.sum())


def batch_losses(task: Task, y: Tensor, batch: Batch) -> Float64[Tensor, " B"]:
    """Sum the step losses of each row over its valid part.

    Args:
        task: The task.
        y: The scores [batch, time, scores].
        batch: What they were computed on.

    Returns:
        One sum a row.
    """
    losses = task.step_loss(y, batch.target.to(y.device))
    valid = valid_steps(batch.lengths.to(y.device), y.shape[1])
    return torch.where(valid, losses, 0).sum(1).double()


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
    device = next(model.parameters()).device
    count = len(task.splits[split])
    loss = torch.zeros(count, dtype=torch.float64)
    steps = torch.zeros(count, dtype=torch.long)
    for batch in task.batches(split, EVALUATION_BATCH):
        # The zeros of the padding come after the valid part, which a causal model does not see.
        y, _ = model(batch.x.to(device))
        loss[batch.index] = batch_losses(task, y, batch).cpu()
        steps[batch.index] = batch.lengths
    return Scores(loss, steps)
