"""Affine recurrences h_t = a_t h_{t-1} + b_t, number by number, by a scan in two levels."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Inexact
from torch import Tensor
from torch.autograd.function import once_differentiable

from unrecur import _check
from unrecur.cells.affine import AbstractAffineCell, from_flat, to_flat
from unrecur.core.state import valid_steps
from unrecur.solvers.cut import clean
from unrecur.solvers.solution import Problem, Result, Solution, Stats
from unrecur.solvers.solver import AbstractSolver, Run


def affine_scan(
    a: Inexact[Tensor, "B T N"], b: Inexact[Tensor, "B T N"], h: Inexact[Tensor, "B N"]
) -> Inexact[Tensor, "B T N"]:
    """Give h_t = a_t h_{t-1} + b_t for all t, in about 3 sqrt(T) steps one after the other.

    The block is cut into sqrt(T) pieces. Each is run from zero, and the product of its a is taken
    along; then the starts are found from piece to piece; then each piece is run from its start.
    The gradient is the same scan from the right, with the conjugates of a.

    Args:
        a: The factors.
        b: The terms.
        h: h_0.

    Returns:
        The states.

    Example:
        >>> import torch
        >>> a, b = torch.full((1, 4, 1), 0.5), torch.ones(1, 4, 1)
        >>> affine_scan(a, b, torch.zeros(1, 1)).flatten().tolist()
        [1.0, 1.5, 1.75, 1.875]
    """
    states: Tensor = _Scan.apply(a, b, h)  # type: ignore[no-untyped-call]
    return states


class _Scan(torch.autograd.Function):
    """The scan and its adjoint."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h: Tensor) -> Tensor:
        states = _scanned(a, b, h)
        ctx.save_for_backward(a, states, h)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> Any:
        a, states, h = ctx.saved_tensors
        # adjoint_t = incoming_t + conj(a_{t+1}) adjoint_{t+1}
        later = torch.cat([a[:, 1:], torch.zeros_like(a[:, :1])], 1).conj()
        zero = torch.zeros_like(h)
        adjoint = _scanned(later.flip(1), incoming.flip(1), zero).flip(1)
        before = torch.cat([h[:, None], states[:, :-1]], 1)
        return adjoint * before.conj(), adjoint, a[:, 0].conj() * adjoint[:, 0]


def _scanned(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    batch, time, size = a.shape
    length = max(1, math.isqrt(time))
    pieces = -(-time // length)
    if pieces * length > time:
        missing = pieces * length - time
        a = torch.cat([a, a.new_ones(batch, missing, size)], 1)
        b = torch.cat([b, b.new_zeros(batch, missing, size)], 1)
    a, b = (part.view(batch, pieces, length, size) for part in (a, b))
    end, product = torch.zeros_like(b[:, :, 0]), torch.ones_like(a[:, :, 0])
    for t in range(length):
        end = a[:, :, t] * end + b[:, :, t]
        product = a[:, :, t] * product
    starts = []
    for piece in range(pieces):
        starts.append(h)
        h = product[:, piece] * h + end[:, piece]
    state, states = torch.stack(starts, 1), torch.empty_like(b)
    for t in range(length):
        state = a[:, :, t] * state + b[:, :, t]
        states[:, :, t] = state
    return states.view(batch, pieces * length, size)[:, :time]


@dataclass(frozen=True)
class Scan(AbstractSolver):
    """The exact run of an affine cell in parallel over time (Martin and Cundy 2018)."""

    def run(self, problem: Problem) -> Run:
        """See `AbstractSolver.run`; with gradients.

        Args:
            problem: The cell and its inputs.

        Returns:
            The run.

        Raises:
            InputError: The cell is not affine.
        """
        cell, time = problem.cell, problem.x.shape[1]
        if not isinstance(cell, AbstractAffineCell):
            raise _check.InputError(
                f"Scan runs affine cells (minGRU, minLSTM, QRNN, LRU), got {type(cell).__name__}; "
                "use Chunked or Newton."
            )
        a, b = cell.coefficients(problem.x)
        if problem.lengths is not None:
            valid = valid_steps(problem.lengths.to(a.device), time)[..., None]
            a, b = torch.where(valid, a, 1), torch.where(valid, b, 0)
        states = to_flat(affine_scan(a, b, from_flat(problem.h, a)))
        y = clean(cell.readout(states), problem.lengths)
        length = math.isqrt(time)
        stats = Stats("Scan", work=2.0, depth=(2 * length + -(-time // length)) / time)
        solution = Solution(y, states[:, -1], Result.CONVERGED, stats)
        return Run(solution, problem.h[None], time)
