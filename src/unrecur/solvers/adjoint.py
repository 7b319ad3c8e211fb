"""Exact gradients of a run over time: the adjoint recurrence, in pieces from the right.

With a_t = dL/dh_t in all, a_t = J_{t+1}^T a_{t+1} + what the loss says of h_t directly: a linear
recurrence that runs backward and forgets where the forward one does. So each piece is run backward
from an adjoint at its right end that is found by a burn-in on the steps behind it, and corrected
until the pieces agree. Between forward and backward only the state at the start of each piece is
kept; what a piece needs is computed again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from unrecur.core.cell import AbstractCell
from unrecur.solvers.cut import Cut, advance, advance_to_ends, cut

SWEEPS = 6  # of corrections; what does not agree after them is run in sequence
EXACT = 2.0**-7  # the share of the tolerance that a boundary's adjoint may be off by
ROUNDINGS = 8


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
    """The weights of a cell as a list, and runs of the cell on others in their place."""

    def __init__(self, cell: AbstractCell, names: Sequence[str], values: Sequence[Tensor]) -> None:
        self.module = _Running(cell)
        self.names = [f"cell.{name}" for name in names]
        self.values = [value.detach().requires_grad_() for value in values]

    def run(self, x: Tensor, h: Tensor, steps: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run rows on these weights; see `_Running`."""
        named = dict(zip(self.names, self.values, strict=True))
        result: tuple[Tensor, Tensor] = functional_call(self.module, named, (x, h, steps))
        return result


class _Running(nn.Module):
    """A cell as a module whose call runs rows."""

    def __init__(self, cell: AbstractCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, h: Tensor, steps: Tensor | None) -> tuple[Tensor, Tensor]:
        """Run rows to their ends, or all of them to the end of the block."""
        if steps is None:
            return advance(self.cell, x, h)
        last = advance_to_ends(self.cell, x, h, steps)
        return last, last


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
    rows = pieces.x
    by_y = pieces.split(incoming.y)
    by_x = torch.zeros_like(rows)
    by_weight = [torch.zeros_like(value) for value in weights.values]
    extra, by_stop = _from_last(weights, pieces, starts, incoming.last, by_x, by_weight)
    adjoint = torch.zeros_like(incoming.last)
    batch, count = pieces.batch, pieces.pieces if slab is None else slab
    for right in range(pieces.pieces, 0, -count):
        left = max(0, right - count)
        some = slice(left * batch, right * batch)
        part = Adjoint(weights, rows[some], starts[left:right].flatten(0, 1), min(burn_in, length))
        stop = by_stop[some].view(right - left, batch, -1)
        adjoint = _settled(part, by_y[some], stop, extra[left:right], adjoint, tol)
        by_x[some] += part.by_x
        for total, more in zip(by_weight, part.by_weight, strict=True):
            total += more
    return pieces.joined(by_x, x.shape[1]), adjoint, by_weight


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
    for sweep in range(pieces):
        off = torch.cat([starts[1:], behind[None]]) - ends
        scale = starts.abs().amax().clamp(min=torch.finfo(starts.dtype).tiny)
        rounding = ROUNDINGS * torch.finfo(starts.dtype).eps
        # NaN does not count as off: it has reached everything to the left already.
        if not bool((off.abs() > scale * max(rounding, tol * EXACT)).any()):
            break
        if sweep < SWEEPS:
            starts = starts + part.back(None, off.flatten(0, 1)).view_as(off)
            ends = ends + off
            continue
        return _in_sequence(part, starts, off)
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


def _from_last(
    weights: Weights,
    pieces: Cut,
    starts: Tensor,
    by_last: Tensor,
    by_x: Tensor,
    by_weight: list[Tensor],
) -> tuple[Tensor, Tensor]:
    """Send what comes in at the last states to the starts of the pieces they lie in.

    Args:
        weights: The cell's.
        pieces: The block.
        starts: The state before each piece.
        by_last: What comes in.
        by_x: The gradients of the pieces' inputs; what passes by is added.
        by_weight: The same of the weights.

    Returns:
        What comes in at the starts [N, B, S], and at the right ends [N B, S] where a row ends
        with its piece.
    """
    extra, by_stop = torch.zeros_like(starts), starts.new_zeros(starts.flatten(0, 1).shape)
    piece, valid = pieces.final
    rows = piece * pieces.batch + torch.arange(pieces.batch, device=piece.device)
    short = valid < pieces.length
    by_stop[rows[~short]] = by_last[~short]
    if bool(short.any()):
        rows, valid = rows[short], valid[short]
        with torch.enable_grad():
            x = pieces.x[rows].detach().requires_grad_()
            h = starts.flatten(0, 1)[rows].detach().requires_grad_()
            last, _ = weights.run(x, h, valid)
            by_h, more_x, *more = torch.autograd.grad(
                last,
                [h, x, *weights.values],
                by_last[short],
                materialize_grads=True,
                allow_unused=True,
            )
        extra.view(by_stop.shape)[rows] = by_h
        by_x[rows] += more_x
        for total, new in zip(by_weight, more, strict=True):
            total += new
    return extra, by_stop
