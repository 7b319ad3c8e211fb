"""A model's metric on a split, sequence by sequence."""

from collections.abc import Collection
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from unrecur.core.model import AbstractSequenceModel
from unrecur.data.losses import counted
from unrecur.data.running import Rows, blocks_of
from unrecur.data.sequences import Split
from unrecur.data.task import OutputScore, Tally, Task


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


def evaluate(
    model: AbstractSequenceModel, task: Task, split: Split, tallies: Collection[Tally] = ()
) -> Scores:
    """Score a model on a split.

    Args:
        model: The model; put into evaluation mode.
        task: The task.
        split: Which split.
        tallies: Take what the model gives while it runs.

    Returns:
        The losses of each sequence, in the split's order, on the CPU.
    """
    count = len(task.splits[split])
    loss = torch.zeros(count, dtype=torch.float64)
    steps = torch.zeros(count, dtype=torch.long)
    rows = Rows()
    for batch, part, y in blocks_of(model, task, split):
        left = (batch.lengths - part.start).clamp(min=0)
        losses, counts = summed_losses(task, y, batch.target[:, part], left)
        loss[batch.index] += losses.cpu()
        steps[batch.index] += counts.cpu()
        if tallies:
            for row in rows.add(batch, part, y):
                for tally in tallies:
                    tally.add(*row)
    return Scores(loss, steps)


def figures(
    model: AbstractSequenceModel, task: Task, split: Split
) -> tuple[Scores, dict[str, float]]:
    """Score a model on a split by its loss and by all scores of the task, in one run.

    Only scores that need more than the model's outputs for the split, as BLEU of translations, run
    it again.

    Args:
        model: The model; put into evaluation mode.
        task: The task.
        split: Which split.

    Returns:
        The losses, and the scores by their names, in the task's order.
    """
    tallies = {
        name: score.tally(task, split)
        for name, score in task.scores.items()
        if isinstance(score, OutputScore)
    }
    found = evaluate(model, task, split, tallies.values())
    return found, {
        name: tallies[name].value()
        if isinstance(score, OutputScore)
        else score.compute(model, task, split, found.metric)
        for name, score in task.scores.items()
    }
