"""What the cells with a memory of their own share: the LSTM, with peepholes or a projection."""

from abc import abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import linear

from unrecur.cells.gated import AbstractTorchCell
from unrecur.cells.kernel import run_kernel


class AbstractMemoryCell(AbstractTorchCell):
    """A cell with a memory c beside its output h: c' = f c + i g, h' = W_r (o tanh(c')).

    The state is [c, h]; the gates are stacked as i, f, g, o. W_r is the identity where the cell has
    no projection, and then h has as many numbers as c.
    """

    @property
    def gates(self) -> int:
        """Input, forget, candidate, output."""
        return 4

    @property
    def state_size(self) -> int:
        """Memory and output."""
        return self.memory_size + self.hidden_size

    @property
    def peepholes(self) -> tuple[Tensor | float, Tensor | float, Tensor | float]:
        """How the input, forget and output gate see the memory, number by number: not at all."""
        return 0.0, 0.0, 0.0

    @abstractmethod
    def activations(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Give the gates of one step.

        Args:
            h: The state.
            x: The input.

        Returns:
            i, f, g, o, and the new memory c'.
        """

    def split(self, h: Float[Tensor, "*B S"]) -> tuple[Tensor, Tensor]:
        """Cut a state into its memory and its output.

        Args:
            h: The state.

        Returns:
            c and h.
        """
        return h[..., : self.memory_size], h[..., self.memory_size :]

    def readout(self, h: Float[Tensor, "*B S"]) -> Float[Tensor, "*B H"]:
        """Show the output part of the state."""
        return self.split(h)[1]

    def phi(self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B S"]:
        """Advance the state; see `AbstractCell.phi`."""
        *_, o, new = self.activations(h, x)
        shown = o * torch.tanh(new)
        if self.weight_hr_l0 is not None:
            shown = linear(shown, self.weight_hr_l0)
        return torch.cat([new, shown], -1)

    def jacobian(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> Float[Tensor, "*B S S"]:
        """Give d [c', h'] / d [c, h]; see `AbstractCell.jacobian`."""
        # dc'/dc = diag(f + c f(1-f) p_f + g i(1-i) p_i),
        # dc'/dh = diag(c f(1-f)) W_f + diag(g i(1-i)) W_i + diag(i (1-g^2)) W_g, and, with
        # t = tanh(c') and s = o (1 - t^2) + t o(1-o) p_o: dh'/dc = W_r diag(s) dc'/dc,
        # dh'/dh = W_r (diag(s) dc'/dh + diag(t o(1-o)) W_o).
        memory, _ = self.split(h)
        i, f, g, o, new = self.activations(h, x)
        w_i, w_f, w_g, w_o = self.weight_hh_l0.chunk(4)
        p_i, p_f, p_o = self.peepholes
        by_i, by_f = g * i * (1 - i), memory * f * (1 - f)
        shown = torch.tanh(new)
        by_o = shown * o * (1 - o)
        slope = o * (1 - shown.square()) + by_o * p_o
        memory_by_memory = f + by_f * p_f + by_i * p_i
        memory_by_output = (
            by_f[..., None] * w_f + by_i[..., None] * w_i + (i * (1 - g.square()))[..., None] * w_g
        )
        output_by_memory = torch.diag_embed(slope * memory_by_memory)
        output_by_output = slope[..., None] * memory_by_output + by_o[..., None] * w_o
        if self.weight_hr_l0 is not None:
            output_by_memory = self.weight_hr_l0 * (slope * memory_by_memory)[..., None, :]
            output_by_output = self.weight_hr_l0 @ output_by_output
        by_memory = torch.cat([torch.diag_embed(memory_by_memory), output_by_memory], -2)
        by_output = torch.cat([memory_by_output, output_by_output], -2)
        return torch.cat([by_memory, by_output], -1)


def plain_gates(
    cell: AbstractMemoryCell, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Give the gates of one step of a cell without peepholes.

    Args:
        cell: The cell.
        h: The state.
        x: The input.

    Returns:
        i, f, g, o, and the new memory c'.
    """
    memory, shown = cell.split(h)
    i, f, g, o = (cell.from_input(x) + cell.from_hidden(shown)).chunk(4, -1)
    i, f, g = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g)
    return i, f, g, torch.sigmoid(o), f * memory + i * g


def run_fused(
    cell: AbstractMemoryCell,
    x: Float[Tensor, "B T D"] | Float[Tensor, "N D"],
    h: Float[Tensor, "B S"],
    batch_sizes: Int[Tensor, " T"] | None,
) -> tuple[Float[Tensor, "B T H"] | Float[Tensor, "N H"], Float[Tensor, "B S"]]:
    """Run `torch.lstm` for a cell without peepholes; see `AbstractCell.fused`.

    Args:
        cell: The cell.
        x: A block, or the data of a `PackedSequence`.
        h: The state before it.
        batch_sizes: Those of the `PackedSequence`; None for a block.

    Returns:
        The outputs at every step and the last state.
    """
    memory, shown = (part[None].contiguous() for part in cell.split(h))
    y, shown, memory = run_kernel(torch.lstm, cell.weights, x, (shown, memory), batch_sizes)
    return y, torch.cat([memory[0], shown[0]], -1)
