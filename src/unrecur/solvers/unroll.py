"""Run a cell over a block by any solver, with gradients."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call

from unrecur import _check
from unrecur.core.cell import AbstractCell
from unrecur.core.state import zero_padding
from unrecur.solvers.adjoint import Incoming, Weights, gradients, shell
from unrecur.solvers.auto import Auto
from unrecur.solvers.in_sequence import Sequential
from unrecur.solvers.scan import Scan
from unrecur.solvers.solution import Problem, Solution
from unrecur.solvers.solver import AbstractSolver, Run, check_solver

LEAST_ROUNDINGS = 32  # no tolerance below so many units of rounding can be met
BURN_IN = 64  # of the adjoint, where the solver had none


def unroll(
    cell: AbstractCell,
    x: Float[Tensor, "B T D"],
    h: Float[Tensor, "B S"] | None = None,
    solver: AbstractSolver | None = None,
    *,
    tol: float = 1e-5,
    lengths: Integer[Tensor, " B"] | None = None,
    slab: int | None = None,
) -> Solution:
    """Run a cell over a block, h_t = phi(h_{t-1}, x_t), y_t = readout(h_t), by any solver.

    The outputs are those of the sequential run to `tol`. Gradients come from the adjoint
    recurrence, itself run in pieces: between forward and backward only the inputs and the state
    at the start of each piece are kept.

    Args:
        cell: The recurrence.
        x: The inputs.
        h: The state before the first; zeros if left out.
        solver: The solver; `Auto()` if left out.
        tol: The largest difference from the sequential run allowed in any output; gradients are
            exact to it relative to the largest adjoint.
        lengths: How many steps of each row are valid, at least 1; None when all are.
        slab: How many pieces a backward run holds in memory at a time; None for all of them.

    Returns:
        The outputs, the last states, and what it took.

    Raises:
        InputError: x, h or lengths do not fit the cell, or tol is below what rounding allows.

    Example:
        >>> import torch
        >>> from unrecur.cells import GRU
        >>> cell, x = GRU(3, 8), torch.randn(1, 4000, 3)
        >>> solution = unroll(cell, x)
        >>> solution.result.value, solution.y.shape
        ('converged', torch.Size([1, 4000, 8]))
    """
    named: dict[str, Tensor] = dict(cell.named_parameters())
    return unroll_with(cell, named, x, h, solver, tol=tol, lengths=lengths, slab=slab)


def unroll_with(
    cell: AbstractCell,
    weights: dict[str, Tensor],
    x: Tensor,
    h: Tensor | None = None,
    solver: AbstractSolver | None = None,
    *,
    tol: float = 1e-5,
    lengths: Tensor | None = None,
    slab: int | None = None,
) -> Solution:
    """Run a cell whose weights have a history of their own; see `unroll`.

    Args:
        cell: The recurrence; its weights have the same values.
        weights: By name, what gradients are wanted of.
        x: See `unroll`.
        h: See `unroll`.
        solver: See `unroll`.
        tol: See `unroll`.
        lengths: See `unroll`.
        slab: See `unroll`.

    Returns:
        See `unroll`.

    Raises:
        InputError: See `unroll`.
    """
    _check.block(x, cell.input_size)
    if lengths is not None:
        _check.lengths(lengths, *x.shape[:2])
    if slab is not None:
        _check.positive_integer(slab, "slab")
    check_solver(solver)
    check_tolerance(tol, x.dtype)
    h = cell.init_state(len(x)) if h is None else h
    for name, tensor in (("h", h), *weights.items()):
        if tensor.dtype != x.dtype or tensor.device != x.device:
            raise _check.InputError(
                f"x is {x.dtype} on {x.device}, {name} is {tensor.dtype} on {tensor.device}; "
                "convert one of them with .to(...)."
            )
    if h.shape != (len(x), cell.state_size):
        raise _check.InputError(
            f"h must be [{len(x)}, {cell.state_size}], the cell's flat state, got {list(h.shape)}."
        )
    chosen = Auto() if solver is None else solver
    backward = torch.is_grad_enabled() and any(
        tensor.requires_grad for tensor in (x, h, *weights.values())
    )
    problem = Problem(cell, zero_padding(x, lengths), h, tol, lengths, backward)
    if not backward:
        with torch.no_grad():
            return chosen.run(problem).solution
    if isinstance(chosen, Auto):
        with torch.no_grad():
            chosen = chosen.differentiable(problem) or chosen
    if isinstance(chosen, (Sequential, Scan)):
        named = {f"cell.{name}": weight for name, weight in weights.items()}
        solution: Solution = functional_call(_Solving(shell(cell)), named, (chosen, problem))
        return solution
    box = _Box(chosen, cell, list(weights), tol, lengths, slab)
    y, last = _Unrolled.apply(box, x, h, *weights.values())  # type: ignore[no-untyped-call]
    run, box.run = box.run, None  # autograd keeps the box: it must not keep the outputs
    assert run is not None
    return replace(run.solution, y=y, last=last)


def check_tolerance(tol: float, dtype: torch.dtype) -> float:
    """Refuse a tolerance below rounding.

    Args:
        tol: The tolerance.
        dtype: The type of the numbers.

    Returns:
        The least tolerance that can be met.

    Raises:
        InputError: It is below, with the least that can be reached.
    """
    _check.positive(tol, "tol")
    least = LEAST_ROUNDINGS * torch.finfo(dtype).eps
    if tol < least:
        raise _check.InputError(
            f"tol={tol:g} is below what {str(dtype).removeprefix('torch.')} can tell apart; "
            f"use at least {least:.1g}, or float64."
        )
    return least


class _Solving(nn.Module):
    """A cell as a module whose call runs a solver that autograd can follow."""

    def __init__(self, cell: AbstractCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, solver: AbstractSolver, problem: Problem) -> Solution:
        """Run it."""
        return solver.run(replace(problem, cell=self.cell)).solution


@dataclass
class _Box:
    """What goes through autograd untouched, and the run that comes back."""

    solver: AbstractSolver
    cell: AbstractCell
    names: list[str]
    tol: float
    lengths: Tensor | None
    slab: int | None
    run: Run | None = None


class _Unrolled(torch.autograd.Function):
    """A run over time whose backward is the adjoint recurrence."""

    @staticmethod
    def forward(ctx: Any, box: _Box, x: Tensor, h: Tensor, *weights: Tensor) -> Any:
        x = zero_padding(x, box.lengths)
        problem = Problem(box.cell, x, h, box.tol, box.lengths, backward=True)
        run = box.run = box.solver.run(problem)
        ctx.box, ctx.length, ctx.burn_in = box, run.length, run.solution.stats.burn_in or BURN_IN
        ctx.save_for_backward(problem.x, run.starts, *weights)
        ctx.set_materialize_grads(True)
        # Not views, so that users may change them in place, as they may torch's.
        y = run.solution.y
        plain = y.new_empty(0)
        plain.set_(y.untyped_storage(), y.storage_offset(), y.shape, y.stride())
        return plain, run.solution.last.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_y: Tensor, by_last: Tensor) -> Any:
        x, starts, *weights = ctx.saved_tensors
        box: _Box = ctx.box
        by_x, by_h, by_weight = gradients(
            Weights(box.cell, box.names, weights),
            x,
            starts,
            ctx.length,
            box.lengths,
            Incoming(zero_padding(by_y, box.lengths), by_last),
            ctx.burn_in,
            box.tol,
            box.slab,
        )
        return None, zero_padding(by_x, box.lengths), by_h, *by_weight
