"""Exact gradients of a run over time: the adjoint recurrence, in pieces from the right.

With a_t = dL/dh_t in all, a_t = J_{t+1}^T a_{t+1} + what the loss says of h_t directly: a linear
recurrence that runs backward and forgets where the forward one does. So each piece is run backward
from an adjoint at its right end that is found by a burn-in on the steps behind it, and corrected
until the pieces agree. Between forward and backward only the state at the start of each piece is
kept; what a piece needs is computed again.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from unrecur.core.cell import AbstractCell
from unrecur.solvers.agreement import PART_OF_TOLERANCE, ROUNDINGS
from unrecur.solvers.cut import Cut, advance, cut

SWEEPS = 6  # of corrections; what does not agree after them is run in sequence


@dataclass(frozen=True)
class Incoming:
    """What the loss says of the outputs and of the last states.

    Attributes:
        y: dL/dy, [B, T, H].
        last: dL/dlast, [B, S].
    """

    y: Tensor
    last: Tensor


class Weights:
    """The weights of a cell as a list, and runs of the cell on them."""

    def __init__(self, cell: AbstractCell, names: Sequence[str], values: Sequence[Tensor]) -> None:
        self.module = _Running(shell(cell))
        self.names = [f"cell.{name}" for name in names]
        self.values = [value.detach().requires_grad_() for value in values]

    def run(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Run rows on these weights."""
        named = dict(zip(self.names, self.values, strict=True))
        result: tuple[Tensor, Tensor] = functional_call(self.module, named, (x, h))
        return result


M = TypeVar("M", bound=nn.Module)


def shell(module: M) -> M:
    """Copy a module without its tensors, which are shared.

    To run a module on other weights is to put them into it for a while: not into the user's own,
    which other threads may run.

    Args:
        module: Any module.

    Returns:
        The copy; its tables of parameters, buffers and children are its own.
    """
    twin = copy.copy(module)
    twin.__dict__ = {
        **module.__dict__,
        "_parameters": dict(module._parameters),
        "_buffers": dict(module._buffers),
        "_modules": {
            name: None if child is None else shell(child) for name, child in module._modules.items()
        },
    }
    return twin


class _Running(nn.Module):
    """A cell as a module whose call runs rows."""

    def __init__(self, cell: AbstractCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Run rows."""
        return advance(self.cell, x, h)


class Adjoint:
    """The backward run over some neighbouring pieces.

    Gradients are summed up in `by_weight`; `by_x` [R, C, D] and `by_start` [R, S] hold those of the
    pieces' inputs and starts.
    """

    def __init__(self, weights: Weights, x: Tensor, starts: Tensor, near: int) -> None:
        self.weights, self.near = weights, near
        with torch.enable_grad():
            self.x = x.detach().requires_grad_()
            self.starts = starts.detach().requires_grad_()
            y, h = weights.run(self.x[:, :near], self.starts)
            self.parts, self.middle = [(y, h)], self.starts
            if near < x.shape[1]:
                self.middle = h.detach().requires_grad_()
                self.parts.append(weights.run(self.x[:, near:], self.middle))
        self.by_weight = [torch.zeros_like(value) for value in weights.values]
        self.by_x = torch.zeros_like(x)

    def burn_in(self, by_y: Tensor) -> Tensor:
        """Guess the adjoint at the start of each piece from its first steps."""
        y, _ = self.parts[0]
        (guess,) = torch.autograd.grad(y, self.starts, by_y[:, : self.near], retain_graph=True)
        return guess

    def back(self, by_y: Tensor | None, by_stop: Tensor) -> Tensor:
        """Run backward through the pieces and sum up.

        Args:
            by_y: What comes in at the outputs; None for nothing.
            by_stop: The adjoint at the right end of each piece.

        Returns:
            The adjoint at the start of each piece.
        """
        ends = [0, self.near, self.x.shape[1]]
        for number in reversed(range(len(self.parts))):
            y, h = self.parts[number]
            start = self.starts if number == 0 else self.middle
            outputs, grads = [h], [by_stop]
            if by_y is not None:
                outputs.append(y)
                grads.append(by_y[:, ends[number] : ends[number + 1]])
            by_stop, by_x, *by_weight = torch.autograd.grad(
                outputs,
                [start, self.x, *self.weights.values],
                grads,
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
            self.by_x += by_x
            for total, more in zip(self.by_weight, by_weight, strict=True):
                total += more
        return by_stop


@torch.no_grad()
def gradients(
    weights: Weights,
    x: Tensor,
    starts: Tensor,
    length: int,
    lengths: Tensor | None,
    incoming: Incoming,
    burn_in: int,
    tol: float,
    slab: int | None = None,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Give dL/dx, dL/dh_0 and dL/dweights.

    Args:
        weights: The cell's.
        x: The inputs, [B, T, D]; zeros in the padding.
        starts: The state before each piece, [N, B, S].
        length: The steps of a piece.
        lengths: How many steps of each row are valid; None when all are.
        incoming: What the loss says.
        burn_in: The steps to the right of a piece from which its adjoint is first guessed.
        tol: The adjoints at the boundaries agree to a share of it, relative to the largest.
        slab: How many pieces are held in memory at a time; None for all.

    Returns:
        The gradients.
    """
    pieces = cut(x, length, lengths)
    by_y, by_x = pieces.split(incoming.y), torch.zeros_like(pieces.x)
    by_weight = [torch.zeros_like(value) for value in weights.values]
    total = _Total(by_x, by_weight)
    extra, by_stop = _ends(weights, pieces, starts, by_y, incoming.last, total)
    # What lies in a row's short last piece, or behind it, has had its turn: nothing comes in there.
    whole = _whole(pieces)
    rows, by_y = (torch.where(whole[:, None, None], part, 0) for part in (pieces.x, by_y))
    starts = torch.where(whole.view(*starts.shape[:2], 1), starts, 0)
    adjoint = torch.zeros_like(incoming.last)
    batch, count = pieces.batch, pieces.pieces if slab is None else slab
    for right in range(pieces.pieces, 0, -count):
        left = max(0, right - count)
        some = slice(left * batch, right * batch)
        part = Adjoint(weights, rows[some], starts[left:right].flatten(0, 1), min(burn_in, length))
        stop = by_stop[some].view(right - left, batch, -1)
        adjoint = _settled(part, by_y[some], stop, extra[left:right], adjoint, tol)
        total.add(some, part.by_x, part.by_weight)
    return pieces.joined(by_x, x.shape[1]), adjoint, by_weight


@dataclass(frozen=True)
class _Total:
    """Gradients that are summed up, of the pieces' inputs and of the weights."""

    by_x: Tensor
    by_weight: list[Tensor]

    def add(self, rows: slice | Tensor, by_x: Tensor, by_weight: Sequence[Tensor]) -> None:
        """Add those of some rows, of their first steps if said."""
        self.by_x[rows, : by_x.shape[1]] += by_x
        for total, more in zip(self.by_weight, by_weight, strict=True):
            total += more


def _whole(pieces: Cut) -> Tensor:
    """Mark the pieces, as rows, that are valid to their last step."""
    stop = torch.arange(1, pieces.pieces + 1, device=pieces.ends.device) * pieces.length
    return (stop[:, None] <= pieces.ends).flatten()


def _settled(
    part: Adjoint, by_y: Tensor, by_stop: Tensor, extra: Tensor, behind: Tensor, tol: float
) -> Tensor:
    """Run some pieces backward until their adjoints agree.

    Args:
        part: The pieces.
        by_y: What comes in at their outputs.
        by_stop: What comes in at their last states directly, [N, B, S].
        extra: The same at their starts.
        behind: The adjoint at the right end of the last of them, [B, S].
        tol: See `gradients`.

    Returns:
        The adjoint at the start of the first.
    """
    pieces = len(by_stop)
    guess = part.burn_in(by_y).view_as(by_stop) + extra
    ends = torch.cat([guess[1:], behind[None]])
    starts = part.back(by_y, (ends + by_stop).flatten(0, 1)).view_as(by_stop) + extra
    rounding = ROUNDINGS * torch.finfo(starts.dtype).eps
    for sweep in range(pieces):
        off = torch.cat([starts[1:], behind[None]]) - ends
        # What is neither forgotten nor grows adds up from the right. NaN has reached everything to
        # its left in its row already, and says nothing of other rows.
        sums = off.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).flip(0).cumsum(0)
        scale = starts.abs().nan_to_num(nan=0.0, posinf=0.0).amax()
        scale = scale.clamp(min=torch.finfo(starts.dtype).tiny)
        if not bool((sums.abs() > scale * max(rounding, tol / PART_OF_TOLERANCE)).any()):
            break
        if sweep == SWEEPS:
            return _in_sequence(part, starts, off)
        starts = starts + part.back(None, off.flatten(0, 1)).view_as(off)
        ends = ends + off
    return starts[0]


def _in_sequence(part: Adjoint, starts: Tensor, off: Tensor) -> Tensor:
    """Carry what the adjoints are off by through one piece after the other, from the right."""
    batch, carried = off.shape[1], torch.zeros_like(off[0])
    for piece in reversed(range(len(off))):
        rows = slice(piece * batch, (piece + 1) * batch)
        alone = Adjoint(part.weights, part.x[rows], part.starts[rows], part.near)
        carried = alone.back(None, off[piece] + carried)
        part.by_x[rows] += alone.by_x
        for total, more in zip(part.by_weight, alone.by_weight, strict=True):
            total += more
    return starts[0] + carried


def _ends(
    weights: Weights, pieces: Cut, starts: Tensor, by_y: Tensor, by_last: Tensor, total: _Total
) -> tuple[Tensor, Tensor]:
    """Run the short last pieces of rows backward, each from its own end.

    Args:
        weights: The cell's.
        pieces: The block.
        starts: The state before each piece.
        by_y: What comes in at the outputs of the pieces.
        by_last: What comes in at the last state of each row.
        total: Where gradients are summed up.

    Returns:
        What comes in at the starts of pieces [N, B, S], and at their right ends [N B, S] where a
        row ends with its piece.
    """
    extra, by_stop = torch.zeros_like(starts), starts.new_zeros(starts.flatten(0, 1).shape)
    piece, valid = pieces.final
    rows = piece * pieces.batch + torch.arange(pieces.batch, device=piece.device)
    short = valid < pieces.length
    by_stop[rows[~short]] = by_last[~short]
    for steps in valid[short].unique().tolist():
        here = short & (valid == steps)
        some = rows[here]
        part = Adjoint(weights, pieces.x[some, :steps], starts.flatten(0, 1)[some], steps)
        extra.view(by_stop.shape)[some] = part.back(by_y[some, :steps], by_last[here])
        total.add(some, part.by_x, part.by_weight)
    return extra, by_stop
