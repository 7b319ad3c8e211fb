"""The minimal gated unit."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear

from unrecur.cells.gated import AbstractHiddenCell


class MGU(AbstractHiddenCell):
    """The minimal gated unit: a GRU with one gate for both update and reset.

    f = sigmoid(W_f x + b_f + W'_f h + b'_f), n = tanh(W_n x + b_n + W'_n (f h) + b'_n), stacked as
    f, n; h' = (1 - f) h + f n, state h (Zhou, Wu, Zhang, Zhou 2016, equations 5 to 7). Torch has
    no fused kernel for it.

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
        >>> cell = MGU(3, 4)
        >>> cell.phi(cell.init_state(2), torch.randn(2, 3)).shape
        torch.Size([2, 4])
    """

    @property
    def gates(self) -> int:
        """Forget gate and candidate."""
        return 2

    def phi(self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B S"]:
        """Advance the state; see `AbstractCell.phi`."""
        f, n = self.activations(h, x)
        return (1 - f) * h + f * n

    def jacobian(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> Float[Tensor, "*B S S"]:
        """Give dh'/dh; see `AbstractCell.jacobian`."""
        # diag(1-f) + diag((n-h) f(1-f)) W'_f
        # + diag(f (1-n^2)) W'_n (diag(f) + diag(h f(1-f)) W'_f).
        f, n = self.activations(h, x)
        w_f, w_n = self.weight_hh_l0.chunk(2)
        gate_slope = f * (1 - f)
        gated_by_hidden = torch.diag_embed(f) + (h * gate_slope)[..., None] * w_f
        return (
            torch.diag_embed(1 - f)
            + ((n - h) * gate_slope)[..., None] * w_f
            + (f * (1 - n.square()))[..., None] * (w_n @ gated_by_hidden)
        )

    def activations(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> tuple[Tensor, Tensor]:
        """Give the gates of one step.

        Args:
            h: The state.
            x: The input.

        Returns:
            f and n.
        """
        f_x, n_x = self.from_input(x).chunk(2, -1)
        w_f, w_n = self.weight_hh_l0.chunk(2)
        b_f, b_n = (None, None) if self.bias_hh_l0 is None else self.bias_hh_l0.chunk(2)
        f = torch.sigmoid(f_x + linear(h, w_f, b_f))
        return f, torch.tanh(n_x + linear(f * h, w_n, b_n))
