"""The cell: one recurrence h' = phi(h, x) with one flat state vector."""

from abc import ABC, abstractmethod

from jaxtyping import Float, Int
from torch import Tensor, nn


class AbstractCell(nn.Module, ABC):
    """A recurrence h' = phi(h, x) with the output readout(h).

    The state is one vector of `state_size` numbers, whatever the cell keeps in it (an LSTM's is
    [c, h]): certificates, truncation, solvers in time and audits need no other shape.
    """

    input_size: int
    hidden_size: int

    @property
    @abstractmethod
    def state_size(self) -> int:
        """How many numbers the flat state holds."""

    @abstractmethod
    def phi(self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B S"]:
        """Advance the state by one input.

        Args:
            h: The state.
            x: The input.

        Returns:
            The next state.
        """

    @abstractmethod
    def readout(self, h: Float[Tensor, "*B S"]) -> Float[Tensor, "*B H"]:
        """Give what the cell shows of its state.

        Args:
            h: The state.

        Returns:
            The output, `hidden_size` numbers.
        """

    @abstractmethod
    def jacobian(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> Float[Tensor, "*B S S"]:
        """Give d phi / d h in closed form.

        Args:
            h: The state.
            x: The input.

        Returns:
            The matrix whose row i is the gradient of the i-th number of the next state.
        """

    def fused(
        self,
        x: Float[Tensor, "B T D"] | Float[Tensor, "N D"],
        h: Float[Tensor, "B S"],
        batch_sizes: Int[Tensor, " T"] | None = None,
    ) -> tuple[Float[Tensor, "B T H"] | Float[Tensor, "N H"], Float[Tensor, "B S"]] | None:
        """Run over a block by torch's fused kernel.

        Args:
            x: A block, or the data of a `PackedSequence`.
            h: The state before it.
            batch_sizes: Those of the `PackedSequence`; None for a block.

        Returns:
            The outputs at every step and the last state; None where torch has no such kernel, as
            here, if a cell does not say otherwise.
        """
        return None

    def init_state(self, batch: int) -> Float[Tensor, "B S"]:
        """Make the state before the first input: zeros.

        Args:
            batch: The number of rows.

        Returns:
            Zeros on the device and in the dtype of the weights.
        """
        return next(self.parameters()).new_zeros(batch, self.state_size)
