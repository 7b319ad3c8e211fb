"""Figures beside the loss, in units that people know."""

import math

from unrecur.core.model import AbstractSequenceModel
from unrecur.data.running import predictions
from unrecur.data.task import Score as Score
from unrecur.data.task import Split, Task, known_steps

LARGEST_EXPONENT = 700.0  # above, exp is no finite number


def _perplexity(model: AbstractSequenceModel, task: Task, split: Split, metric: float) -> float:
    """Give exp of the mean negative log-likelihood in nats."""
    return math.exp(min(metric, LARGEST_EXPONENT))


def _accuracy(model: AbstractSequenceModel, task: Task, split: Split, metric: float) -> float:
    """Give the share of counted steps at which the class of the largest score is the target."""
    right = steps = 0
    for number, y in predictions(model, task, split):
        _, target = task.pair(split, number)
        known = known_steps(target)
        right += int((y.argmax(-1) == target)[known].sum())
        steps += int(known.sum())
    return right / steps


perplexity = Score("perplexity", "", "lower", _perplexity)
accuracy = Score("accuracy", "", "higher", _accuracy)
