"""All states of a block at once, as a guess that is improved until no step is off."""

from abc import abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unrecur import _check
from unrecur.core.state import valid_steps
from unrecur.solvers.agreement import FOLLOWED, PART_OF_TOLERANCE, agree, largest
from unrecur.solvers.chunks import FORGOTTEN
from unrecur.solvers.cut import advance, clean
from unrecur.solvers.in_sequence import Sequential
from unrecur.solvers.solution import Problem, Result, Solution, Stats
from unrecur.solvers.solver import AbstractIteration, Run

FOLLOWED_FOR = 256  # steps
LEAST_DAMPING = 2.0**-6
PIECES = 16  # that a backward run is cut into
GROWTH = 2.0  # of the residual, that is let pass


@dataclass
class Trajectory:
    """A guess of all states.

    Attributes:
        before: h_0, ..., h_{T-1} of the guess, [B, T, S].
        states: h_1, ..., h_T.
        images: phi(h_{t-1}, x_t); equal to the states at the solution.
        residual: Their largest difference; infinite where a number is not finite.
        damping: The share of the Jacobians that is used.
        tried: How many guesses were made.
        tight: The share of the tolerance a step may be off by.
        carried: What the differences do to the outputs further on; None before it was looked at.
    """

    before: Tensor
    states: Tensor
    images: Tensor
    residual: float
    damping: float = 1.0
    tried: int = 1
    tight: float = 1 / PART_OF_TOLERANCE
    carried: float | None = None


class AbstractTrajectorySolver(AbstractIteration[Trajectory]):
    """A solver of h_t - phi(h_{t-1}, x_t) = 0 for all t at once.

    A step linearizes phi at the guess g and solves the affine recurrence
    h_t = phi(g_{t-1}, x_t) + d A_t (h_{t-1} - g_{t-1}), A_t an approximate Jacobian and
    0 <= d <= 1 a damping: where the residual grows, d is halved, down to Picard's iteration at 0.
    """

    def __post_init__(self) -> None:
        _check.positive_integer(self.max_iterations, "max_iterations")

    def init(self, problem: Problem) -> Trajectory:
        """Start from zeros."""
        batch, time = problem.x.shape[:2]
        return trajectory(problem, problem.h.new_zeros(batch, time, problem.h.shape[1]))

    @abstractmethod
    def improved(self, problem: Problem, guess: Trajectory) -> Tensor:
        """Give the next states.

        Args:
            problem: What is solved.
            guess: The guess.

        Returns:
            The states, [B, T, S].
        """

    def step(self, problem: Problem, guess: Trajectory) -> Trajectory:
        """Improve the guess; use less of the Jacobians where that made it worse."""
        guess.carried = None
        new = trajectory(problem, self.improved(problem, guess))
        guess.tried += 1
        if new.residual < float("inf") and new.residual <= GROWTH * guess.residual:
            new.damping, new.tried, new.tight = (
                min(1.0, 2 * guess.damping),
                guess.tried,
                guess.tight,
            )
            return new
        guess.damping = guess.damping / 2 if guess.damping > LEAST_DAMPING else 0.0
        return guess

    def terminate(self, problem: Problem, guess: Trajectory) -> bool:
        """Stop once no step is off by more than a share of the tolerance, or than rounding."""
        if not _holds(problem, guess):
            return False
        guess.carried = _follow(problem, guess)
        if guess.carried <= problem.tol / 2:
            return True
        guess.tight *= problem.tol / 4 / guess.carried
        if _holds(problem, guess):  # rounding is all that is left
            return True
        guess.carried = None
        return False

    def finish(self, problem: Problem, guess: Trajectory, iterations: int) -> Run:
        """Show the states; run in sequence where they do not satisfy the recurrence."""
        name, time = type(self).__name__, problem.x.shape[1]
        if guess.carried is None and _holds(problem, guess):
            guess.carried = _follow(problem, guess)
        if guess.carried is None or guess.carried > problem.tol / 2:
            reason = f"{name} had a residual of {guess.residual:.2g} after {iterations} iterations"
            run, work = Sequential().run(problem), 1.0 + guess.tried
            stats = Stats("Sequential", iterations, guess.residual, work=work, reason=reason)
            solution = replace(run.solution, result=Result.FELL_BACK, stats=stats)
            return replace(run, solution=solution)
        y = clean(problem.cell.readout(guess.images), problem.lengths)
        depth = guess.tried / time
        stats = Stats(name, iterations, guess.residual, guess.carried, guess.tried, depth)
        solution = Solution(y, guess.images[:, -1].clone(), Result.CONVERGED, stats)
        length = -(-time // PIECES)
        starts = guess.before[:, ::length].transpose(0, 1).contiguous()
        return Run(solution, starts, length)


def trajectory(problem: Problem, states: Tensor) -> Trajectory:
    """Send states through phi, all at once; padding keeps the state.

    Args:
        problem: The recurrence.
        states: The guess, [B, T, S].

    Returns:
        The guess with its images.
    """
    before = torch.cat([problem.h[:, None], states[:, :-1]], 1)
    images = problem.cell.phi(before, problem.x)
    if problem.lengths is not None:
        valid = valid_steps(problem.lengths.to(states.device), states.shape[1])
        images = torch.where(valid[..., None], images, before)
    residual = (states - images).abs().amax()
    return Trajectory(before, states, images, float(residual.nan_to_num(nan=float("inf"))))


def _holds(problem: Problem, guess: Trajectory) -> bool:
    """Say whether no step is off by more than allowed."""
    return bool(agree(guess.states, guess.images, problem.tol * guess.tight).all())


def _follow(problem: Problem, guess: Trajectory) -> float:
    """Run the cell on from where the steps' differences have added up most.

    As `Chunks.follow`: all that came before, or what came lately where the cell is seen to forget.

    Returns:
        The largest change of any output.
    """
    off = (guess.images - guess.states).nan_to_num(nan=0.0)
    sums = torch.cat([torch.zeros_like(off[:, :1]), off.cumsum(1)], 1)[:, :-1]
    change, kept = _followed(problem, guess, sums)
    if change > problem.tol / 2 and kept <= FORGOTTEN:
        lately = torch.zeros_like(sums)
        lately[:, FOLLOWED_FOR:] = sums[:, :-FOLLOWED_FOR]
        change, _ = _followed(problem, guess, 2 * (sums - lately))
    return change


def _followed(problem: Problem, guess: Trajectory, moves: Tensor) -> tuple[float, float]:
    """Run the cell on from the states that are moved most; see `Chunks._followed`."""
    time = problem.x.shape[1]
    steps = min(FOLLOWED_FOR, time)
    size = moves.abs().amax((0, 2))[: time - steps + 1]
    change = kept = 0.0
    for at in size.topk(min(FOLLOWED, len(size))).indices.tolist():
        part = slice(at, at + steps)
        y, h = advance(problem.cell, problem.x[:, part], guess.before[:, at] + moves[:, at])
        apart = y - problem.cell.readout(guess.images[:, part])
        if problem.lengths is not None:
            apart = apart[valid_steps(problem.lengths.to(y.device), time)[:, part]]
        change = max(change, largest(apart))
        last = largest(h - guess.images[:, at + steps - 1])
        kept = max(kept, last / max(largest(moves[:, at]), 1e-300))
    return change, kept
