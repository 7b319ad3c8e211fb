"""Long short-term memory, with the flat state [c, h]."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrecur.cells.gated import AbstractTorchCell
from unrecur.cells.kernel import run_kernel


class LSTM(AbstractTorchCell):
    """Long short-term memory, `torch.nn.LSTM`'s.

    i, f, o = sigmoid(W x + b + W' h + b'), g = tanh(...), gates stacked as i, f, g, o;
    c' = f c + i g, h' = o tanh(c'); state [c, h], output h
    (Hochreiter and Schmidhuber 1997; forget gate: Gers, Schmidhuber, Cummins 2000).

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
        >>> cell = LSTM(3, 4)
        >>> cell.load_state_dict(torch.nn.LSTM(3, 4).state_dict())
        <All keys matched successfully>
        >>> cell.phi(cell.init_state(2), torch.randn(2, 3)).shape
        torch.Size([2, 8])
    """

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
        cell, _ = h.chunk(2, -1)
        i, f, g, o = self.activations(h, x)
        new = f * cell + i * g
        return torch.cat([new, o * torch.tanh(new)], -1)

    def jacobian(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> Float[Tensor, "*B S S"]:
        """Give d [c', h'] / d [c, h]; see `AbstractCell.jacobian`."""
        # dc'/dc = diag(f), dc'/dh = diag(c f(1-f)) W_f + diag(g i(1-i)) W_i + diag(i (1-g^2)) W_g,
        # and, with s = o (1 - tanh(c')^2): dh'/dc = diag(s f),
        # dh'/dh = diag(s) dc'/dh + diag(tanh(c') o(1-o)) W_o.
        cell, _ = h.chunk(2, -1)
        i, f, g, o = self.activations(h, x)
        w_i, w_f, w_g, w_o = self.weight_hh_l0.chunk(4)
        shown = torch.tanh(f * cell + i * g)
        slope = o * (1 - shown.square())
        cell_by_hidden = (
            (cell * f * (1 - f))[..., None] * w_f
            + (g * i * (1 - i))[..., None] * w_i
            + (i * (1 - g.square()))[..., None] * w_g
        )
        hidden_by_hidden = (
            slope[..., None] * cell_by_hidden + (shown * o * (1 - o))[..., None] * w_o
        )
        by_cell = torch.cat([torch.diag_embed(f), torch.diag_embed(slope * f)], -2)
        by_hidden = torch.cat([cell_by_hidden, hidden_by_hidden], -2)
        return torch.cat([by_cell, by_hidden], -1)

    def activations(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give the gates of one step.

        Args:
            h: The state.
            x: The input.

        Returns:
            i, f, g, o.
        """
        i, f, g, o = (self.from_input(x) + self.from_hidden(self.readout(h))).chunk(4, -1)
        return torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)

    def fused(
        self,
        x: Float[Tensor, "B T D"] | Float[Tensor, "N D"],
        h: Float[Tensor, "B S"],
        batch_sizes: Int[Tensor, " T"] | None = None,
    ) -> tuple[Float[Tensor, "B T H"] | Float[Tensor, "N H"], Float[Tensor, "B S"]]:
        """Run `torch.lstm`; see `AbstractCell.fused`."""
        cell, hidden = (part[None].contiguous() for part in h.chunk(2, -1))
        y, hidden, cell = run_kernel(torch.lstm, self.weights, x, (hidden, cell), batch_sizes)
        return y, torch.cat([cell[0], hidden[0]], -1)
