"""The floors: what a model without memory reaches on frames of zeros and ones.

Both are fitted in closed form by counting. A sequence model that does not beat them has learnt
nothing about time.
"""

from abc import abstractmethod
from collections.abc import Iterable

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from unrecur import _check
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, zero_padding


class AbstractFloor(AbstractSequenceModel):
    """A model of the present frame alone, with fitted log-odds and no gradient.

    Args:
        in_features: The number of features of a frame.
    """

    def __init__(self, *, in_features: int) -> None:
        super().__init__()
        _check.positive_integer(in_features, "in_features")
        self.in_features = self.out_features = in_features
        self.logits = nn.Parameter(torch.zeros(self.rows, in_features), requires_grad=False)

    @property
    @abstractmethod
    def rows(self) -> int:
        """How many log-odds there are for each feature."""

    @abstractmethod
    def fit(self, sequences: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set the log-odds by counting.

        Args:
            sequences: Pairs of inputs and targets, each [time, features] of zeros and ones.
        """

    @abstractmethod
    def scores(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Give the log-odds of each feature being 1 in the next frame.

        Args:
            x: Frames.

        Returns:
            The log-odds.
        """

    @property
    def receptive_field(self) -> Field:
        """The present input at the most."""
        return Field()

    def init_state(self, batch: int) -> State:
        """Make the empty state."""
        return ()

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        _check.block(x, self.in_features)
        return self.scores(zero_padding(x, lengths)), ()

    def step(
        self, x_t: Float[Tensor, "B D"], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        _check.frame(x_t, self.in_features)
        return self.scores(x_t), ()


class Frequencies(AbstractFloor):
    """Predict each feature by its frequency: the same scores at every step.

    p_j = (n_j + 1) / (n + 2): counts with Laplace's rule of succession.
    """

    @property
    def rows(self) -> int:
        """One for each feature."""
        return 1

    def fit(self, sequences: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Count the targets; see `AbstractFloor.fit`."""
        on, total = torch.zeros(self.in_features, dtype=torch.float64), 0
        for _, target in sequences:
            on += target.double().sum(0)
            total += len(target)
        self.logits.copy_(torch.logit((on + 1) / (total + 2))[None])

    def scores(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Give the same log-odds at every step."""
        return self.logits[0].expand(x.shape)


class Markov(AbstractFloor):
    """Predict each feature from its own value in the last frame: a chain of two states for each.

    p_j = (n_j(v -> 1) + 1) / (n_j(v) + 2), v the last value (0 or 1).
    """

    @property
    def rows(self) -> int:
        """One for each last value."""
        return 2

    def fit(self, sequences: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Count the transitions; see `AbstractFloor.fit`."""
        total = torch.zeros(2, self.in_features, dtype=torch.float64)
        on = torch.zeros_like(total)
        for last, target in sequences:
            for value, here in enumerate((1 - last.double(), last.double())):
                total[value] += here.sum(0)
                on[value] += (here * target.double()).sum(0)
        self.logits.copy_(torch.logit((on + 1) / (total + 2)))

    def scores(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Blend the two rows of log-odds by the values of the present frame."""
        return self.logits[0] + x * (self.logits[1] - self.logits[0])


def frequencies_parameters(*, in_features: int) -> int:
    """Count the parameters of `Frequencies`: one for each feature.

    Args:
        in_features: The number of features of a frame.

    Returns:
        D.
    """
    return in_features


def markov_parameters(*, in_features: int) -> int:
    """Count the parameters of `Markov`: two for each feature.

    Args:
        in_features: The number of features of a frame.

    Returns:
        2 D.
    """
    return 2 * in_features
