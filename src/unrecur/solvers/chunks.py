"""Pieces of a block run side by side from guessed starts, and corrected until they meet."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from unrecur.solvers.cut import Cut, advance, advance_to_ends, clean
from unrecur.solvers.solution import Problem

SEGMENT = 64  # steps between two looks at whether a corrected piece has met its old run
ROUNDINGS = 8  # two runs closer than so many units of rounding are the same
PART_OF_TOLERANCE = 64  # of the tolerance, what a boundary may leave for what comes after it
FOLLOWED = 8  # pieces whose residual is followed to their end


@dataclass
class Chunks:
    """The pieces while they are being solved: states are [N, B, S].

    Attributes:
        problem: What is solved.
        cut: The pieces' inputs.
        starts: The state that each piece was started from.
        stops: The state that it ended in.
        marks: Its state after each segment.
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
    y: Tensor = field(init=False)
    steps: int = 0
    depth: int = 0
    tight: float = 1 / PART_OF_TOLERANCE

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
        self.stops = h.view_as(self.starts)
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
        return (self.stops[:-1] - self.starts[1:]).masked_fill(self._behind()[..., None], 0.0)

    def allowed(self, h: Tensor) -> Tensor:
        """Say by how much a state may differ: a share of the tolerance, or rounding."""
        rounding = ROUNDINGS * torch.finfo(h.dtype).eps * h.abs().clamp(min=1)
        return rounding.clamp(min=self.problem.tol * self.tight)

    def agree(self, h: Tensor, other: Tensor) -> Tensor:
        """Say which rows of states are the same; NaN is the same as NaN."""
        same = (h == other) | (h.isnan() & other.isnan())
        return (same | ((h - other).abs() <= self.allowed(h))).all(-1)

    def apart(self) -> Tensor:
        """List the pieces, as rows, that did not start from where their left neighbour ended."""
        met = self.agree(self.stops[:-1], self.starts[1:])
        met |= self._behind()
        return (~met).flatten().nonzero()[:, 0] + self.cut.batch

    def largest_gap(self) -> float:
        """Give the largest difference at a boundary, in units of what is allowed."""
        gaps = self.gaps().abs() / self.allowed(self.stops[:-1])
        return float(gaps.nan_to_num(nan=0.0).amax()) if gaps.numel() else 0.0

    def before(self, rows: Tensor) -> Tensor:
        """Give the states in which the left neighbours of some pieces ended."""
        return self.stops.flatten(0, 1)[rows - self.cut.batch]

    def restart(self, rows: Tensor, h: Tensor) -> None:
        """Run some pieces from other starts, each until it meets its old run.

        Args:
            rows: Which, [R].
            h: The states that they now start from, [R, S].
        """
        self.starts.view(-1, h.shape[1])[rows] = h
        for part, mark in zip(self.segments(), self.marks, strict=True):
            y, h = advance(self.problem.cell, self.cut.x[rows, part], h)
            self.y[rows // self.cut.batch, rows % self.cut.batch, part] = y
            self._count(len(rows), part.stop - part.start)
            met = self.agree(h, mark[rows])
            mark[rows] = h
            rows, h = rows[~met], h[~met]
            if not len(rows):
                return
        self.stops.view(-1, h.shape[1])[rows] = h

    def follow(self) -> float:
        """Carry the worst differences that are left to the end of their pieces.

        Returns:
            The largest change of any output.
        """
        gaps = (self.gaps().abs() / self.allowed(self.stops[:-1])).amax(-1).flatten()
        worst = gaps.topk(min(FOLLOWED, len(gaps)))
        rows = worst.indices[worst.values > 0] + self.cut.batch
        if not len(rows):
            return 0.0
        y, _ = advance(self.problem.cell, self.cut.x[rows], self.before(rows))
        self._count(len(rows), self.cut.length)
        old = self.y[rows // self.cut.batch, rows % self.cut.batch]
        return float((y - old).abs().nan_to_num(nan=0.0).amax())

    def run_in_sequence(self) -> None:
        """Run the pieces that disagree one after the other, from the left."""
        batch = self.cut.batch
        for piece in range(1, self.cut.pieces):
            met = self.agree(self.stops[piece - 1], self.starts[piece])
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
