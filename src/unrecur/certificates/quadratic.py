"""The quadratic rule: a metric |d|^2 = d^T P d in which a cell contracts.

The metrics and multipliers of `metric.py` that prove a rate are the solutions of a linear matrix
inequality, so that the least rate is a quasi-convex function of both: going downhill finds it. A
semidefinite program (an oracle of the tests) finds the same rate to three digits, but takes minutes
at 32 states. What is found is a proposal; `proved_rate` says what it proves.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float64
from torch import Tensor

from unrecur.certificates.chain import NoRuleError
from unrecur.certificates.metric import Unknowns, proved_rate, unknowns
from unrecur.certificates.norms import Layer, Norm
from unrecur.certificates.pairs import OWN, SLACK

RULE = "quadratic metric"
MOST_STATES, MOST_FORMS = 256, 10_000  # measured: 20 s on one core
DOUBLINGS = (3, 5, 7, 9)  # the largest eigenvalue is smoothed by the powers 8, 32, 128 and 512
STEPS = 200  # of descent for each of them
SETTLED = 1e-5  # the change of the rate, relative, at which one of them ends
STEEPEST = 5  # the first scaling's powers of two are from 2^-5 to 2^5
WORST = 1e4  # the condition number of L after it that is not paid for
LEAST = 1e-6  # a rate that is as good as zero
BLOCKED = 1e3  # stands for the logarithm of an infinite rate
Proposal = tuple[Float64[Tensor, "S S"], Float64[Tensor, " R"]]


def quadratic(layer: Layer) -> Norm:
    """Quadratic norm: J^T P J <= rate^2 P for all Jacobians on the box, for the best P found.

    Args:
        layer: The cell.

    Returns:
        The norm.

    Raises:
        NoRuleError: None was found in which it contracts, or there are too many states.
    """
    states = layer.reach.cell.state_size
    if states > MOST_STATES:
        raise NoRuleError(f"{RULE}: not tried on more than {MOST_STATES} states")
    family = layer.jacobians
    size = family.center.abs() + family.radius
    if not bool(size.isfinite().all()):
        raise NoRuleError(f"{RULE}: the Jacobians are not bounded")
    scale = _balance(size)
    scaled = unknowns(family).scaled(scale)
    if len(scaled.forms) > MOST_FORMS:
        raise NoRuleError(f"{RULE}: not tried on more than {MOST_FORMS} intervals")
    least = _spectral_radius(scaled)
    if least >= 1:
        raise NoRuleError(f"{RULE}: a Jacobian may have spectral radius {least:.4g}, not below 1")
    rate, root = torch.inf, torch.eye(states, dtype=torch.float64)
    for proposal, multipliers in _Descent(scaled).stages():
        proved = proved_rate(scaled, proposal, multipliers)
        if proved < rate:
            rate, root = proved, proposal
    if not rate < 1:
        raise NoRuleError(f"{RULE}: the rate is {rate:.4g}, not below 1")
    return Norm(RULE, rate, _ball(root) / scale, root=root * scale)


def _balance(size: Tensor) -> Tensor:
    """Find the scaling in which a nonnegative matrix has its least 2-norm: sqrt(u / v)."""
    ends = []  # u and v, the left and the right Perron vector
    for matrix in (size.T, size):
        v = torch.ones(len(size), dtype=torch.float64)
        for _ in range(100):
            v = matrix @ v + v
            v = v / v.max()
        ends.append(v.clamp(min=1e-12))
    powers = (ends[0] / ends[1]).log2() / 2
    return (powers - powers.median()).round().clamp(-STEEPEST, STEEPEST).exp2()


def _spectral_radius(unknown: Unknowns) -> float:
    """Bound the rate of every norm from below by the spectral radius of some of the matrices."""
    spread = torch.zeros_like(unknown.center).index_add(0, unknown.places, unknown.forms)
    matrices = torch.stack([unknown.center + share * spread for share in (-1.0, 0.0, 1.0)])
    return float(torch.linalg.eigvals(matrices).abs().max())


def _ball(root: Tensor) -> Tensor:
    """Bound |d_j| for all |L d| <= 1 by the rows of L^-1, rounding included."""
    one = torch.eye(len(root), dtype=torch.float64)
    inverse = torch.linalg.solve_triangular(root, one, upper=True)
    error = inverse.abs() @ root.abs() @ inverse.abs() * 2 * OWN.gamma(len(root) + 2)
    return (inverse.abs() + error).norm(dim=1) * SLACK


class _Descent:
    """Descent on the logarithm of the rate that a metric and multipliers prove.

    With J' = L J L^-1 for all matrices J of the set, the squared rate is the largest eigenvalue of
    G = C'^T (1 - L D L^T)^-1 C' + F'^T diag(tau) F', where F' = F L^-1 and D_i sums the 1 / tau_r
    of the place i. It is smoothed to tr(G^p)^(1/p), at most S^(1/p) times as large.

    Args:
        unknown: The set of Jacobians.
    """

    def __init__(self, unknown: Unknowns) -> None:
        self.states = len(unknown.center)
        with torch.inference_mode(False):  # whose tensors know no gradients
            self.center, self.forms = unknown.center.clone(), unknown.forms.clone()
            self.places = unknown.places.clone()
            self.one = torch.eye(self.states, dtype=torch.float64)
            self.above = torch.zeros_like(self.one)
            self.diagonal = torch.zeros_like(self.one[0])
            self.multipliers = self._first()

    def _first(self) -> Tensor:
        """Take logarithms of multipliers that prove some rate for P = 1."""
        sizes = self.forms.norm(dim=1).clamp(min=LEAST**2)
        whole = torch.zeros_like(self.diagonal).index_add(0, self.places, sizes)
        whole = whole + torch.linalg.matrix_norm(self.center, 2)
        return (2 * whole[self.places] / sizes).log()

    @property
    def root(self) -> Tensor:
        """L."""
        return self.above.triu(1) + self.diagonal.exp().diag()

    def stages(self) -> Iterator[Proposal]:
        """Descend with one power after the other.

        Yields:
            L and tau after each of them.
        """
        with torch.inference_mode(False), torch.enable_grad():
            for doublings in DOUBLINGS:
                value = self._descend(doublings)
                root, multipliers = self.root.detach(), self.multipliers.detach().exp()
                yield root, multipliers
                least = value - math.log(self.states) / 2 ** (doublings + 1)
                if not least < 0:
                    return

    def _descend(self, doublings: int) -> float:
        """Descend with one power; give the logarithm of the smoothed rate."""
        variables = [self.above, self.diagonal, self.multipliers]
        for variable in variables:
            variable.requires_grad_()
        optimizer = torch.optim.LBFGS(
            variables,
            max_iter=STEPS,
            tolerance_change=SETTLED,
            history_size=20,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            value = self._value(doublings)
            if value.requires_grad:
                value.backward()
            return value.detach()

        optimizer.step(closure)
        return float(self._value(doublings).detach())

    def _value(self, doublings: int) -> Tensor:
        """Give the logarithm of the smoothed rate, by squaring G again and again."""
        root, multipliers = self.root, self.multipliers.exp()
        spread = torch.zeros_like(self.diagonal).index_add(0, self.places, 1 / multipliers)
        factor, blocked = torch.linalg.cholesky_ex(self.one - (root * spread) @ root.T)
        if blocked:
            return torch.tensor(BLOCKED, dtype=torch.float64)
        solve = torch.linalg.solve_triangular
        grown = solve(factor, solve(root, root @ self.center, upper=True, left=False), upper=False)
        forms = solve(root, self.forms, upper=True, left=False)
        power = grown.T @ grown + forms.T @ (multipliers[:, None] * forms)
        value, share = torch.zeros_like(self.diagonal[0]), 1.0
        for _ in range(doublings):
            size = power.detach().norm() + LEAST**2
            value, power = value + share * size.log(), power / size
            power, share = power @ power, share / 2
        value = value + share * (power.trace() + LEAST**2).log()
        steep = (root.norm() * solve(root, self.one, upper=True).norm() / self.states).log()
        return value / 2 + (steep - math.log(WORST)).clamp(min=0) ** 2
