"""The minimal GRU whose gate reads the input alone."""

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur.cells.minimal import AbstractMinimalCell


class MinGRU(AbstractMinimalCell):
    """The minGRU, in its plain or its logarithmic form.

    z = sigmoid(W_z x + b_z), n = g(W_n x + b_n), stacked as z, n; h' = (1 - z) h + z n, state h
    (Feng, Tung, Ahmed, Bengio, Hajimirsadeghi, Were RNNs All We Needed?, 2024).

    Args:
        input_size: The number of input features D.
        hidden_size: The number of units H.
        activation: g: "linear", as in the paper's plain form, or "positive", as in its logarithmic
            one (see `AbstractMinimalCell`).
        bias: Whether there are biases.
        device: Where the weights live.
        dtype: Their type.

    Raises:
        InputError: A size is below 1, or the activation unknown.

    Example:
        >>> import torch
        >>> cell = MinGRU(3, 4)
        >>> cell.phi(cell.init_state(2), torch.randn(2, 3)).shape
        torch.Size([2, 4])
    """

    @property
    def gates(self) -> int:
        """Update gate and candidate."""
        return 2

    def coefficients(
        self, x: Float[Tensor, "*B D"]
    ) -> tuple[Float[Tensor, "*B S"], Float[Tensor, "*B S"]]:
        """Give 1 - z and z n; see `AbstractAffineCell.coefficients`."""
        z, n = self.projection(x).chunk(2, -1)
        z = torch.sigmoid(z)
        return 1 - z, z * self.candidate(n)
