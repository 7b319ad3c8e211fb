"""Norms in which a cell contracts: one rule a function, the best of them wins.

A rule takes the cell with its reachable box and gives a norm with a rate below 1, or says why not.
"""

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
MARGINS = (0.02, 0.1, 0.3, 0.6, 0.9)  # of what is left below 1, for a weighting that is graded
SERIES = 3000  # terms of that weighting's series
MOST_STEPS = 16  # of a product of Jacobians
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
    v = sum_n F^n(1) / rate^n, for a rate a little above the root, is then taken instead.

    Args:
        layer: The cell.

    Returns:
        The norm.

    Raises:
        NoRuleError: No weights were found in which it contracts.
    """
    one = torch.ones(layer.reach.cell.state_size, dtype=torch.float64)
    return perron_norm("Perron-weighted majorant", layer.majorant.homogeneous, one)


def perron_norm(rule: str, step: Callable[[Tensor], Tensor], one: Tensor) -> Norm:
    """Find weights for a monotone, positively homogeneous map.

    Args:
        rule: The rule's name.
        step: The map F.
        one: A positive vector to start from.

    Returns:
        The norm.

    Raises:
        NoRuleError: No weights were found in which it contracts.
    """
    v, best, least, growth = one, one, torch.inf, [0.0]
    for _ in range(POWER_ITERATIONS):
        new = step(v)
        ratios, size = new / v, float(new.max())
        growth.append(size / float(v.max()))
        ratio = float(ratios.max())
        if ratio < least:
            best, least = v, ratio
        if size == 0 or ratio - float(ratios.min()) < 1e-3 * abs(1 - ratio):
            break
        v = (new / size).clamp(min=1e-12)
    root = max(growth[-20:])
    if root < 1 and least - root > MARGINS[0] * (1 - root):
        for margin in MARGINS:
            rate = root + margin * (1 - root)
            graded = _series(step, one, rate) if rate < least else None
            if graded is not None:
                best = graded
                break
    return _weighted(rule, step, best)


def _series(step: Callable[[Tensor], Tensor], one: Tensor, rate: float) -> Tensor | None:
    """Sum F^n(1) / rate^n until F(v) <= rate v; None where that does not come about."""
    v = one
    for _ in range(SERIES):
        new = one + step(v) / rate
        if bool((new <= v + 1).all()):
            return v
        if not bool(new.isfinite().all()):
            return None
        v = new
    return None


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
            found = perron_norm(
                f"products of {steps} steps",
                product.mv,
                torch.ones_like(center[0]),
            )
        except NoRuleError as error:
            why = str(error)
            continue
        rate = found.rate ** (1 / steps) * SLACK
        if rate < 1 and (best is None or rate < best.rate):
            best = Norm(found.rule, rate, found.ball, found.weights, None, steps, product)
    if best is None:
        raise NoRuleError(why)
    return best
