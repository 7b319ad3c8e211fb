"""Complex diagonal recurrences in real numbers, as runtimes without complex types need them."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear

from unrecur.cells.diagonal import AbstractDiagonalCell
from unrecur.core.cell import AbstractCell


class RealDiagonal(AbstractCell):
    """A diagonal recurrence over complex numbers, written with pairs of reals.

    With h = p + i q, lambda = a + i b and u + i v = B x,

        p' = a p - b q + u,  q' = a q + b p + v,  y = C [p, q],

    on the same flat state [Re h, Im h] as the cell it is made of. The maps are computed once.

    Args:
        cell: An `LRU` or a `DiagonalSSM`.
    """

    real: Tensor
    imaginary: Tensor
    input_map: Tensor
    output_map: Tensor

    @torch.no_grad()
    def __init__(self, cell: AbstractDiagonalCell) -> None:
        super().__init__()
        self.input_size, self.hidden_size = cell.input_size, cell.hidden_size
        self.register_buffer("real", cell.eigenvalues.real.clone())
        self.register_buffer("imaginary", cell.eigenvalues.imag.clone())
        self.register_buffer("input_map", cell.input_map.clone())
        self.register_buffer("output_map", cell.output_map.clone())

    @property
    def state_size(self) -> int:
        """Real and imaginary parts."""
        return self.input_map.shape[0]

    def phi(self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B S"]:
        """Advance the state; see `AbstractCell.phi`."""
        p, q = h.chunk(2, -1)
        a, b = self.real, self.imaginary
        turned = torch.cat([a * p - b * q, a * q + b * p], -1)
        return turned + linear(x, self.input_map)

    def readout(self, h: Float[Tensor, "*B S"]) -> Float[Tensor, "*B H"]:
        """Show C [p, q]."""
        return linear(h, self.output_map)

    def jacobian(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> Float[Tensor, "*B S S"]:
        """Give [[a, -b], [b, a]], the same for every h; see `AbstractCell.jacobian`."""
        a, b = torch.diag(self.real), torch.diag(self.imaginary)
        matrix = torch.cat([torch.cat([a, -b], 1), torch.cat([b, a], 1)])
        return matrix.expand(*h.shape[:-1], -1, -1)

    def init_state(self, batch: int) -> Float[Tensor, "B S"]:
        """Make zeros; see `AbstractCell.init_state`."""
        return self.input_map.new_zeros(batch, self.state_size)
