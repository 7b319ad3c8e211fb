"""The plain run as a solver."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from unrecur.core.cell import AbstractCell
from unrecur.solvers.cut import clean
from unrecur.solvers.sequential import sequential
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
        """See `AbstractSolver.run`; with gradients."""
        cell, x, h = problem.cell, problem.x, problem.h
        if problem.lengths is None:
            found = cell.fused(x, h)
        else:
            found = _run_packed(cell, x, h, problem.lengths)
        if found is None:
            states = sequential(cell, x, h, problem.lengths)
            found = clean(cell.readout(states), problem.lengths), states[:, -1]
        result = Result.REFUSED if self.reason else Result.CONVERGED
        stats = Stats("Sequential", reason=self.reason)
        return Run(Solution(*found, result, stats), h[None], x.shape[1])


def _run_packed(
    cell: AbstractCell, x: Tensor, h: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Run the fused kernel over rows of different lengths, so that each ends at its own end."""
    packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
    result = cell.fused(packed.data, h[packed.sorted_indices], packed.batch_sizes)
    if result is None:
        return None
    data, last = result
    outputs = PackedSequence(
        data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices
    )
    y, _ = pad_packed_sequence(outputs, batch_first=True, total_length=x.shape[1])
    return y, last[packed.unsorted_indices]
