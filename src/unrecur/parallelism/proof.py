"""Proofs that a run in chunks is within a tolerance of the sequential run.

Of exact arithmetic: rounding is what it is in any run of the same type.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from unrecur.certificates.around import Around
from unrecur.certificates.expressions import advance, show
from unrecur.certificates.inputs import Box, InputSet
from unrecur.certificates.norms import Layer
from unrecur.certificates.on_inputs import widened
from unrecur.certificates.pairs import SLACK
from unrecur.certificates.reach import Reach
from unrecur.core.cell import AbstractCell
from unrecur.core.state import valid_steps
from unrecur.solvers.cut import cut

LONGEST = 4096  # inputs of a burn-in
LOOK = 8
MOST = 2**24  # numbers that are compared at a time
ROOM = 1.01


@dataclass(frozen=True)
class CellProof:
    """What is known of one cell of a stack.

    Attributes:
        layer: The cell with its reachable box, in float64.
        burn_in: After so many inputs from zero no output is off by more than `error`, nor later;
            None where the weights do not prove it.
        error: The bound on each output, [H].
        off: What the inputs may be off by for this, [D].
    """

    layer: Layer
    burn_in: int | None
    error: Tensor
    off: Tensor


def prove(cell: AbstractCell, low: Tensor, high: Tensor, off: Tensor, tol: float) -> CellProof:
    """Find the burn-in after which a piece started from zero is within a tolerance for good.

    The majorant F of the cell is iterated from the largest state: d_{j+1} = F(d_j, off). F is
    monotone: once F(d) <= d, no later difference is above d. Tried for d a little larger.

    Args:
        cell: The cell, in float64.
        low: The least inputs, [V, D].
        high: The largest.
        off: What the inputs may be off by, from below, [D].
        tol: The tolerance of each output.

    Returns:
        What is known.

    Raises:
        NoRuleError: No bounded box holds the states.
    """
    layer = Layer(Reach(cell, low, high))
    gap = torch.maximum(layer.reach.high, -layer.reach.low)
    known = off if bool(off.any()) else None
    for steps in range(1, LONGEST + 1):
        gap, _ = layer.majorant.step(gap, known)
        if steps % LOOK == 0:
            wider = gap * ROOM + torch.finfo(gap.dtype).tiny
            after, shown = layer.majorant.step(wider, known)
            if bool((after <= wider).all()) and bool((shown <= tol).all()):
                return CellProof(layer, steps, shown, off)
    return CellProof(layer, None, torch.full((cell.hidden_size,), float("inf")).double(), off)


@torch.no_grad()
def follow(
    proof: CellProof, x: Tensor, length: int, burn_in: int, off: Tensor, lengths: Tensor | None
) -> Tensor:
    """Carry any state a cell can be in through the actual inputs of every piece.

    Args:
        proof: The cell.
        x: The inputs of the block, [B, T, D].
        length: The steps of a piece.
        burn_in: The inputs given to each piece before its first.
        off: What the inputs may be off by, [D].
        lengths: How many steps of each row are valid.

    Returns:
        The largest distance, over all pieces and their steps, of any possible output from the one
        of the run from zero, [H].
    """
    reach = proof.layer.reach
    x, lengths = x.double().cpu(), None if lengths is None else lengths.cpu()
    pieces = cut(x, length, lengths)
    batch = pieces.batch
    radius = torch.maximum(reach.high, -reach.low) * SLACK
    rows = torch.cat([pieces.x[:-batch, length - burn_in :], pieces.x[batch:]], 1)
    worst = _carried(proof, rows, radius, burn_in, off)
    if bool(off.any()):  # the first piece starts from a known state, but reads what is off
        first = _carried(proof, pieces.x[:batch], torch.zeros_like(radius), 0, off)
        worst = torch.maximum(worst, first)
    return worst


def _carried(proof: CellProof, x: Tensor, radius: Tensor, burn_in: int, off: Tensor) -> Tensor:
    """Carry the states around zero through some rows; give the largest distances of outputs."""
    reach = proof.layer.reach
    state = Around(x.new_zeros(len(x), len(radius)), radius.expand(len(x), -1))
    flaw = 2 * proof.layer.flaw
    slack = 1 + 16 * reach.terms * torch.finfo(torch.float64).eps
    known = off.expand(len(x), -1) if bool(off.any()) else None
    worst = torch.zeros(reach.cell.hidden_size, dtype=torch.float64)
    for step, x_t in enumerate(x.unbind(1)):
        moved = widened(advance(reach.cell, state, Around(x_t, known)), flaw, slack)
        assert isinstance(moved, Around)
        state = moved
        if step >= burn_in:
            shown = show(reach.cell, state).apart.amax(0)
            worst = torch.maximum(worst, shown.nan_to_num(nan=float("inf")))
    return worst


def within(inputs: InputSet, x: Tensor, lengths: Tensor | None) -> bool:
    """Say whether all valid inputs of a block lie in the set that a proof holds for.

    Args:
        inputs: The set.
        x: The block, [B, T, D].
        lengths: How many steps of each row are valid; None when all are.

    Returns:
        Whether they do.
    """
    x = x.detach().double().cpu()
    rows = x.flatten(0, 1) if lengths is None else x[valid_steps(lengths.cpu(), x.shape[1])]
    if isinstance(inputs, Box):
        return bool(((rows >= inputs.low) & (rows <= inputs.high)).all())
    table = inputs.vectors
    return all(
        bool((some[:, None] == table).all(-1).any(-1).all())
        for some in rows.split(max(1, MOST // table.numel()))
    )
