"""The plain run as a solver."""

from dataclasses import dataclass

from unrecur.solvers.cut import advance, advance_to_ends, clean, cut
from unrecur.solvers.solution import Problem, Result, Solution, Stats
from unrecur.solvers.solver import AbstractSolver, Run


@dataclass(frozen=True)
class Sequential(AbstractSolver):
    """One step after the other, by torch's fused kernel where there is one.

    Attributes:
        reason: Why nothing faster was tried, for the statistics; empty where it was asked for.
    """

    reason: str = ""

    def run(self, problem: Problem) -> Run:
        """See `AbstractSolver.run`."""
        whole = cut(problem.x, problem.x.shape[1], problem.lengths)
        y, last = advance(problem.cell, whole.x, problem.h)
        if problem.lengths is not None:
            last = advance_to_ends(problem.cell, whole.x, problem.h, whole.final[1])
        result = Result.REFUSED if self.reason else Result.CONVERGED
        stats = Stats("Sequential", reason=self.reason)
        solution = Solution(clean(y, problem.lengths), last, result, stats)
        return Run(solution, problem.h[None], problem.x.shape[1])
