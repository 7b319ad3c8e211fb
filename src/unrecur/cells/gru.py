"""The gated recurrent unit."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrecur.cells.gated import AbstractHiddenCell
from unrecur.cells.kernel import run_kernel


class GRU(AbstractHiddenCell):
    """The gated recurrent unit, `torch.nn.GRU`'s (reset gate after the matrix product).

    r, z = sigmoid(W x + b + W' h + b'), n = tanh(W_n x + b_n + r (W'_n h + b'_n)), gates stacked
    as r, z, n; h' = (1 - z) n + z h, state h (Cho et al. 2014).

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
        >>> cell = GRU(3, 4)
        >>> cell.phi(cell.init_state(2), torch.randn(2, 3)).shape
        torch.Size([2, 4])
    """

    @property
    def gates(self) -> int:
        """Reset, update, candidate."""
        return 3

    def phi(self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B S"]:
        """Advance the state; see `AbstractCell.phi`."""
        _, z, n, _ = self.activations(h, x)
        return (1 - z) * n + z * h

    def jacobian(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> Float[Tensor, "*B S S"]:
        """Give dh'/dh; see `AbstractCell.jacobian`."""
        # With m = W'_n h + b'_n: diag(z) + diag((h-n) z(1-z)) W'_z
        # + diag((1-z)(1-n^2)) (diag(m r(1-r)) W'_r + diag(r) W'_n).
        r, z, n, m = self.activations(h, x)
        w_r, w_z, w_n = self.weight_hh_l0.chunk(3)
        slope = (1 - z) * (1 - n.square())
        return (
            torch.diag_embed(z)
            + ((h - n) * z * (1 - z))[..., None] * w_z
            + (slope * m * r * (1 - r))[..., None] * w_r
            + (slope * r)[..., None] * w_n
        )

    def activations(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give the gates of one step.

        Args:
            h: The state.
            x: The input.

        Returns:
            r, z, n, and the candidate's recurrent part m = W'_n h + b'_n.
        """
        r_x, z_x, n_x = self.from_input(x).chunk(3, -1)
        r_h, z_h, m = self.from_hidden(h).chunk(3, -1)
        r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
        return r, z, torch.tanh(n_x + r * m), m

    def fused(
        self,
        x: Float[Tensor, "B T D"] | Float[Tensor, "N D"],
        h: Float[Tensor, "B S"],
        batch_sizes: Int[Tensor, " T"] | None = None,
    ) -> tuple[Float[Tensor, "B T H"] | Float[Tensor, "N H"], Float[Tensor, "B S"]]:
        """Run `torch.gru`; see `AbstractCell.fused`."""
        y, last = run_kernel(torch.gru, self.weights, x, h[None], batch_sizes)
        return y, last[0]
