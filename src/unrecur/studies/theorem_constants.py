"""The theorem's constants for its experiment's networks, as docs/theory/windows.md derives them."""

import math

import torch

from unrecur.cells import Elman
from unrecur.certificates.certificate import Evidence
from unrecur.certificates.constants import Smoothness, Stability
from unrecur.studies.theorem_data import Problem

CURVATURE = 4 / (3 * math.sqrt(3))  # the largest |tanh''|
ROUNDED_UP = 1 + 1e-9  # far more than a float64 singular value errs by


def constants(
    problem: Problem, cell: Elman, scale: float, rate: float | None = None
) -> tuple[Stability, Smoothness]:
    """Give the constants of a tanh network without biases under the squared loss, in the 2-norm.

    Args:
        problem: The problem, for its targets and its readout of norm 1.
        cell: The cell.
        scale: The largest input.
        rate: A ball |W_h|_2 <= rate of weights for which the constants shall hold, whatever the
            input weights; for the cell's own weights where left out.

    Returns:
        The constants, proved.

    Raises:
        InputError: |W_h|_2 is not below 1.
    """
    curved = CURVATURE
    bound, start = rate, math.sqrt(cell.hidden_size)
    if bound is None:
        bound = _norm(cell.weight_hh_l0)
        start = min(start, _norm(cell.weight_ih_l0) * scale / max(1 - bound, 1e-300))
    seen = math.hypot(start, scale)
    steepness = _norm(problem.readout[None])
    error = steepness * start + float(problem.target.abs().max())
    smoothness = Smoothness(
        weights=seen,
        state_state=curved * bound**2,
        state_weights=1 + curved * bound * seen,
        weights_weights=curved * seen**2,
        output=0.0,
        loss=error / scale**2,
        loss_output=1 / scale**2,
        evidence=Evidence.PROVED,
    )
    return Stability(bound, start, steepness, Evidence.PROVED), smoothness


def _norm(matrix: torch.Tensor) -> float:
    return float(torch.linalg.matrix_norm(matrix.detach(), 2)) * ROUNDED_UP
