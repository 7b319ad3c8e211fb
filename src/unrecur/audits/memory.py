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
    batches = list(task.batches(split, EVALUATION_BATCH))
    device = next(model.parameters()).device
    with torch.no_grad():
        full = [model(batch.x.to(device))[0] for batch in batches]
    for k in windows_of(max(len(x) for x, _ in task.splits[split])):
        yield memory_point(model, task, batches, full, k, certificate)


@torch.no_grad()
def memory_point(
    model: AbstractSequenceModel,
    task: Task,
    batches: list[Batch],
    full: list[Tensor],
    k: int,
    certificate: Certificate | None = None,
) -> MemoryPoint:
    """Measure a model on windows of k inputs.

    Args:
        model: The model, in evaluation mode.
        task: The task.
        batches: The sequences of a split, each exactly once.
        full: The outputs of the whole model on them.
        k: The length of the window.
        certificate: The model's certificate.

    Returns:
        The point.
    """
    window, device = Window(model, k), full[0].device
    count = sum(len(batch.index) for batch in batches)
    loss, steps = torch.zeros(count, dtype=torch.float64), torch.zeros(count, dtype=torch.long)
    errors = []
    for batch, y in zip(batches, full, strict=True):
        short, _ = window(batch.x.to(device))
        valid = valid_steps(batch.lengths.to(device), y.shape[1])
        errors.append((short - y).abs().amax(-1)[valid].cpu())
        loss[batch.index] = batch_losses(task, short, batch).cpu()
        steps[batch.index] = batch.lengths
    error = torch.cat(errors)
    bound = math.inf if certificate is None else output_bound(model, certificate, k)
    return MemoryPoint(
        k,
        Scores(loss, steps),
        float(error.median()),
        float(error.max()),
        bound if math.isfinite(bound) else None,
    )
