"""Multiple shooting: pieces whose starts are corrected for all at once, for cells that count."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from unrecur import _check
from unrecur.solvers.agreement import agree
from unrecur.solvers.carry import kept, transfer
from unrecur.solvers.chunked import (
    Pieces,
    check_pieces,
    choose_plan,
    first_pieces,
    joined,
    looked_at,
    settled,
)
from unrecur.solvers.in_sequence import Sequential
from unrecur.solvers.solution import Problem
from unrecur.solvers.solver import AbstractIteration, Run

Carry = Literal["gates", "jacobian"]


@dataclass(frozen=True)
class Shooting(AbstractIteration[Pieces]):
    """Newton's iteration on the starts s_j of the pieces, s_{j+1} = F_j(s_j).

    A sweep moves all starts at once: with the gap g_j = F_j(s_j) - s_{j+1} and D_j ~ F_j',
    d_{j+1} = g_j + D_j d_j from the left, s_j += d_j. D_j is the product of the gates that keep the
    state (an LSTM's forget gates act on c alone): exact for counters, whose errors `Chunked` would
    pass on one piece a sweep. Or it is the product of the Jacobians, for small states.

    Attributes:
        burn_in: See `Chunked`; needed, as cells that count are not forgotten in a probe.
        length: See `Chunked`.
        carry: What D_j is: "gates" or "jacobian".
        max_iterations: See `AbstractIteration`.
    """

    burn_in: int = 128
    length: int | None = None
    carry: Carry = "gates"
    max_iterations: int = 8

    def __post_init__(self) -> None:
        _check.known_name(self.carry, get_args(Carry), "carry")
        check_pieces(self.burn_in, self.length, self.max_iterations)

    def run(self, problem: Problem) -> Run:
        """See `AbstractSolver.run`."""
        chosen = choose_plan(problem, self.burn_in, self.length)
        if isinstance(chosen, str):
            return Sequential(chosen).run(problem)
        planned = Shooting(chosen.burn_in, chosen.length, self.carry, self.max_iterations)
        return planned.iterate(problem)

    def init(self, problem: Problem) -> Pieces:
        """Run all pieces behind their burn-ins."""
        assert self.length is not None
        return first_pieces(problem, self.burn_in, self.length)

    def step(self, problem: Problem, guess: Pieces) -> Pieces:
        """Move all starts, and run again the pieces whose start moved."""
        chunks = guess.chunks
        gaps, move, moves = chunks.gaps(), torch.zeros_like(chunks.starts[0]), []
        if self.carry == "gates":
            shown = problem.cell.readout(chunks.starts)[:, :, None]
            before = torch.cat([shown, chunks.y[:, :, :-1]], 2).flatten(0, 1)
            passes = kept(problem.cell, chunks.cut.x, before).view_as(chunks.starts)
        else:
            passes = transfer(problem.cell, chunks.cut.x, chunks.starts.flatten(0, 1))
            passes = passes.unflatten(0, chunks.starts.shape[:2])
        for gap, passed in zip(gaps, passes[:-1], strict=True):
            move = gap + _applied(passed, move)
            moves.append(move)
        starts = (chunks.starts[1:] + torch.stack(moves)).flatten(0, 1)
        moved = ~agree(starts, chunks.starts[1:].flatten(0, 1), chunks.tol).all(-1)
        rows = moved.nonzero()[:, 0]
        chunks.restart(rows + chunks.cut.batch, starts[rows])
        return looked_at(guess)

    def terminate(self, problem: Problem, guess: Pieces) -> bool:
        """See `Chunked.terminate`."""
        return settled(problem, guess)

    def finish(self, problem: Problem, guess: Pieces, iterations: int) -> Run:
        """See `Chunked.finish`."""
        return joined("Shooting", problem, guess, iterations)


def _applied(passed: Tensor, move: Tensor) -> Tensor:
    """Send moves of the starts through the pieces."""
    if passed.dim() == move.dim():
        return passed * move
    return (passed @ move[..., None])[..., 0]
