"""One sequence over several processes: each runs its part of the time, and neighbours compare."""

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from unrecur import _check
from unrecur._check import InputError
from unrecur.core.cell import AbstractCell
from unrecur.solvers.adjoint import Incoming, Weights, gradients
from unrecur.solvers.agreement import PART_OF_TOLERANCE, ROUNDINGS, agree
from unrecur.solvers.auto import Auto
from unrecur.solvers.cut import advance
from unrecur.solvers.solution import Problem, Result, Solution
from unrecur.solvers.solver import AbstractSolver, Run
from unrecur.solvers.unroll import check_tolerance


def unroll_sharded(
    cell: AbstractCell,
    x: Float[Tensor, "B T D"],
    h: Float[Tensor, "B S"] | None = None,
    *,
    burn_in: int,
    tol: float = 1e-5,
    solver: AbstractSolver | None = None,
    group: Any = None,
) -> Solution:
    """Run a cell over a sequence whose parts lie on the processes of a group, in order of rank.

    Each process starts from what the last `burn_in` inputs of the one before it leave, runs its
    part, and hands its last state on; who did not start from there runs again, until all agree: at
    most as many times as there are processes, and then the run is the sequential one. Gradients go
    the same way from the right; those of the weights are summed over the processes.

    Args:
        cell: The recurrence, with the same weights everywhere.
        x: This process's part of the inputs, at least `burn_in` of them.
        h: The state before the first input of all; read on the first process.
        burn_in: How many inputs of the process before are read.
        tol: The largest difference from the sequential run allowed in any output.
        solver: How a process runs its part; `Auto()` if left out.
        group: A process group or one-dimensional device mesh; the default group if left out.

    Returns:
        This process's outputs, the state after its part, and what it took; `iterations` is how
        often parts were run again.

    Raises:
        InputError: An argument is malformed, the part of some process is shorter than the
            burn-in, or `torch.distributed` is not running.
    """
    if not dist.is_initialized():
        raise InputError(
            "torch.distributed is not running; start with torchrun and call init_process_group."
        )
    _check.block(x, cell.input_size)
    _check.positive_integer(burn_in, "burn_in")
    check_tolerance(tol, x.dtype)
    line = _Line(group.get_group() if hasattr(group, "get_group") else group)
    h = cell.init_state(len(x)) if h is None else h
    # All together, as the others would wait for ever for one that has stopped.
    if line.any(x.shape[1] < burn_in or h.shape != (len(x), cell.state_size), x):
        raise InputError(
            f"each part must hold at least burn_in={burn_in} inputs, and h must be "
            f"[B, {cell.state_size}]; here the part has {x.shape[1]} and h is {list(h.shape)}."
        )
    named = dict(cell.named_parameters())
    task = _Task(cell, list(named), line, burn_in, tol, solver or Auto())
    y, last = _Sharded.apply(task, x, h, *named.values())  # type: ignore[no-untyped-call]
    solution, task.solution = task.solution, None  # autograd keeps the task
    assert solution is not None
    return replace(solution, y=y, last=last)


class _Line:
    """The processes of a group, side by side."""

    def __init__(self, group: Any) -> None:
        self.group = group
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)

    def shift(self, tensor: Tensor, by: int) -> Tensor | None:
        """Send to the process `by` further on; give what comes from the other side."""
        to, source = self.rank + by, self.rank - by
        got = torch.empty_like(tensor) if 0 <= source < self.size else None
        sent = tensor.contiguous()
        moves = []
        if 0 <= to < self.size:
            moves.append(dist.P2POp(dist.isend, sent, self._global(to), self.group))
        if got is not None:
            moves.append(dist.P2POp(dist.irecv, got, self._global(source), self.group))
        for work in dist.batch_isend_irecv(moves) if moves else []:
            work.wait()
        return got

    def any(self, mine: bool, like: Tensor) -> bool:
        """Say whether it holds anywhere."""
        flag = torch.tensor(float(mine), device=like.device)
        dist.all_reduce(flag, dist.ReduceOp.MAX, self.group)
        return bool(flag)

    def sum(self, tensor: Tensor) -> None:
        """Sum up over all, in place."""
        dist.all_reduce(tensor, dist.ReduceOp.SUM, self.group)

    def _global(self, rank: int) -> int:
        return rank if self.group is None else dist.get_global_rank(self.group, rank)


@dataclass
class _Task:
    """What goes through autograd untouched, and what comes back."""

    cell: AbstractCell
    names: list[str]
    line: _Line
    burn_in: int
    tol: float
    solver: AbstractSolver
    solution: Solution | None = None


def _run(task: _Task, x: Tensor, h: Tensor) -> Run:
    """Run all parts until they agree."""
    line = task.line
    before = line.shift(x[:, -task.burn_in :], 1)
    if before is not None:
        h = advance(task.cell, before, task.cell.init_state(len(x)))[1]
    run = task.solver.run(Problem(task.cell, x, h, task.tol))
    count, share = 0, task.tol / PART_OF_TOLERANCE / line.size
    while True:
        left = line.shift(run.solution.last, 1)
        mine = left is not None and not bool(agree(left, h, share).all())
        if not line.any(mine, x):
            break
        if mine:
            assert left is not None
            h = left
            run = task.solver.run(Problem(task.cell, x, h, task.tol))
        count += 1
    stats = replace(run.solution.stats, iterations=count, burn_in=task.burn_in)
    in_sequence = count and count == line.size - 1
    result = Result.FELL_BACK if in_sequence else run.solution.result
    return replace(run, solution=replace(run.solution, stats=stats, result=result))


class _Sharded(torch.autograd.Function):
    """The run over all processes, and the adjoint's."""

    @staticmethod
    def forward(ctx: Any, task: _Task, x: Tensor, h: Tensor, *weights: Tensor) -> Any:
        run = _run(task, x, h)
        task.solution = run.solution
        ctx.task, ctx.length = task, run.length
        ctx.save_for_backward(x, run.starts, *weights)
        ctx.set_materialize_grads(True)
        y = run.solution.y
        return y.clone(), run.solution.last.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_y: Tensor, by_last: Tensor) -> Any:
        x, starts, *values = ctx.saved_tensors
        task: _Task = ctx.task
        weights, line = Weights(task.cell, task.names, values), task.line

        def back(y: Tensor, last: Tensor, steps: int, pieces: Tensor, length: int) -> Any:
            given = Incoming(y[:, :steps], last)
            part = x[:, :steps]
            return gradients(weights, part, pieces, length, None, given, task.burn_in, task.tol)

        _, guess, _ = back(by_y, torch.zeros_like(by_last), task.burn_in, starts[:1], task.burn_in)
        right = line.shift(guess, -1)
        used = torch.zeros_like(guess) if right is None else right
        by_x, by_h, by_weight = back(by_y, used + by_last, x.shape[1], starts, ctx.length)
        silence = torch.zeros_like(by_y)
        for _ in range(line.size):
            right = line.shift(by_h, -1)
            off = torch.zeros_like(used) if right is None else right - used
            scale = float(by_h.abs().amax().clamp(min=torch.finfo(by_h.dtype).tiny))
            eps = max(ROUNDINGS * torch.finfo(by_h.dtype).eps, task.tol / PART_OF_TOLERANCE)
            mine = bool((off.abs() > scale * eps).any())
            if not line.any(mine, by_h):
                break
            used = used + off
            more_x, more_h, more = back(silence, off, x.shape[1], starts, ctx.length)
            by_x, by_h = by_x + more_x, by_h + more_h
            by_weight = [a + b for a, b in zip(by_weight, more, strict=True)]
        for gradient in by_weight:
            line.sum(gradient)
        return None, by_x, by_h if line.rank == 0 else None, *by_weight
