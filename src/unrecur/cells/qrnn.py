"""The quasi-recurrent network's pooling, with the flat state [c, o]."""

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur.cells.affine import AbstractInputGatedCell


class QRNN(AbstractInputGatedCell):
    """The fo-pooling of the quasi-recurrent network, on filters one input wide.

    z = tanh(W_z x + b_z), f, o = sigmoid(W x + b), stacked as z, f, o; c' = f c + (1 - f) z,
    output h' = o c' (Bradbury, Merity, Xiong, Socher 2016). The state is [c, o], so that the
    recurrence is diagonal and the output, their product, can be read from it: the o of the step
    before is forgotten at once. Wider filters are had by a `CausalConvolution` below.

    Args:
        input_size: The number of input features D.
        hidden_size: The number of units H.
        bias: Whether there are biases.
        device: Where the weights live.
        dtype: Their type.

    Raises:
        InputError: A size is below 1.

    Example:
        >>> import torch
        >>> cell = QRNN(3, 4)
        >>> cell.phi(cell.init_state(2), torch.randn(2, 3)).shape
        torch.Size([2, 8])
    """

    @property
    def gates(self) -> int:
        """Candidate, forget gate, output gate."""
        return 3

    @property
    def state_size(self) -> int:
        """Cell state and output gate."""
        return 2 * self.hidden_size

    def readout(self, h: Float[Tensor, "*B S"]) -> Float[Tensor, "*B H"]:
        """Show o c."""
        cell, o = h.chunk(2, -1)
        return o * cell

    def coefficients(
        self, x: Float[Tensor, "*B D"]
    ) -> tuple[Float[Tensor, "*B S"], Float[Tensor, "*B S"]]:
        """Give [f, 0] and [(1 - f) z, o]; see `AbstractAffineCell.coefficients`."""
        z, f, o = self.projection(x).chunk(3, -1)
        f, o = torch.sigmoid(f), torch.sigmoid(o)
        return (
            torch.cat([f, torch.zeros_like(f)], -1),
            torch.cat([(1 - f) * torch.tanh(z), o], -1),
        )
