"""When two states of a run are the same, as far as a tolerance or rounding can tell."""

import torch
from torch import Tensor

ROUNDINGS = 8  # two runs closer than so many units of rounding are the same
PART_OF_TOLERANCE = 64  # of the tolerance, what one boundary may leave for what comes after it
FOLLOWED = 8  # of the differences that are left, how many are followed


def allowed(h: Tensor, tol: float) -> Tensor:
    """Say by how much states may differ: a tolerance, or rounding.

    Args:
        h: The states.
        tol: The tolerance.

    Returns:
        The largest difference of each number; finite.
    """
    size = h.abs().nan_to_num(nan=1.0, posinf=1.0).clamp(min=1)
    return (ROUNDINGS * torch.finfo(h.dtype).eps * size).clamp(min=tol)


def agree(h: Tensor, other: Tensor, tol: float) -> Tensor:
    """Say which numbers are the same; NaN is the same as NaN, and infinity as itself alone.

    Args:
        h: The states.
        other: Others of the same shape.
        tol: The tolerance.

    Returns:
        True where they are.
    """
    same = (h == other) | (h.isnan() & other.isnan())
    near = (h - other).abs() <= torch.minimum(allowed(h, tol), allowed(other, tol))
    return same | (near & h.isfinite() & other.isfinite())


def largest(difference: Tensor) -> float:
    """Give the largest magnitude; what is not a number on both sides is no difference."""
    return float(difference.abs().nan_to_num(nan=0.0).amax()) if difference.numel() else 0.0
