"""Eligibility propagation: the influence through a cell's own gates alone."""

from dataclasses import dataclass
from functools import singledispatch

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur.cells.affine import AbstractAffineCell
from unrecur.cells.gates import highway
from unrecur.cells.memory import AbstractMemoryCell
from unrecur.core.cell import AbstractCell
from unrecur.train.online.traces import AbstractTraces, unit_paths


@dataclass(frozen=True)
class EProp(AbstractTraces):
    """Eligibility propagation (Bellec et al. 2020, Nature Communications 11:3625).

    A trace follows what a unit keeps of itself inside, and nothing that goes through the recurrent
    weights, not even to the unit itself: A_t is the forget gate of an LSTM, the update gate of a
    GRU, the whole of a cell whose units do not see each other, and zero for an Elman cell, which
    keeps nothing. The learning signal is the exact dL_t / dh_t, not one through random weights.

    Attributes:
        update_every: See `AbstractOnline`.

    Raises:
        InputError: update_every is no whole number of at least 1.

    Example:
        >>> EProp(update_every=5).describe()
        {'name': 'EProp', 'update_every': 5}
    """

    def paths(
        self, cell: AbstractCell, h: Float[Tensor, "B S"], x: Float[Tensor, "B D"]
    ) -> Float[Tensor, "B K K U"]:
        """Give what a unit keeps of itself; see `AbstractTraces.paths`."""
        return own_paths(cell, h, x)


@singledispatch
def own_paths(
    cell: AbstractCell, h: Float[Tensor, "B S"], x: Float[Tensor, "B D"]
) -> Float[Tensor, "B K K U"]:
    """Give how each unit's state acts on itself without the recurrent weights.

    Args:
        cell: The cell; if nothing else is known, one whose state is its output.
        h: The state.
        x: The input.

    Returns:
        A matrix for each unit.
    """
    kept = highway(cell, h, x)
    return (torch.zeros_like(h) if kept is None else kept)[:, None, None]


@own_paths.register
def _(cell: AbstractAffineCell, h: Tensor, x: Tensor) -> Tensor:
    return unit_paths(cell, h, x)


@own_paths.register
def _(cell: AbstractMemoryCell, h: Tensor, x: Tensor) -> Tensor:
    # The memory acts on itself and is shown; the output acts through the recurrent weights alone.
    from_memory, from_output = unit_paths(cell, h, x).unbind(2)
    return torch.stack([from_memory, torch.zeros_like(from_output)], 2)
