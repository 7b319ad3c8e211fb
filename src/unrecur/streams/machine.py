"""What a stream runs: blocks in, the outputs that can be given out, the state passed."""

from abc import ABC, abstractmethod
from collections.abc import Hashable
from fractions import Fraction

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from unrecur.core.state import State


class AbstractHeld(ABC):
    """A step form that holds its state, and may change it in place.

    It is for one stream that goes on step by step; `load` and `state` take the state in and out.
    """

    @abstractmethod
    def load(self, state: State) -> None:
        """Take a state; it is copied wherever it will be changed.

        Args:
            state: The state before the next step.
        """

    @abstractmethod
    def __call__(self, x_t: Shaped[Tensor, "B ..."]) -> Shaped[Tensor, "B E"]:
        """Run one step.

        Args:
            x_t: The inputs of one step.

        Returns:
            The outputs; they may be changed by the next step.
        """

    @abstractmethod
    def state(self) -> State:
        """Give the state, as tensors of its own."""


class AbstractMachine(ABC):
    """A model in the form in which it is streamed.

    Attributes:
        in_features: How many features it reads.
        out_features: How many it gives.
        takes_tokens: Whether it reads token ids instead.
        output_ratio: How many outputs there are to an input.
        latency: How many inputs after its own place an output comes.
        dtype: The type of the inputs that are no tokens.
        device: Where it runs.
    """

    in_features: int
    out_features: int
    takes_tokens: bool = False
    output_ratio: Fraction = Fraction(1)
    latency: int = 0
    dtype: torch.dtype = torch.float32
    device: torch.device = torch.device("cpu")

    @property
    @abstractmethod
    def identity(self) -> str:
        """What no other model has, but the same one again: a SHA-256."""

    @abstractmethod
    def init_state(self, batch: int) -> State:
        """Make the state before the first input.

        Args:
            batch: The number of rows.

        Returns:
            A tree of tensors, batch first, of one shape at all times.
        """

    @abstractmethod
    def feed(
        self, x: Shaped[Tensor, "B T ..."], state: State
    ) -> tuple[Float[Tensor, "B N E"], State]:
        """Take a block, of at least one step.

        Args:
            x: The inputs; all rows stand at the same place.
            state: The state before them.

        Returns:
            The outputs that can be given by now, perhaps none, and the state after the block.
        """

    @abstractmethod
    def end(self, x: Shaped[Tensor, "B T ..."], state: State) -> Float[Tensor, "B N E"]:
        """Take the last block, perhaps of no step.

        Args:
            x: The inputs.
            state: The state before them.

        Returns:
            All outputs still to come.
        """

    def outputs(self, come: int) -> int:
        """Count the outputs of a stream under way.

        Args:
            come: How many inputs have come.

        Returns:
            How many outputs have been given: one for each input, if a machine does not say else.
        """
        return come * self.output_ratio.numerator // self.output_ratio.denominator

    def place(self, come: int) -> Hashable:
        """Name where a stream stands; streams at the same place can be run in one batch.

        Args:
            come: How many inputs have come.

        Returns:
            The place: the same at all times, if a machine does not say else.
        """
        return 0

    def held(self, batch: int) -> AbstractHeld | None:
        """Make the form for single steps.

        Args:
            batch: The number of rows.

        Returns:
            The form; None where single steps are blocks as any.
        """
        return None

    def no_inputs(self, batch: int) -> Shaped[Tensor, "B 0 ..."]:
        """Make the empty block.

        Args:
            batch: The number of rows.

        Returns:
            The block.
        """
        if self.takes_tokens:
            return torch.zeros(batch, 0, dtype=torch.long, device=self.device)
        return torch.zeros(batch, 0, self.in_features, dtype=self.dtype, device=self.device)

    def no_outputs(self, batch: int) -> Float[Tensor, "B 0 E"]:
        """Give no output, in the right shape.

        Args:
            batch: The number of rows.

        Returns:
            An empty block.
        """
        return torch.zeros(batch, 0, self.out_features, dtype=self.dtype, device=self.device)
