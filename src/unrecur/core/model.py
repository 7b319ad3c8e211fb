"""The sequence model: one function in two forms.

Legend of the shapes, here and everywhere: B batch, T time, D features in, E features out,
S numbers of state.
"""

from abc import ABC, abstractmethod

from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn

from unrecur.core.field import Field
from unrecur.core.state import State


class AbstractSequenceModel(nn.Module, ABC):
    """A map from sequences to sequences, over a whole block or one step at a time.

    Both forms give the same values, gradients and final state; a sequence may be cut into blocks
    anywhere; rows of a batch do not see each other. `tests/contract.py` holds every model of this
    package to that, and `unrecur.check_equivalence` checks it on your own.
    """

    in_features: int
    out_features: int
    takes_tokens: bool = False
    """Whether the inputs are token ids [batch, time] below `in_features`, not features."""

    @property
    @abstractmethod
    def receptive_field(self) -> Field:
        """Which inputs an output can see."""

    @abstractmethod
    def init_state(self, batch: int) -> State:
        """Make the state before the first input, on the device and in the dtype of the weights.

        Args:
            batch: The number of rows.

        Returns:
            A tree of tensors, batch first in each.
        """

    @abstractmethod
    def forward(
        self,
        x: Shaped[Tensor, "B T ..."],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block.

        Args:
            x: The inputs [batch, time, features] (or token ids [batch, time]).
            state: The state before the block; None for the state before the first input.
            lengths: How many steps of each row are valid; None when all are. What the padding
                holds does not matter, and the outputs in it mean nothing.

        Returns:
            The outputs, and the state after each row's own last valid step.
        """

    @abstractmethod
    def step(
        self, x_t: Shaped[Tensor, "B ..."], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one time step.

        Args:
            x_t: The inputs of one step, [batch, features] (or token ids [batch]).
            state: The state before the step; None for the state before the first input.

        Returns:
            The outputs of the step and the state after it.
        """
