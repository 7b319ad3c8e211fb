"""Two cells that other frameworks have and torch has not."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from unrecur.cells.gated import AbstractHiddenCell, AbstractTorchCell


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


class PeepholeLSTM(AbstractTorchCell):
    """Long short-term memory whose gates also see the cell state, ONNX's input `P`.

    i, f = sigmoid(W x + b + W' h + b' + p c), g = tanh(...), c' = f c + i g,
    o = sigmoid(W x + b + W' h + b' + p_o c'), h' = o tanh(c'); gates stacked as i, f, g, o; state
    [c, h], output h (Gers and Schmidhuber 2000). Torch has no fused kernel for it.

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
        >>> cell = PeepholeLSTM(3, 4)
        >>> cell.phi(cell.init_state(2), torch.randn(2, 3)).shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        #: p of the input, forget and output gate, [3 H]
        self.weight_peephole_l0 = nn.Parameter(
            torch.zeros(3 * hidden_size, device=device, dtype=dtype)
        )

    @property
    def gates(self) -> int:
        """Input, forget, candidate, output."""
        return 4

    @property
    def state_size(self) -> int:
        """Cell state and hidden state."""
        return 2 * self.hidden_size

    def readout(self, h: Float[Tensor, "*B S"]) -> Float[Tensor, "*B H"]:
        """Show the hidden half of the state."""
        return h[..., self.hidden_size :]

    def phi(self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B S"]:
        """Advance the state; see `AbstractCell.phi`."""
        *_, o, new = self.activations(h, x)
        return torch.cat([new, o * torch.tanh(new)], -1)

    def jacobian(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> Float[Tensor, "*B S S"]:
        """Give d [c', h'] / d [c, h]; see `AbstractCell.jacobian`."""
        # dc'/dc = diag(f + c f(1-f) p_f + g i(1-i) p_i),
        # dc'/dh = diag(c f(1-f)) W_f + diag(g i(1-i)) W_i + diag(i (1-g^2)) W_g, and, with
        # t = tanh(c') and s = o (1 - t^2) + t o(1-o) p_o: dh'/dc = diag(s) dc'/dc,
        # dh'/dh = diag(s) dc'/dh + diag(t o(1-o)) W_o.
        cell, _ = h.chunk(2, -1)
        i, f, g, o, new = self.activations(h, x)
        w_i, w_f, w_g, w_o = self.weight_hh_l0.chunk(4)
        p_i, p_f, p_o = self.weight_peephole_l0.chunk(3)
        by_i, by_f = g * i * (1 - i), cell * f * (1 - f)
        shown = torch.tanh(new)
        by_o = shown * o * (1 - o)
        slope = o * (1 - shown.square()) + by_o * p_o
        cell_by_cell = f + by_f * p_f + by_i * p_i
        cell_by_hidden = (
            by_f[..., None] * w_f + by_i[..., None] * w_i + (i * (1 - g.square()))[..., None] * w_g
        )
        hidden_by_hidden = slope[..., None] * cell_by_hidden + by_o[..., None] * w_o
        by_cell = [torch.diag_embed(cell_by_cell), torch.diag_embed(slope * cell_by_cell)]
        by_hidden = torch.cat([cell_by_hidden, hidden_by_hidden], -2)
        return torch.cat([torch.cat(by_cell, -2), by_hidden], -1)

    def activations(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Give the gates of one step.

        Args:
            h: The state.
            x: The input.

        Returns:
            i, f, g, o, and the new cell state, which o sees.
        """
        cell, hidden = h.chunk(2, -1)
        i, f, g, o = (self.from_input(x) + self.from_hidden(hidden)).chunk(4, -1)
        p_i, p_f, p_o = self.weight_peephole_l0.chunk(3)
        i, f = torch.sigmoid(i + p_i * cell), torch.sigmoid(f + p_f * cell)
        g = torch.tanh(g)
        new = f * cell + i * g
        return i, f, g, torch.sigmoid(o + p_o * new), new
