"""Figures beside the loss, in units that people know."""

import math

from torch import Tensor

from unrecur.core.model import AbstractSequenceModel
from unrecur.data.sequences import Split, known_steps
from unrecur.data.task import OutputScore, Score, Task

LARGEST_EXPONENT = 700.0  # above, exp is no finite number


def _perplexity(model: AbstractSequenceModel, task: Task, split: Split, metric: float) -> float:
    """Give exp of the mean negative log-likelihood in nats."""
    return math.exp(min(metric, LARGEST_EXPONENT))


class Accuracy:
    """The share of counted steps at which the class of the largest score is the target.

    Args:
        task: Not needed.
        split: Not needed.
    """

    def __init__(self, task: Task, split: Split) -> None:
        self.right = self.steps = 0

    def add(self, number: int, y: Tensor, target: Tensor) -> None:
        """Take one sequence; see `Tally`."""
        known = known_steps(target)
        self.right += int((y.argmax(-1) == target)[known].sum())
        self.steps += int(known.sum())

    def value(self) -> float:
        """Tell the share."""
        return self.right / self.steps


perplexity = Score("perplexity", "", "lower", _perplexity)
accuracy = OutputScore("accuracy", "", "higher", Accuracy)
