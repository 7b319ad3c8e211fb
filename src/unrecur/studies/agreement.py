"""How near two models are in what they say."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from unrecur.core.model import AbstractSequenceModel
from unrecur.data.running import predictions
from unrecur.data.sequences import known_steps
from unrecur.data.task import Task
from unrecur.studies.taught import BERNOULLI, CATEGORICAL


@dataclass(frozen=True)
class Agreement:
    """How near two models are on the steps of the test split that count.

    Attributes:
        decisions: The share of equal decisions: of the likeliest class, or of which of zero and one
            is likelier; None where nothing is decided.
        root_mean_square: Of the differences of their probabilities, or of their outputs where these
            are no scores.
        largest: The largest of these differences.
    """

    decisions: float | None
    root_mean_square: float
    largest: float


def agreement(
    teacher: AbstractSequenceModel, student: AbstractSequenceModel, task: Task
) -> Agreement:
    """Measure how near two models are on the test split.

    Args:
        teacher: The one.
        student: The other.
        task: The task.

    Returns:
        Their agreement.
    """
    equal = decided = numbers = 0
    squares = largest = 0.0
    for ours, theirs in _outputs(teacher, student, task):
        if task.step_loss in CATEGORICAL:
            equal += int((ours.argmax(-1) == theirs.argmax(-1)).sum())
            decided += len(ours)
            ours, theirs = ours.softmax(-1), theirs.softmax(-1)
        elif task.step_loss in BERNOULLI:
            equal += int(((ours > 0) == (theirs > 0)).sum())
            decided += ours.numel()
            ours, theirs = ours.sigmoid(), theirs.sigmoid()
        gap = (ours - theirs).abs().double()
        numbers += gap.numel()
        squares += float(gap.square().sum())
        largest = max(largest, float(gap.max()))
    return Agreement(equal / decided if decided else None, math.sqrt(squares / numbers), largest)


def _outputs(
    teacher: AbstractSequenceModel, student: AbstractSequenceModel, task: Task
) -> Iterator[tuple[Tensor, Tensor]]:
    """Give the outputs of two models at the steps of each test sequence that count, if any does."""
    runs = [predictions(model, task, "test", streams=1) for model in (teacher, student)]
    for (number, ours), (_, theirs) in zip(*runs, strict=True):
        known = known_steps(task.pair("test", number)[1])
        if known.any():
            yield ours[known], theirs[known]
