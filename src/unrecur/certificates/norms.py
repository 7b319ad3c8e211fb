"""Norms in which a cell contracts: one rule a function, the best of them wins.

A rule takes the cell with its reachable box and gives a norm with a rate below 1, or says why not.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float64
from torch import Tensor

from unrecur.certificates.chain import NoRuleError
from unrecur.certificates.majorant import Majorant
from unrecur.certificates.pairs import SLACK
from unrecur.certificates.parts import JacobianSet, jacobians
from unrecur.certificates.reach import Reach

POWER_ITERATIONS = 300
SETTLED = 0.1  # of what is left below 1: how wide a bracket of the root is good enough
BISECTIONS = 12
POLICIES = 6
GRADING = 0.01  # of what is left below 1, for the weights of a cascade
MOST_STEPS = 16  # of a product of Jacobians
Interval = tuple[float, float]
LARGE = 1024  # states; beyond, matrix products of S^3 are used sparingly


@dataclass(frozen=True)
class Norm:
    """A norm in which r steps contract by rate^r.

    Attributes:
        rule: The rule that found it.
        rate: The contraction, per step.
        ball: The largest |d_j| of each number with |d| <= 1, [S].
        weights: 1 / v for |d| = max_j |d_j| / v_j; None for a quadratic norm.
        root: L for |d| = |L d|_2; None for a weighted sup norm.
        steps: r.
        product: For r > 1, what bounds a product of r Jacobians entry by entry.
    """

    rule: str
    rate: float
    ball: Float64[Tensor, " S"]
    weights: Float64[Tensor, " S"] | None = None
    root: Float64[Tensor, "S S"] | None = None
    steps: int = 1
    product: Float64[Tensor, "S S"] | None = None

    def of(self, gap: Float64[Tensor, " S"]) -> float:
        """Bound the norm of every d with |d_j| <= gap_j.

        Args:
            gap: The bound on each number.

        Returns:
            The largest norm.
        """
        if self.weights is not None:
            return float((gap * self.weights).max()) * SLACK
        if self.root is None:
            return float(gap.norm()) * SLACK
        return float((self.root.abs() @ gap).norm()) * SLACK


class Layer:
    """A cell with what the rules need to know of it, each thing computed once.

    Args:
        reach: The cell with its reachable box.
    """

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self.majorant = Majorant(reach)

    @cached_property
    def jacobians(self) -> JacobianSet:
        """The set of Jacobians on the box."""
        return jacobians(self.reach)

    @cached_property
    def flaw(self) -> Float64[Tensor, " S"]:
        """What the rounding of two runs adds to their gap in one step."""
        zero = torch.zeros(self.reach.cell.state_size, dtype=torch.float64)
        return self.majorant.step(zero, saturated=False)[0]


def sup_norm(layer: Layer) -> Norm:
    """Sup norm: one step contracts by the largest row of the majorant.

    Args:
        layer: The cell.

    Returns:
        The norm.

    Raises:
        NoRuleError: It does not contract.
    """
    one = torch.ones(layer.reach.cell.state_size, dtype=torch.float64)
    return _weighted("sup norm", layer.majorant.homogeneous, one)


def perron(layer: Layer) -> Norm:
    """Weighted sup norm: F(v) <= rate v for a positive v near the majorant's Perron vector.

    For every v > 0, max_j F(v)_j / v_j bounds the majorant's Perron root from above (Collatz and
    Wielandt), so that v need not be exact. Where units form a cascade the Perron vector has zeros;
    v = (rate I - M)^-1 1 is tried too, M being F's derivative at the v before (Howard's iteration).

    Args:
        layer: The cell.

    Returns:
        The norm.

    Raises:
        NoRuleError: No weights were found in which it contracts.
    """
    rule, step = "Perron-weighted majorant", layer.majorant.homogeneous
    v, bracket = power_iteration(step, layer.reach.cell.state_size)
    least = bracket[1]
    for _ in range(POLICIES if least - bracket[0] > SETTLED * abs(1 - least) else 0):
        # F is the largest of many linear maps; this is the one that is largest at v. It is scaled
        # by v, as the weights of a cascade differ by many orders.
        if len(v) <= LARGE:
            matrix = torch.func.jacrev(step, chunk_size=64)(v)
        else:
            matrix = layer.jacobians.center.abs() + layer.jacobians.radius
        graded = _resolvent(matrix * v / v[:, None])
        if graded is None:
            break
        ratio = float((step(graded * v) / (graded * v)).max())
        if not ratio < least:
            break
        v, least = graded * v, ratio
    return _weighted(rule, step, v)


def power_iteration(step: Callable[[Tensor], Tensor], size: int) -> tuple[Tensor, Interval]:
    """Iterate a monotone, positively homogeneous map.

    Args:
        step: The map F.
        size: How many numbers it maps.

    Returns:
        The v with the least max F(v) / v, and a bracket of the Perron root: the largest min and
        the least max of F(v) / v.
    """
    v = torch.ones(size, dtype=torch.float64)
    best, least, largest = v, math.inf, 0.0
    for _ in range(POWER_ITERATIONS):
        new = step(v)
        ratios = new / v
        if float(ratios.max()) < least:
            best, least = v, float(ratios.max())
        largest = max(largest, float(ratios.min()))
        if least - largest < 1e-3 * abs(1 - least):
            break
        v = (new / new.max()).clamp(min=1e-12)
    return best, (largest, least)


def _resolvent(matrix: Tensor) -> Tensor | None:
    """Give v = (r I - M)^-1 1 > 0 for an r a little above the root of M, if that is below 1."""
    # A solution is positive exactly if r is above the root (M-matrices): r is found by bisection.
    one, eye = torch.ones(len(matrix), dtype=torch.float64), torch.eye(len(matrix)).double()

    def solved(rate: float) -> Tensor | None:
        v, info = torch.linalg.solve_ex(rate * eye - matrix, one)
        return v if not info and bool((v.isfinite() & (v > 0)).all()) else None

    low, high = 0.0, 1.0
    if not bool(matrix.isfinite().all()) or solved(high) is None:
        return None
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if solved(middle) is not None else (middle, high)
    return solved(high + GRADING * (1 - high))


def _weighted(rule: str, step: Callable[[Tensor], Tensor], v: Tensor) -> Norm:
    """Make the norm max_j |d_j| / v_j, if it contracts."""
    rate = float((step(v) / v).max()) * SLACK
    if not rate < 1:
        raise NoRuleError(f"{rule}: the rate is {rate:.4g}, not below 1")
    return Norm(rule, rate, v, weights=1 / v)


def spectral_norm(layer: Layer) -> Norm:
    """2-norm: |J|_2 <= |center|_2 + sum_g |diag(e_g) L_g|_2 + |E|_2 for all Jacobians on the box.

    Args:
        layer: The cell.

    Returns:
        The norm.

    Raises:
        NoRuleError: The bound is not below 1.
    """
    family = layer.jacobians
    matrices = [family.center, *(e[:, None] * matrix for e, matrix in family.terms)]
    if family.dense is not None:
        matrices.append(family.dense)
    least = sum(_spectral_from_below(matrix) for matrix in matrices)
    if least >= 1:
        raise NoRuleError(f"spectral norm: the rate is {least:.4g}, not below 1")
    rate = sum(float(torch.linalg.matrix_norm(matrix, 2)) for matrix in matrices) * SLACK
    if not rate < 1:
        raise NoRuleError(f"spectral norm: the rate is {rate:.4g}, not below 1")
    return Norm("spectral norm", rate, torch.ones(len(family.center), dtype=torch.float64))


def _spectral_from_below(matrix: Tensor) -> float:
    """Bound a spectral norm from below by a few power iterations, before the exact one is paid."""
    v = torch.ones(matrix.shape[1], dtype=torch.float64)
    for _ in range(20):
        size = float(v.norm())
        if size == 0:
            return 0.0
        v = matrix.T @ (matrix @ (v / size))
    return float(v.norm()) ** 0.5


def multi_step(layer: Layer) -> Norm:
    """Several steps at once: a product of r Jacobians in the box, center and radius apart.

    With J = C + E, |E| <= R entry by entry, a product P of n of them is within radius Q of C^n:
    |J P - C C^n| <= |C| Q + R (|C^n| + Q). Signs cancel within C^n, as they do not in F.

    Args:
        layer: The cell.

    Returns:
        The norm, the best over r = 2, 3, ...

    Raises:
        NoRuleError: No product contracts.
    """
    center, radius = layer.jacobians.center, layer.jacobians.radius
    power, apart = center, radius
    most = MOST_STEPS if len(center) <= LARGE else 3
    best, why = None, "not tried"
    for steps in range(2, most + 1):
        apart = center.abs() @ apart + radius @ (power.abs() + apart)
        power = center @ power
        product = (power.abs() + apart) * SLACK
        if not bool(product.isfinite().all()):
            break
        try:
            v, _ = power_iteration(product.mv, len(center))
            found = _weighted(f"products of {steps} steps", product.mv, v)
        except NoRuleError as error:
            why = str(error)
            continue
        rate = found.rate ** (1 / steps) * SLACK
        if rate < 1 and (best is None or rate < best.rate):
            best = Norm(found.rule, rate, found.ball, found.weights, None, steps, product)
    if best is None:
        raise NoRuleError(why)
    return best
