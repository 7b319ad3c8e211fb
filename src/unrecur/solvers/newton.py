"""Newton's iteration over all states of a block, its diagonal kin, and Picard's."""

from dataclasses import dataclass

import torch
from torch import Tensor

from unrecur import _check
from unrecur.core.state import valid_steps
from unrecur.solvers.scan import affine_scan
from unrecur.solvers.solution import Problem
from unrecur.solvers.trajectory import AbstractTrajectorySolver, Trajectory

BLOCK = 2**24  # numbers of Jacobians of which only the diagonals are kept
MOST = 2**28  # numbers of Jacobians that are held


@dataclass(frozen=True)
class Picard(AbstractTrajectorySolver):
    """h_t <- phi(h_{t-1}, x_t) for all t at once: as many iterations as the cell remembers steps.

    Attributes:
        max_iterations: See `AbstractIteration`.
    """

    max_iterations: int = 1024

    def improved(self, problem: Problem, guess: Trajectory) -> Tensor:
        """See `AbstractTrajectorySolver.improved`."""
        return guess.images


@dataclass(frozen=True)
class QuasiNewton(AbstractTrajectorySolver):
    """Newton with the diagonals of the Jacobians (Gonzalez et al. 2024, quasi-DEER).

    Attributes:
        max_iterations: See `AbstractIteration`.
    """

    max_iterations: int = 128

    def improved(self, problem: Problem, guess: Trajectory) -> Tensor:
        """See `AbstractTrajectorySolver.improved`."""
        size, diagonals = guess.before.shape[2], []
        block = max(1, BLOCK // (len(guess.before) * size * size))
        for h, x in zip(guess.before.split(block, 1), problem.x.split(block, 1), strict=True):
            diagonals.append(problem.cell.jacobian(h, x).diagonal(dim1=-2, dim2=-1))
        a = torch.cat(diagonals, 1)
        if problem.lengths is not None:
            a = torch.where(_valid(problem)[..., None], a, 1)
        a = guess.damping * a
        return affine_scan(a, guess.images - a * guess.before, problem.h)


@dataclass(frozen=True)
class Newton(AbstractTrajectorySolver):
    """Newton with full Jacobians (Lim et al. 2023, DEER): for states of some tens of numbers.

    An iteration takes memory T S^2 and time T S^3.

    Attributes:
        max_iterations: See `AbstractIteration`.
    """

    max_iterations: int = 128

    def improved(self, problem: Problem, guess: Trajectory) -> Tensor:
        """See `AbstractTrajectorySolver.improved`.

        Args:
            problem: What is solved.
            guess: The guess.

        Returns:
            The states.

        Raises:
            InputError: The Jacobians take too much memory.
        """
        size = guess.before.shape[2]
        numbers = guess.before.numel() * size
        if numbers > MOST:
            raise _check.InputError(
                f"Newton would hold {numbers * guess.before.element_size() / 2**30:.1f} GiB of "
                f"Jacobians for a state of {size} numbers; use QuasiNewton or Chunked."
            )
        a = problem.cell.jacobian(guess.before, problem.x)
        if problem.lengths is not None:
            eye = torch.eye(size, dtype=a.dtype, device=a.device)
            a = torch.where(_valid(problem)[..., None, None], a, eye)
        a = guess.damping * a
        moved = (a @ guess.before[..., None])[..., 0]
        return linear_recurrence(a, guess.images - moved, problem.h)


def _valid(problem: Problem) -> Tensor:
    assert problem.lengths is not None
    return valid_steps(problem.lengths.to(problem.x.device), problem.x.shape[1])


def linear_recurrence(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """Give h_t = A_t h_{t-1} + b_t for all t, in pieces as `affine_scan` does.

    Args:
        a: The matrices, [B, T, S, S].
        b: The terms, [B, T, S].
        h: h_0, [B, S].

    Returns:
        The states, [B, T, S].
    """
    batch, time, size = b.shape
    length = max(1, int(time**0.5))
    pieces, eye = -(-time // length), torch.eye(size, dtype=a.dtype, device=a.device)
    missing = pieces * length - time
    a = torch.cat([a, eye.expand(batch, missing, -1, -1)], 1)
    b = torch.cat([b, b.new_zeros(batch, missing, size)], 1)[..., None]
    a, b = (part.unflatten(1, (pieces, length)).unbind(2) for part in (a, b))
    # What a piece does to its start: [product of the A | end from zero].
    whole = torch.cat([eye.expand_as(a[0]), torch.zeros_like(b[0])], -1)
    for a_t, b_t in zip(a, b, strict=True):
        whole = a_t @ whole
        whole[..., -1:] += b_t
    starts, state = [], h[..., None]
    for product, end in zip(whole[..., :-1].unbind(1), whole[..., -1:].unbind(1), strict=True):
        starts.append(state)
        state = product @ state + end
    state, states = torch.stack(starts, 1), []
    for a_t, b_t in zip(a, b, strict=True):
        state = a_t @ state + b_t
        states.append(state[..., 0])
    return torch.stack(states, 2).flatten(1, 2)[:, :time]
