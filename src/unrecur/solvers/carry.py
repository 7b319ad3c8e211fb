"""What becomes of a small difference in the state over a piece: exactly, or by its gates alone."""

from functools import singledispatch

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear, logsigmoid

from unrecur.cells.gated import AbstractTorchCell
from unrecur.cells.gru import GRU
from unrecur.cells.lstm import LSTM
from unrecur.cells.mgu import MGU
from unrecur.core.cell import AbstractCell

BLOCK = 64  # steps whose gates are held at a time


@singledispatch
def kept(
    cell: AbstractCell, x: Float[Tensor, "R C D"], shown: Float[Tensor, "R C H"]
) -> Float[Tensor, "R S"]:
    """Give the share of each number of the state that its own gates let pass over a piece.

    A difference of d at the start of a piece is d times this at its end, as far as it acts through
    the gates alone and not through the recurrent weights: so do counter cells.

    Args:
        cell: The recurrence.
        x: The inputs of the pieces.
        shown: The cell's output before each of them.

    Returns:
        The products of the gates; zeros for cells that have no such path.
    """
    return x.new_zeros(len(x), cell.state_size)


@kept.register
def _(cell: LSTM, x: Tensor, shown: Tensor) -> Tensor:
    # c' = f c + i g; h has no path of its own.
    passed = _product(cell, 1, 1.0, x, shown)
    return torch.cat([passed, torch.zeros_like(passed)], -1)


@kept.register
def _(cell: GRU, x: Tensor, shown: Tensor) -> Tensor:
    # h' = z h + (1 - z) n
    return _product(cell, 1, 1.0, x, shown)


@kept.register
def _(cell: MGU, x: Tensor, shown: Tensor) -> Tensor:
    # h' = (1 - f) h + f n
    return _product(cell, 0, -1.0, x, shown)


def _product(cell: AbstractTorchCell, gate: int, sign: float, x: Tensor, shown: Tensor) -> Tensor:
    """Multiply sigmoid(sign z) up over the pieces, z the pre-activation of a gate."""
    w, u = (weight.chunk(cell.gates)[gate] for weight in (cell.weight_ih_l0, cell.weight_hh_l0))
    b, d = (
        None if bias is None else bias.chunk(cell.gates)[gate]
        for bias in (cell.bias_ih_l0, cell.bias_hh_l0)
    )
    total = x.new_zeros(len(x), cell.hidden_size)
    for x_t, h_t in zip(x.split(BLOCK, 1), shown.split(BLOCK, 1), strict=True):
        total = total + logsigmoid(sign * (linear(x_t, w, b) + linear(h_t, u, d))).sum(1)
    return total.exp()


def transfer(
    cell: AbstractCell, x: Float[Tensor, "R C D"], h: Float[Tensor, "R S"]
) -> Float[Tensor, "R S S"]:
    """Give d h_C / d h_0 over a piece: the product of the Jacobians along it.

    Args:
        cell: The recurrence.
        x: The inputs of the pieces.
        h: The states before them.

    Returns:
        The matrices.
    """
    eye = torch.eye(h.shape[1], dtype=h.dtype, device=h.device)
    product = eye.expand(len(h), -1, -1)
    for x_t in x.unbind(1):
        product = cell.jacobian(h, x_t) @ product
        h = cell.phi(h, x_t)
    return product
