"""Solvers: ways to run a cell over time; the one loop that drives those that iterate."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from unrecur._check import InputError
from unrecur.solvers.solution import Problem, Solution

S = TypeVar("S")


@dataclass(frozen=True)
class Run:
    """A solution, and the states from which pieces of it can be run again for gradients.

    Attributes:
        solution: The solution.
        starts: The state before each piece of `length` steps, [N, B, S].
        length: The steps of a piece.
    """

    solution: Solution
    starts: Tensor
    length: int


class AbstractSolver(ABC):
    """A way to run a cell over time. Final solvers are frozen dataclasses."""

    @abstractmethod
    def run(self, problem: Problem) -> Run:
        """Run the cell over the block, without gradients.

        Args:
            problem: The cell and its inputs.

        Returns:
            The solution and the starts of its pieces.
        """


class AbstractIteration(AbstractSolver, Generic[S]):
    """A solver that improves a guess until its criterion holds.

    Attributes:
        max_iterations: After so many steps what still disagrees is run in sequence.
    """

    max_iterations: int

    @abstractmethod
    def init(self, problem: Problem) -> S:
        """Make the first guess."""

    @abstractmethod
    def step(self, problem: Problem, guess: S) -> S:
        """Improve a guess."""

    @abstractmethod
    def terminate(self, problem: Problem, guess: S) -> bool:
        """Say whether to stop: the criterion holds, or nothing is to be gained by going on."""

    @abstractmethod
    def finish(self, problem: Problem, guess: S, iterations: int) -> Run:
        """Make the solution, by sequential runs where the criterion does not hold."""

    def run(self, problem: Problem) -> Run:
        """See `AbstractSolver.run`."""
        return self.iterate(problem)

    def iterate(self, problem: Problem) -> Run:
        """Drive the iteration: the one loop.

        Args:
            problem: The cell and its inputs.

        Returns:
            The run.
        """
        guess, iterations = self.init(problem), 0
        while iterations < self.max_iterations and not self.terminate(problem, guess):
            guess, iterations = self.step(problem, guess), iterations + 1
        return self.finish(problem, guess, iterations)


def check_solver(solver: AbstractSolver | None) -> None:
    """Check that what a user hands in as a solver is one.

    Args:
        solver: A solver; None where it is left out.

    Raises:
        InputError: It is something else, such as a name or the class of a solver.
    """
    if not (solver is None or isinstance(solver, AbstractSolver)):
        raise InputError(
            f"solver must be one like Chunked() or Auto(), got {solver!r}; make it with ()."
        )
