"""Chunks with burn-in: a recurrence that forgets, run in parallel over time."""

from dataclasses import dataclass, field, replace

import torch

from unrecur import _check
from unrecur.solvers.agreement import largest
from unrecur.solvers.chunks import Chunks
from unrecur.solvers.costs import cost_of
from unrecur.solvers.cut import cut
from unrecur.solvers.in_sequence import Sequential
from unrecur.solvers.plan import LEAST_GAIN, LEAST_GAIN_BACKWARD, Plan, forgetting_steps, plan
from unrecur.solvers.solution import Problem, Result, Solution, Stats
from unrecur.solvers.solver import AbstractIteration, Run

FEWER, SMALLER = 0.7, 8.0  # a sweep leaves fewer boundaries apart, or much smaller differences


@dataclass
class Pieces:
    """The guess of a solver that runs pieces.

    Attributes:
        chunks: The pieces.
        burn_in: What each was given before its first input.
        apart: The pieces, as rows, that do not start where their neighbour ended.
        carried: What the differences that are left do to the outputs; None before it was looked at.
        reason: Why it was given up; empty as long as it was not.
        counts: How many were apart after each sweep.
        sizes: The largest difference after each sweep, in units of what is allowed.
    """

    chunks: Chunks
    burn_in: int
    apart: torch.Tensor
    carried: float | None = None
    reason: str = ""
    counts: list[int] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Chunked(AbstractIteration[Pieces]):
    """Pieces of C steps, each started by the k inputs before it from zero, all run side by side.

    Work 1 + k / C of the sequential run in k + C steps of T / C rows. Then every boundary is
    compared: a piece that did not start where its left neighbour ended is run again from there
    until it meets its old run. The worst differences that are left are followed to the ends of
    their pieces; if they do more to an output than half the tolerance, less is left.

    Attributes:
        burn_in: k; None for what a probe of the block finds.
        length: C, at least k; None for the best by the cost model of the device.
        max_iterations: See `AbstractIteration`.
    """

    burn_in: int | None = None
    length: int | None = None
    max_iterations: int = 8

    def __post_init__(self) -> None:
        check_pieces(self.burn_in, self.length, self.max_iterations)

    def run(self, problem: Problem) -> Run:
        """See `AbstractSolver.run`."""
        chosen = choose_plan(problem, self.burn_in, self.length)
        if isinstance(chosen, str):
            return Sequential(chosen).run(problem)
        planned = Chunked(chosen.burn_in, chosen.length, self.max_iterations)
        return planned.iterate(problem)

    def init(self, problem: Problem) -> Pieces:
        """Run all pieces behind their burn-ins."""
        assert self.burn_in is not None
        assert self.length is not None
        return first_pieces(problem, self.burn_in, self.length)

    def step(self, problem: Problem, guess: Pieces) -> Pieces:
        """Run again what did not start where its neighbour ended."""
        chunks = guess.chunks
        chunks.restart(guess.apart, chunks.before(guess.apart))
        return looked_at(guess)

    def terminate(self, problem: Problem, guess: Pieces) -> bool:
        """Stop when all boundaries agree and what is left does no harm, or when it drags on."""
        return settled(problem, guess)

    def finish(self, problem: Problem, guess: Pieces, iterations: int) -> Run:
        """Join the pieces, after a run in sequence where they do not agree."""
        return joined("Chunked", problem, guess, iterations)


def check_pieces(burn_in: int | None, length: int | None, max_iterations: int) -> None:
    """Check what pieces are to be.

    Args:
        burn_in: Inputs before the first of each; None where it is yet to be chosen.
        length: Steps of each; None where they are yet to be chosen.
        max_iterations: The most sweeps of corrections.

    Raises:
        InputError: One is no whole number of at least 1, or they do not fit each other.
    """
    given = {"burn_in": burn_in, "length": length, "max_iterations": max_iterations}
    for name, value in given.items():
        if value is not None:
            _check.positive_integer(value, name)
    if length is not None and burn_in is None:
        raise _check.InputError("a length needs a burn_in too; give both, or leave both out.")
    if length is not None and burn_in is not None and length < burn_in:
        raise _check.InputError(f"length must be at least burn_in={burn_in}, got {length}.")


def choose_plan(
    problem: Problem, burn_in: int | None, length: int | None, passes: int = 1
) -> Plan | str:
    """Choose the burn-in by a probe and the length by cost, where they are not given.

    Args:
        problem: What is to be run.
        burn_in: The burn-in, if given.
        length: The length of the pieces, if given.
        passes: How often the pieces are expected to be run.

    Returns:
        The plan, or why there is none.
    """
    time = problem.x.shape[1]
    if burn_in is not None and length is not None:
        if length >= time:
            return f"the block of {time} steps is no longer than one piece of {length}"
        return Plan(burn_in, length, 1.0)
    if burn_in is None:
        burn_in = forgetting_steps(problem)
        if burn_in is None:
            return "a probe did not see the state forgotten within its length"
    best = plan(problem, burn_in, cost_of(problem.cell), passes)
    if best.gain < (LEAST_GAIN_BACKWARD if problem.backward else LEAST_GAIN):
        return f"no gain to be expected: {best.gain:.2f} times as fast with a burn-in of {burn_in}"
    return best


def first_pieces(problem: Problem, burn_in: int, length: int) -> Pieces:
    """Run all pieces behind their burn-ins.

    Args:
        problem: What is to be run.
        burn_in: Inputs given to each piece before its first.
        length: Steps of a piece.

    Returns:
        The first guess.
    """
    pieces = cut(problem.x, length, problem.lengths)
    starts = problem.h.new_zeros(pieces.pieces, *problem.h.shape)
    starts[0] = problem.h
    chunks = Chunks(problem, pieces, starts)
    chunks.burn_in(burn_in)
    chunks.run_all()
    return looked_at(Pieces(chunks, burn_in, pieces.ends))


def looked_at(guess: Pieces) -> Pieces:
    """Compare all boundaries."""
    guess.apart, guess.carried = guess.chunks.apart(), None
    guess.counts.append(len(guess.apart))
    guess.sizes.append(guess.chunks.largest_gap())
    return guess


def settled(problem: Problem, guess: Pieces) -> bool:
    """Say whether a guess is good, or is not getting better; sets `reason` where it is not.

    Args:
        problem: What is run.
        guess: The pieces, compared.

    Returns:
        Whether to stop.
    """
    chunks = guess.chunks
    if not len(guess.apart):
        guess.carried = chunks.follow()
        if guess.carried <= problem.tol / 2:
            return True
        # Leave less at the boundaries: what is left there grows by this much.
        chunks.tight *= problem.tol / 4 / guess.carried
        guess.apart = chunks.apart()
        if not len(guess.apart):
            guess.reason = (
                f"differences of rounding grow to {guess.carried:.1g} in the outputs, and the "
                f"tolerance is {problem.tol:g}"
            )
            return True
    boundaries = len(chunks.starts) * chunks.cut.batch
    if len(guess.counts) < 3:
        return False
    falls = guess.counts[-1] <= max(FEWER * guess.counts[-2], boundaries / 16)
    if not falls and guess.sizes[-1] > guess.sizes[-2] / SMALLER:
        guess.reason = f"{guess.counts[-1]} of {boundaries} pieces do not come to agree"
        return True
    return False


def joined(solver: str, problem: Problem, guess: Pieces, iterations: int) -> Run:
    """Join the pieces, after a run in sequence where they do not agree.

    Args:
        solver: The name of the solver.
        problem: What was run.
        guess: The pieces.
        iterations: How many sweeps of corrections there were.

    Returns:
        The run.
    """
    chunks = guess.chunks
    time, batch = problem.x.shape[1], problem.x.shape[0]
    count, reason = len(guess.apart), guess.reason
    if count and count <= len(chunks.starts) * batch // 4:
        chunks.run_in_sequence()
        reason = (
            f"{count} pieces did not agree after {iterations} corrections and were run in sequence"
        )
        guess.apart, guess.carried = chunks.apart(), None
    if guess.carried is None and not len(guess.apart):
        guess.carried = chunks.follow()
    if guess.carried is None or guess.carried > problem.tol / 2:
        reason = reason or f"{count} pieces did not agree after {iterations} corrections"
        run = Sequential().run(problem)
        stats = Stats(
            "Sequential",
            iterations,
            work=1 + chunks.steps / (time * batch),
            depth=1 + chunks.depth / time,
            burn_in=guess.burn_in,
            reason=reason,
        )
        return replace(run, solution=replace(run.solution, result=Result.FELL_BACK, stats=stats))
    y, last = chunks.finish()
    stats = Stats(
        solver,
        iterations,
        residual=largest(chunks.gaps()),
        carried=guess.carried,
        work=chunks.steps / (time * batch),
        depth=chunks.depth / time,
        burn_in=guess.burn_in,
        length=chunks.cut.length,
        reason=reason,
    )
    result = Result.FELL_BACK if reason else Result.CONVERGED
    return Run(Solution(y, last, result, stats), chunks.starts, chunks.cut.length)
