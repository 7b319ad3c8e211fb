"""Pieces of a block run side by side from guessed starts, and corrected until they meet."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from unrecur.solvers.agreement import FOLLOWED, PART_OF_TOLERANCE, agree, allowed, largest
from unrecur.solvers.cut import Cut, advance, advance_to_ends, clean
from unrecur.solvers.solution import Problem

FORGOTTEN = 0.5  # of a difference, what is left of it at most where a piece forgets it
SEGMENT = 64  # steps between two looks at whether a corrected piece has met its old run


@dataclass
class Chunks:
    """The pieces while they are being solved: states are [N, B, S].

    Attributes:
        problem: What is solved.
        cut: The pieces' inputs.
        starts: The state that each piece was started from.
        stops: The state that it ended in.
        marks: Its state after each segment, [N B, S].
        slips: By how much it was off its old run where it was taken to have met it.
        y: Its outputs, [N, B, C, H], in memory laid out as the block [B, N C, H].
        steps: How many steps of the cell were run, in rows of one step.
        depth: How many one after the other.
        tight: The share of the tolerance a boundary may differ by.
    """

    problem: Problem
    cut: Cut
    starts: Tensor
    stops: Tensor = field(init=False)
    marks: list[Tensor] = field(init=False)
    slips: Tensor = field(init=False)
    y: Tensor = field(init=False)
    steps: int = 0
    depth: int = 0
    tight: float = 1 / PART_OF_TOLERANCE

    @property
    def tol(self) -> float:
        """What a boundary may differ by."""
        return self.problem.tol * self.tight

    def run_all(self) -> None:
        """Run all pieces from their starts."""
        h, self.marks = self.starts.flatten(0, 1), []
        rows = (self.cut.pieces, self.cut.batch)
        size = (self.cut.batch, self.cut.pieces, self.cut.length, self.problem.cell.hidden_size)
        self.y = self.cut.x.new_empty(size).transpose(0, 1)
        for part in self.segments():
            y, h = advance(self.problem.cell, self.cut.x[:, part], h)
            self.y[:, :, part] = y.unflatten(0, rows)
            self.marks.append(h)
        self.stops, self.slips = h.view_as(self.starts), torch.zeros_like(self.starts)
        self._count(len(h), self.cut.length)

    def segments(self) -> list[slice]:
        """List the parts of a piece between two marks."""
        length = self.cut.length
        return [slice(n, min(n + SEGMENT, length)) for n in range(0, length, SEGMENT)]

    def burn_in(self, steps: int) -> None:
        """Start each piece but the first from the state that its last inputs before it leave."""
        batch = self.cut.batch
        before = self.cut.x[:-batch, self.cut.length - steps :]
        zero = self.problem.h.new_zeros(len(before), self.problem.h.shape[1])
        _, h = advance(self.problem.cell, before, zero)
        self.starts[1:] = h.view_as(self.starts[1:])
        self._count(len(h), steps)

    def gaps(self) -> Tensor:
        """Give each boundary's difference: where a piece ended less where the next started."""
        gaps = self.stops[:-1] - self.starts[1:]
        unknown = self._behind()[..., None] | (self.stops[:-1] == self.starts[1:])
        return gaps.masked_fill(unknown, 0.0)

    def apart(self) -> Tensor:
        """List the pieces, as rows, that did not start from where their left neighbour ended."""
        met = agree(self.stops[:-1], self.starts[1:], self.tol).all(-1) | self._behind()
        return (~met).flatten().nonzero()[:, 0] + self.cut.batch

    def largest_gap(self) -> float:
        """Give the largest difference at a boundary, in units of what is allowed."""
        return largest(self.gaps() / allowed(self.stops[:-1], self.tol))

    def before(self, rows: Tensor) -> Tensor:
        """Give the states in which the left neighbours of some pieces ended."""
        return self.stops.flatten(0, 1)[rows - self.cut.batch]

    def restart(self, rows: Tensor, h: Tensor) -> None:
        """Run some pieces from other starts, each until it meets its old run.

        Args:
            rows: Which, [R].
            h: The states that they now start from, [R, S].
        """
        size = h.shape[1]
        self.starts.view(-1, size)[rows] = h
        self.slips.view(-1, size)[rows] = 0.0
        for part, mark in zip(self.segments(), self.marks, strict=True):
            y, h = advance(self.problem.cell, self.cut.x[rows, part], h)
            self.y[rows // self.cut.batch, rows % self.cut.batch, part] = y
            self._count(len(rows), part.stop - part.start)
            met = agree(h, mark[rows], self.tol).all(1)
            slip = (h - mark[rows])[met].nan_to_num(nan=0.0)
            self.slips.view(-1, size)[rows[met]] = slip
            # Where it has met its old run, the old marks stay, as the rest of that run does.
            rows, h = rows[~met], h[~met]
            mark[rows] = h
            if not len(rows):
                return
        self.stops.view(-1, size)[rows] = h

    def follow(self) -> float:
        """Carry differences that are left to the end of their pieces.

        A difference that is neither forgotten nor grows is passed on from piece to piece, so that
        all of them add up: their sums from the left are followed where they are largest. If a piece
        is seen to forget most of a sum, that was too strict, and twice the differences are.

        Returns:
            The largest change of any output.
        """
        left = self.gaps() + self.slips[:-1].masked_fill(self._behind()[..., None], 0.0)
        left = left.nan_to_num(nan=0.0)
        change, kept = self._followed(left.cumsum(0))
        if change > self.problem.tol / 2 and kept <= FORGOTTEN:
            change, _ = self._followed(2 * left)
        return change

    def _followed(self, moves: Tensor) -> tuple[float, float]:
        """Run the pieces whose starts are moved most.

        Args:
            moves: By how much the start of each piece but the first is moved, [N - 1, B, S].

        Returns:
            The largest change of any output, and of a last state over that of its start.
        """
        moves = moves.flatten(0, 1)
        size = (moves.abs() / allowed(self.stops[:-1].flatten(0, 1), self.tol)).amax(-1)
        worst = size.topk(min(FOLLOWED, len(size)))
        places = worst.indices[worst.values > 0]
        if not len(places):
            return 0.0, 0.0
        rows = places + self.cut.batch
        h = self.starts.flatten(0, 1)[rows] + moves[places]
        y, after = advance(self.problem.cell, self.cut.x[rows], h)
        self._count(len(rows), self.cut.length)
        piece, row = rows // self.cut.batch, rows % self.cut.batch
        steps = torch.arange(self.cut.length, device=y.device) + piece[:, None] * self.cut.length
        valid = steps < self.cut.ends[row][:, None]
        kept = largest(after - self.stops[piece, row]) / largest(moves[places])
        return largest((y - self.y[piece, row])[valid]), kept

    def run_in_sequence(self) -> None:
        """Run the pieces that disagree one after the other, from the left."""
        batch = self.cut.batch
        for piece in range(1, self.cut.pieces):
            met = agree(self.stops[piece - 1], self.starts[piece], self.tol).all(-1)
            rows = (~met).nonzero()[:, 0] + piece * batch
            if len(rows):
                self.restart(rows, self.before(rows))

    def finish(self) -> tuple[Tensor, Tensor]:
        """Give the outputs of the block and each row's last state."""
        time = self.problem.x.shape[1]
        piece, valid = self.cut.final
        rows = piece * self.cut.batch + torch.arange(self.cut.batch, device=piece.device)
        last = self.stops.flatten(0, 1)[rows]
        short = valid < self.cut.length
        if bool(short.any()):
            rows, valid = rows[short], valid[short]
            h = self.starts.flatten(0, 1)[rows]
            last[short] = advance_to_ends(self.problem.cell, self.cut.x[rows], h, valid)
            self._count(len(rows), int(valid.max()))
        y = self.y.transpose(0, 1).flatten(1, 2)[:, :time]
        return clean(y, self.problem.lengths), last

    def _behind(self) -> Tensor:
        """Mark the boundaries behind the end of their row, [N - 1, B]."""
        last, _ = self.cut.final
        return torch.arange(1, self.cut.pieces, device=last.device)[:, None] > last

    def _count(self, rows: int, steps: int) -> None:
        self.steps += rows * steps
        self.depth += steps
