"""The choice of a solver, by what was measured."""

import time
from dataclasses import dataclass, field
from typing import Any

import torch

from unrecur.cells.affine import AbstractAffineCell
from unrecur.cells.gru import GRU
from unrecur.cells.lstm import LSTM
from unrecur.cells.mgu import MGU
from unrecur.solvers.chunked import Chunked, choose_plan
from unrecur.solvers.costs import cost_of
from unrecur.solvers.in_sequence import Sequential
from unrecur.solvers.scan import Scan
from unrecur.solvers.shooting import Shooting
from unrecur.solvers.solution import Problem
from unrecur.solvers.solver import AbstractSolver, Run

COUNTING = 2  # sweeps that a cell which counts is expected to need
GIVE_UP = 0.9  # of the sequential speed: what is slower is not tried again,
PATIENCE = 2  # if it is so this often in a row; other jobs make a run slow too
LONGER = 1.5  # burn-in of the next call, where this one's was too short
MOST_REMEMBERED = 256


@dataclass(frozen=True)
class Found:
    """What is known of problems of one shape.

    Attributes:
        solver: The solver.
        slow: How many of its runs in a row were slower than the sequential run.
    """

    solver: AbstractSolver
    slow: int = 0


@dataclass(frozen=True)
class Auto(AbstractSolver):
    """The fastest solver that was seen to work, for each cell, length and number of rows.

    Affine cells are scanned. Others are probed: what forgets is run in chunks, gates that count
    by shooting, the rest in sequence. Each run is timed: where it took longer than the sequential
    run is predicted to take, twice in a row, the next one is sequential, and says so.

    Attributes:
        memory: What was found, by shape, type and device.
    """

    memory: dict[Any, "Found"] = field(default_factory=dict, compare=False, repr=False)

    def run(self, problem: Problem) -> Run:
        """See `AbstractSolver.run`."""
        found = self._found(problem)
        if isinstance(found.solver, (Sequential, Scan)):
            return found.solver.run(problem)
        began = time.perf_counter()
        run = found.solver.run(problem)
        if problem.x.is_cuda:
            torch.cuda.synchronize(problem.x.device)
        taken = time.perf_counter() - began
        self.memory[_key(problem)] = _learnt(problem, found, run, taken)
        return run

    def differentiable(self, problem: Problem) -> AbstractSolver | None:
        """Give the choice where autograd can follow it by itself.

        Args:
            problem: What is to be run.

        Returns:
            `Sequential` or `Scan`; None for other choices.
        """
        solver = self._found(problem).solver
        return solver if isinstance(solver, (Sequential, Scan)) else None

    def _found(self, problem: Problem) -> "Found":
        """Look up what was found, or choose."""
        if isinstance(problem.cell, AbstractAffineCell):
            return Found(Scan())
        key = _key(problem)
        if key not in self.memory:
            if len(self.memory) >= MOST_REMEMBERED:
                self.memory.clear()
            self.memory[key] = Found(_chosen(problem))
        return self.memory[key]


def _key(problem: Problem) -> Any:
    """Say which problems are alike."""
    cell, x = problem.cell, problem.x
    size = (type(cell), cell.input_size, cell.hidden_size)
    return *size, x.shape, x.dtype, x.device, problem.tol, problem.backward


def _chosen(problem: Problem) -> AbstractSolver:
    """Probe the block and choose."""
    plan = choose_plan(problem, None, None)
    if not isinstance(plan, str):
        return Chunked(plan.burn_in, plan.length)
    if isinstance(problem.cell, (LSTM, GRU, MGU)):
        counting = choose_plan(problem, Shooting().burn_in, None, passes=COUNTING)
        if not isinstance(counting, str):
            return Shooting(counting.burn_in, counting.length)
    return Sequential(plan)


def _learnt(problem: Problem, found: Found, run: Run, taken: float) -> Found:
    """Say what to run the next time."""
    whole = problem.x.shape[1] * cost_of(problem.cell).of(len(problem.x))
    solver, slow = found.solver, 0
    if taken > whole / GIVE_UP:
        slow = found.slow + 1
        if slow >= PATIENCE:
            reason = f"the last run took {taken / whole:.2f} times the sequential one's time"
            return Found(Sequential(reason))
    if isinstance(solver, Chunked) and run.solution.stats.iterations and solver.burn_in:
        longer = choose_plan(problem, int(LONGER * solver.burn_in), None)
        if not isinstance(longer, str):
            solver = Chunked(longer.burn_in, longer.length)
    return Found(solver, slow)
