"""Which numbers of a cell's state belong to one unit."""

from functools import singledispatch

import torch
from jaxtyping import Int64
from torch import Tensor

from unrecur.cells import GRU, LRU, LSTM, DiagonalSSM, Elman, PeepholeLSTM
from unrecur.cells.affine import AbstractInputGatedCell
from unrecur.core.cell import AbstractCell


@singledispatch
def unit_states(cell: AbstractCell) -> Int64[Tensor, "K U"] | None:
    """Say which numbers of the state belong to each unit, where parameters act on one unit alone.

    In one step each parameter that phi reads then changes the state of one unit: that of its row,
    row g U + u being the g-th of unit u. It is not so where a gate acts before a matrix (MGU,
    ResetFirstGRU) or a projection mixes the units.

    Args:
        cell: The cell.

    Returns:
        The K numbers of each of the U units; None where parameters act on several, or where it is
        not known, as here.
    """
    return None


@unit_states.register(Elman)
@unit_states.register(GRU)
@unit_states.register(LSTM)
@unit_states.register(PeepholeLSTM)
@unit_states.register(AbstractInputGatedCell)
@unit_states.register(LRU)
def _(cell: AbstractCell) -> Int64[Tensor, "K U"]:
    return torch.arange(cell.state_size).view(-1, cell.hidden_size)


@unit_states.register
def _(cell: DiagonalSSM) -> Int64[Tensor, "K U"]:
    # A unit is a channel with all its modes, as one step size and one row of W drive them all.
    numbers = torch.arange(cell.state_size).view(2, cell.hidden_size, cell.modes)
    return numbers.transpose(1, 2).flatten(0, 1)
