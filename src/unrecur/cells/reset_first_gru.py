"""The gated recurrent unit that resets the state before the matrix product."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear

from unrecur.cells.gated import AbstractHiddenCell


class ResetFirstGRU(AbstractHiddenCell):
    """The GRU that resets the state before the matrix product, as Cho et al. (2014) wrote it.

    r, z = sigmoid(W x + b + W' h + b'), n = tanh(W_n x + b_n + W'_n (r h) + b'_n), gates stacked
    as r, z, n; h' = (1 - z) n + z h, state h. It is Keras's `reset_after=False` and ONNX's
    `linear_before_reset=0`; torch resets after the product. Torch has no fused kernel for it.

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
        >>> cell = ResetFirstGRU(3, 4)
        >>> cell.phi(cell.init_state(2), torch.randn(2, 3)).shape
        torch.Size([2, 4])
    """

    @property
    def gates(self) -> int:
        """Reset, update, candidate."""
        return 3

    def phi(self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B S"]:
        """Advance the state; see `AbstractCell.phi`."""
        _, z, n = self.activations(h, x)
        return (1 - z) * n + z * h

    def jacobian(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> Float[Tensor, "*B S S"]:
        """Give dh'/dh; see `AbstractCell.jacobian`."""
        # diag(z) + diag((h-n) z(1-z)) W'_z
        # + diag((1-z)(1-n^2)) W'_n (diag(r) + diag(h r(1-r)) W'_r).
        r, z, n = self.activations(h, x)
        w_r, w_z, w_n = self.weight_hh_l0.chunk(3)
        kept_by_hidden = torch.diag_embed(r) + (h * r * (1 - r))[..., None] * w_r
        return (
            torch.diag_embed(z)
            + ((h - n) * z * (1 - z))[..., None] * w_z
            + ((1 - z) * (1 - n.square()))[..., None] * (w_n @ kept_by_hidden)
        )

    def activations(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Give the gates of one step.

        Args:
            h: The state.
            x: The input.

        Returns:
            r, z and n.
        """
        r_x, z_x, n_x = self.from_input(x).chunk(3, -1)
        w_r, w_z, w_n = self.weight_hh_l0.chunk(3)
        b_r, b_z, b_n = (None,) * 3 if self.bias_hh_l0 is None else self.bias_hh_l0.chunk(3)
        r = torch.sigmoid(r_x + linear(h, w_r, b_r))
        z = torch.sigmoid(z_x + linear(h, w_z, b_z))
        return r, z, torch.tanh(n_x + linear(r * h, w_n, b_n))
