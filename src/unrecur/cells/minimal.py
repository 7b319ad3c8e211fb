"""What minGRU and minLSTM share: the state is the output, and the candidate has two forms."""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur import _check
from unrecur.cells.affine import AbstractInputGatedCell

Activation = Literal["linear", "positive"]


class AbstractMinimalCell(AbstractInputGatedCell):
    """A cell that moves its state towards a candidate g(n), n a linear map of the input.

    g is the identity in the plain form; in the logarithmic form it is n + 1/2 for n >= 0 and
    sigmoid(n) below, so that states that start positive stay so (Feng et al. 2024, appendix B.3).

    Args:
        input_size: The number of input features D.
        hidden_size: The number of units H.
        activation: g: "linear" or "positive".
        bias: Whether there are biases.
        device: Where the weights live.
        dtype: Their type.

    Raises:
        InputError: A size is below 1, or the activation unknown.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        activation: Activation = "linear",
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        _check.known_name(activation, get_args(Activation), "activation")
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.activation = activation

    @property
    def state_size(self) -> int:
        """As many numbers as units."""
        return self.hidden_size

    def readout(self, h: Float[Tensor, "*B S"]) -> Float[Tensor, "*B H"]:
        """Show the whole state."""
        return h

    def candidate(self, n: Float[Tensor, "*B H"]) -> Float[Tensor, "*B H"]:
        """Apply g.

        Args:
            n: The candidate's part of the projection.

        Returns:
            The candidate.
        """
        if self.activation == "linear":
            return n
        return torch.relu(n) + torch.sigmoid(-torch.relu(-n))  # sigmoid(0) is the 1/2
