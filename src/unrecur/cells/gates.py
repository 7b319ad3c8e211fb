"""The gates of a cell: how far they are open, and what they let pass by themselves."""

from functools import singledispatch

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur.cells.affine import AbstractAffineCell, AbstractInputGatedCell
from unrecur.cells.gru import GRU
from unrecur.cells.memory import AbstractMemoryCell
from unrecur.cells.mgu import MGU
from unrecur.cells.min_gru import MinGRU
from unrecur.cells.min_lstm import MinLSTM
from unrecur.cells.qrnn import QRNN
from unrecur.cells.reset_first_gru import ResetFirstGRU
from unrecur.core.cell import AbstractCell


@singledispatch
def gates_of(
    cell: AbstractCell, h: Float[Tensor, "N S"], x: Float[Tensor, "N D"]
) -> dict[str, Tensor]:
    """Give the gates of a cell, those that are squashed to [0, 1].

    Args:
        cell: The cell.
        h: States.
        x: The inputs that come next.

    Returns:
        The gates by name, [N, H] each; none where the cell has no gates.
    """
    return {}


@gates_of.register
def _(cell: AbstractMemoryCell, h: Tensor, x: Tensor) -> dict[str, Tensor]:
    i, f, _, o, _ = cell.activations(h, x)
    return {"input": i, "forget": f, "output": o}


@gates_of.register(GRU)
@gates_of.register(ResetFirstGRU)
def _(cell: GRU | ResetFirstGRU, h: Tensor, x: Tensor) -> dict[str, Tensor]:
    r, z, *_ = cell.activations(h, x)
    return {"reset": r, "update": z}


@gates_of.register
def _(cell: MGU, h: Tensor, x: Tensor) -> dict[str, Tensor]:
    return {"forget": cell.activations(h, x)[0]}


@gates_of.register(MinGRU)
@gates_of.register(MinLSTM)
def _(cell: AbstractInputGatedCell, h: Tensor, x: Tensor) -> dict[str, Tensor]:
    return {"forget": cell.coefficients(x)[0]}


@gates_of.register
def _(cell: QRNN, h: Tensor, x: Tensor) -> dict[str, Tensor]:
    a, b = cell.coefficients(x)
    return {"forget": a.chunk(2, -1)[0], "output": b.chunk(2, -1)[1]}


@singledispatch
def highway(cell: AbstractCell, h: Float[Tensor, "N S"], x: Float[Tensor, "N D"]) -> Tensor | None:
    """Give what each number of the state lets pass of itself through its gates alone.

    Args:
        cell: The cell.
        h: States.
        x: The inputs that come next.

    Returns:
        A share for each number, [N, S]; None where the cell has no such path.
    """
    return None


@highway.register
def _(cell: AbstractMemoryCell, h: Tensor, x: Tensor) -> Tensor:
    f = cell.activations(h, x)[1]
    return torch.cat([f, f.new_zeros(*f.shape[:-1], cell.hidden_size)], -1)


@highway.register(GRU)
@highway.register(ResetFirstGRU)
def _(cell: GRU | ResetFirstGRU, h: Tensor, x: Tensor) -> Tensor:
    return cell.activations(h, x)[1]


@highway.register
def _(cell: MGU, h: Tensor, x: Tensor) -> Tensor:
    return 1 - cell.activations(h, x)[0]


@highway.register
def _(cell: AbstractAffineCell, h: Tensor, x: Tensor) -> Tensor | None:
    a, _ = cell.coefficients(x)
    return None if a.is_complex() else a  # a rotation has no path of one number to itself
