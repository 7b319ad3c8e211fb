"""The memory curve: what a model keeps of its metric when it sees only the last k inputs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from unrecur.certificates.certificate import Certificate
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import valid_steps
from unrecur.data.task import Batch, Split, Task
from unrecur.train.evaluate import EVALUATION_BATCH, Scores, batch_losses
from unrecur.truncation.bound import output_bound
from unrecur.truncation.window import Window


@dataclass(frozen=True)
class MemoryPoint:
    """A model on its last k inputs, beside the same model on all of them.

    Attributes:
        k: The length of the window.
        scores: The losses of the truncated model.
        error_median: The median over steps of the largest difference of any output.
        error_max: The largest difference of any output at any step.
        bound: The proved bound on that; None where nothing is proved.
    """

    k: int
    scores: Scores
    error_median: float
    error_max: float
    bound: float | None


def windows_of(longest: int) -> list[int]:
    """List the windows of a memory curve: powers of 2, the last one as long as any sequence.

    Args:
        longest: The length of the longest sequence.

    Returns:
        The window lengths.

    Example:
        >>> windows_of(5)
        [1, 2, 4, 8]
    """
    return [2**power for power in range((longest - 1).bit_length() + 1)]


@dataclass(frozen=True)
class Sight:
    """A model's outputs on a split, ready to be compared with those of its windows.

    Attributes:
        model: The model.
        task: The task.
        batches: The sequences of the split, each exactly once.
        full: The model's outputs on them.
    """

    model: AbstractSequenceModel
    task: Task
    batches: list[Batch]
    full: list[Tensor]

    @torch.no_grad()
    def point(self, k: int, certificate: Certificate | None = None) -> MemoryPoint:
        """Measure the model on windows of k inputs.

        Args:
            k: The length of the window.
            certificate: The model's certificate, for the bound beside the error.

        Returns:
            The point.
        """
        window, device = Window(self.model, k), self.full[0].device
        count = sum(len(batch.index) for batch in self.batches)
        loss, steps = torch.zeros(count, dtype=torch.float64), torch.zeros(count, dtype=torch.long)
        errors = []
        for batch, y in zip(self.batches, self.full, strict=True):
            short, _ = window(batch.x.to(device))
            valid = valid_steps(batch.lengths.to(device), y.shape[1])
            errors.append((short - y).abs().amax(-1)[valid].cpu())
            loss[batch.index] = batch_losses(self.task, short, batch).cpu()
            steps[batch.index] = batch.lengths
        error = torch.cat(errors)
        bound = math.inf if certificate is None else output_bound(self.model, certificate, k)
        return MemoryPoint(
            k,
            Scores(loss, steps),
            float(error.median()),
            float(error.max()),
            bound if math.isfinite(bound) else None,
        )


@torch.no_grad()
def sight(model: AbstractSequenceModel, task: Task, split: Split) -> Sight:
    """Run a model over a split.

    Args:
        model: A causal model, in evaluation mode.
        task: The task.
        split: The split.

    Returns:
        The model with its outputs.
    """
    device = next(model.parameters()).device
    batches = list(task.batches(split, EVALUATION_BATCH))
    return Sight(model, task, batches, [model(batch.x.to(device))[0] for batch in batches])


def memory_curve(
    model: AbstractSequenceModel,
    task: Task,
    split: Split = "test",
    certificate: Certificate | None = None,
) -> Iterator[MemoryPoint]:
    """Measure a model on windows of k = 1, 2, 4, ... inputs, up to the longest sequence.

    Args:
        model: A causal model, in evaluation mode.
        task: The task it was trained on.
        split: The split to measure on.
        certificate: The model's certificate, for the bound beside the error.

    Yields:
        One point for each k.
    """
    seen = sight(model, task, split)
    for k in windows_of(max(len(x) for x, _ in task.splits[split])):
        yield seen.point(k, certificate)
