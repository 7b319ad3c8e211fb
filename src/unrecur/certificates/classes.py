"""Classes of cells that contract by construction: cascades of levels under the sum condition.

The units are sorted into levels. A unit may read the hidden states of lower levels through any
weights, those of its own level through rows that the sum condition keeps short, and none of higher
levels: the majorant is then block triangular, its Perron root the largest of its levels', so that
lower weights cost nothing in the rate (docs/theory/stable.md). One level is the row-sum condition;
as many levels as units leave each unit its own feedback alone.

Each map below is the identity inside its class, continuous, and differentiable almost everywhere.
"""

from dataclasses import dataclass
from functools import singledispatch

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur._check import InputError
from unrecur.cells import GRU, LSTM, MGU, Elman
from unrecur.core.cell import AbstractCell

# The largest part of the rate that a gate which keeps the state may take: the rest is room for the
# rows of the unit's own level.
SHARE = 0.99
# Left free of what is below 1: for the weighting of a cascade, which can only come close to its
# root, and for rounding.
MARGIN = 0.03
# What a layer above reads: no output of a saturating cell is larger (room is left for rounding).
OUTPUTS = 1.001


@dataclass(frozen=True)
class Weights:
    """The weights of a cell, as they are or as they shall be.

    Attributes:
        w_x: The input weights, [G H, D].
        w_h: The recurrent weights, [G H, H].
        b_x: The input bias, [G H]; zeros where there is none.
        b_h: The recurrent bias, [G H]; zeros where there is none.
    """

    w_x: Tensor
    w_h: Tensor
    b_x: Tensor
    b_h: Tensor


@dataclass(frozen=True)
class StableClass:
    """What a cell is to be moved into.

    Attributes:
        low: The least inputs, [V, D], one row for each mode.
        high: The largest inputs.
        rate: The contraction to reach: one number, or one for each unit.
        levels: How many levels the units are sorted into, 1 to H.
    """

    low: Float[Tensor, "V D"]
    high: Float[Tensor, "V D"]
    rate: Float[Tensor, " H"]
    levels: int

    @property
    def allowed(self) -> Tensor:
        """The rate of each unit, less the margin."""
        return 1 - (1 - self.rate) * (1 + MARGIN)

    def driven(self, weights: Weights, gate: int) -> tuple[Tensor, Tensor]:
        """Give the least and the largest pre-activation of a gate by inputs and biases, [H]."""
        hidden = weights.w_h.shape[1]
        rows = slice(gate * hidden, (gate + 1) * hidden)
        w, bias = weights.w_x[rows], (weights.b_x + weights.b_h)[rows]
        if self.low is self.high:  # a vocabulary: of points
            driven = self.low @ w.T
            return driven.amin(0) + bias, driven.amax(0) + bias
        center = (self.low + self.high) / 2 @ w.T
        radius = (self.high - self.low) / 2 @ w.abs().T
        return (center - radius).amin(0) + bias, (center + radius).amax(0) + bias

    def masks(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mark which units each unit reads of lower levels, and of its own, [H, H]."""
        hidden = like.shape[1]
        level = torch.arange(hidden, device=like.device) * self.levels // hidden
        lower = (level[:, None] > level[None]).to(like)
        return lower, (level[:, None] == level[None]).to(like)


@singledispatch
def inside(cell: AbstractCell, weights: Weights, goal: StableClass) -> Weights:
    """Move weights into a stable class.

    Args:
        cell: The cell, for its kind.
        weights: Its weights.
        goal: The class.

    Returns:
        The weights inside: other recurrent weights and recurrent biases.

    Raises:
        InputError: There is no class for this cell.
    """  # noqa: DOC202
    raise InputError(
        f"there is no stable class for {type(cell).__name__}; there is one for Elman, LSTM, GRU "
        "and MGU. The affine cells forget at the rate of their gates: bound those."
    )


def _capped(reach: Tensor, allowed: Tensor) -> Tensor:
    """Say by how much a gate's bias must fall so that the gate takes at most its share."""
    return (reach - torch.logit(SHARE * allowed)).clamp(min=0)


def _shrunk(rows: Tensor, lower: Tensor, own: Tensor, room: Tensor, cost: Tensor) -> Tensor:
    """Shorten the rows of a unit's own level to the room that the sum condition leaves them."""
    factor = (room / cost.clamp(min=1e-30)).clamp(max=1)
    blocks = rows.view(-1, len(lower), rows.shape[1])
    return (blocks * (lower + own * factor[:, None])).view_as(rows)


@inside.register
def _(cell: Elman, weights: Weights, goal: StableClass) -> Weights:
    """Rows: |W_j| <= rate, counting a unit's own level."""
    lower, own = goal.masks(weights.w_h)
    cost = (weights.w_h.abs() * own).sum(1)
    w_h = _shrunk(weights.w_h, lower, own, goal.allowed, cost)
    return Weights(weights.w_x, w_h, weights.b_x, weights.b_h)


@inside.register
def _(cell: LSTM, weights: Weights, goal: StableClass) -> Weights:
    """Rows: phi_j + (|W_f|_j / (1 - phi_j) + |W_i|_j + |W_o|_j) / 4 + |W_g|_j <= rate_j."""
    # The forget bias is lowered first, so that phi_j leaves room for the rows.
    lower, own = goal.masks(weights.w_h)
    every = (weights.w_h.abs().view(4, len(own), -1) * (lower + own)).sum(2)
    reach = goal.driven(weights, 1)[1] + every[1]
    excess = _capped(reach, goal.allowed)
    forget = torch.sigmoid(reach - excess)
    i, f, g, o = (weights.w_h.abs().view(4, len(own), -1) * own).sum(2)
    cost = (f / (1 - forget) + i + o) / 4 + g
    w_h = _shrunk(weights.w_h, lower, own, goal.allowed - forget, cost)
    b_i, b_f, b_g, b_o = weights.b_h.chunk(4)
    return Weights(weights.w_x, w_h, weights.b_x, torch.cat([b_i, b_f - excess, b_g, b_o]))


@inside.register
def _(cell: GRU, weights: Weights, goal: StableClass) -> Weights:
    """Rows: z_j + (1 - z_j) (|W_n|_j + m_j |W_r|_j / 4) + |W_z|_j / 2 <= rate_j."""
    # m_j = |W_n|_j + |b_n|_j bounds the product that the reset gate multiplies, over all levels.
    # The bias of the update gate is lowered first.
    lower, own = goal.masks(weights.w_h)
    every = (weights.w_h.abs().view(3, len(own), -1) * (lower + own)).sum(2)
    reach = goal.driven(weights, 1)[1] + every[1]
    excess = _capped(reach, goal.allowed)
    kept = torch.sigmoid(reach - excess)
    b_r, b_z, b_n = weights.b_h.chunk(3)
    r, z, n = (weights.w_h.abs().view(3, len(own), -1) * own).sum(2)
    cost = (1 - kept) * (n + (every[2] + b_n.abs()) * r / 4) + z / 2
    w_h = _shrunk(weights.w_h, lower, own, goal.allowed - kept, cost)
    return Weights(weights.w_x, w_h, weights.b_x, torch.cat([b_r, b_z - excess, b_n]))


@inside.register
def _(cell: MGU, weights: Weights, goal: StableClass) -> Weights:
    """Rows: k_j + (1 - k_j) |W_n|_j (1 + max_m |W_f|_m / 4) + |W_f|_j / 2 <= rate_j."""
    # k_j is the largest 1 - f_j, the part of the state that is kept; the bias of f is raised first.
    lower, own = goal.masks(weights.w_h)
    every = (weights.w_h.abs().view(2, len(own), -1) * (lower + own)).sum(2)
    reach = every[0] - goal.driven(weights, 0)[0]
    excess = _capped(reach, goal.allowed)
    kept = torch.sigmoid(reach - excess)
    f, n = (weights.w_h.abs().view(2, len(own), -1) * own).sum(2)
    cost = (1 - kept) * n * (1 + f.max() / 4) + f / 2
    w_h = _shrunk(weights.w_h, lower, own, goal.allowed - kept, cost)
    b_f, b_n = weights.b_h.chunk(2)
    return Weights(weights.w_x, w_h, weights.b_x, torch.cat([b_f + excess, b_n]))
