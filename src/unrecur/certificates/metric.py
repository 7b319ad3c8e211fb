"""What a quadratic metric proves of a set of Jacobians: |L J d| <= rate |L d| for all of them.

Every Jacobian is J d = C d + sum_r u_{p(r)} w_r, where the numbers w_r are unknown up to
|w_r| <= |f_r . d| and u_i is the i-th unit vector. By the S-procedure, J contracts in P = L^T L at
the rate if some multipliers tau_r > 0 make this matrix positive semidefinite, with F the rows f_r:

    [ rate^2 P - C^T P C - F^T diag(tau) F    -C^T P B        ]
    [ -B^T P C                                 diag(mu) - B^T P B ]

B has the u_i of the places where something is unknown; mu_i = 1 / sum_{p(r) = i} 1 / tau_r is the
least of sum_r tau_r w_r^2 over all w_r of one place whose sum is 1, so that one column stands for
them all. Where P and tau come from does not matter here: no solver is trusted.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from unrecur.certificates.pairs import OWN, SLACK
from unrecur.certificates.parts import JacobianSet

MARGINS = tuple(10.0**-power for power in range(12, 2, -1))  # of the rate, to be outside rounding
BACKWARD = 16  # a symmetric eigenvalue routine errs by less than BACKWARD n u |M|
DOUBT = 1e-12  # the relative error that the entries of C and F may have been computed with


@dataclass(frozen=True)
class Unknowns:
    """A set of matrices J d = C d + sum_r u_{p(r)} w_r with |w_r| <= |f_r . d|.

    Attributes:
        center: C, [S, S].
        places: p, [R].
        forms: The rows f_r, [R, S].
    """

    center: Float64[Tensor, "S S"]
    places: Int64[Tensor, " R"]
    forms: Float64[Tensor, "R S"]

    @property
    def rows(self) -> Int64[Tensor, " M"]:
        """The places where something is unknown, in order."""
        return self.places.unique()

    def scaled(self, scale: Float64[Tensor, " S"]) -> "Unknowns":
        """Change the coordinates to scale * d.

        Args:
            scale: Powers of two, so that nothing is rounded.

        Returns:
            The same set in these coordinates.
        """
        center = scale[:, None] * self.center / scale
        return Unknowns(center, self.places, scale[self.places][:, None] * self.forms / scale)

    @property
    def sizes(self) -> Float64[Tensor, "S S"]:
        """The largest magnitude of each entry of the matrices."""
        return self.center.abs().index_add(0, self.places, self.forms.abs())

    def strengths(self, multipliers: Float64[Tensor, " R"]) -> Float64[Tensor, " M"]:
        """Give mu, the multiplier of each place.

        Args:
            multipliers: tau.

        Returns:
            The strengths, in the order of `rows`.
        """
        sums = torch.zeros(len(self.center), dtype=torch.float64)
        return 1 / sums.index_add(0, self.places, 1 / multipliers)[self.rows]


def unknowns(family: JacobianSet) -> Unknowns:
    """Write a set of Jacobians row by row: diag(e) L has the forms e_i L_i, a radius its entries.

    Args:
        family: The set.

    Returns:
        The same set; what is exactly known is left out.
    """
    places, forms = [], []
    for size, matrix in family.terms:
        rows = size[:, None] * matrix
        kept = rows.abs().amax(1).nonzero()[:, 0]
        places.append(kept)
        forms.append(rows[kept])
    if family.dense is not None:
        row, column = family.dense.nonzero().unbind(1)
        places.append(row)
        one = torch.eye(len(family.center), dtype=torch.float64)
        forms.append(family.dense[row, column][:, None] * one[column])
    if not places:
        return Unknowns(family.center, torch.zeros(0, dtype=torch.int64), family.center[:0])
    return Unknowns(family.center, torch.cat(places), torch.cat(forms))


def proved_rate(
    unknown: Unknowns, root: Float64[Tensor, "S S"], multipliers: Float64[Tensor, " R"]
) -> float:
    """Find the least rate that a metric and multipliers prove, rounding included.

    Args:
        unknown: The set of Jacobians.
        root: L, upper triangular.
        multipliers: tau, positive.

    Returns:
        The rate; infinity where they prove none.
    """
    given = (unknown.center, unknown.forms, root, multipliers)
    if not all(bool(part.isfinite().all()) for part in given) or not bool((multipliers > 0).all()):
        return torch.inf
    table = _Inequality(unknown, root, multipliers)
    least = table.least_rate()
    for margin in MARGINS:
        rate = least * (1 + margin) + DOUBT
        if table.holds(rate):
            return rate * SLACK + DOUBT * _moved(root, unknown.sizes)
    return torch.inf


def _moved(root: Tensor, sizes: Tensor) -> float:
    """Bound |L E L^-1| for all |E| <= sizes, entry by entry."""
    one = torch.eye(len(root), dtype=torch.float64)
    inverse = torch.linalg.solve_triangular(root, one, upper=True)
    return float((root.abs() @ sizes @ inverse.abs()).norm()) * SLACK


class _Inequality:
    """The matrix above as a function of the rate, with a bound on the rounding of its entries.

    Args:
        unknown: The set of Jacobians.
        root: L.
        multipliers: tau.
    """

    def __init__(self, unknown: Unknowns, root: Tensor, multipliers: Tensor) -> None:
        self.root, self.states = root, len(root)
        strengths = unknown.strengths(multipliers)
        self.metric = root.T @ root
        self.known = _table(unknown, self.metric, multipliers, strengths, -1)
        sizes = Unknowns(unknown.center.abs(), unknown.places, unknown.forms.abs())
        self.large = root.abs().T @ root.abs()
        self.sizes = _table(sizes, self.large, multipliers, strengths, 1)
        # no entry is the sum of more products of products than this
        self.gamma = OWN.gamma(4 * self.states + 2 * len(multipliers) + 16)

    def least_rate(self) -> float:
        """Find the rate without rounding, from a generalised eigenvalue problem."""
        n = self.states
        corner, edge, rest = self.known[n:, n:], self.known[:n, n:], self.known[:n, :n]
        factor, failed = torch.linalg.cholesky_ex(corner)
        if failed:
            return torch.inf
        solve = torch.linalg.solve_triangular
        half = solve(factor, edge.T, upper=False)
        grown = solve(self.root.T, half.T @ half - rest, upper=False)
        grown = solve(self.root.T, grown.T, upper=False)
        if not bool(grown.isfinite().all()):
            return torch.inf
        return float(torch.linalg.eigvalsh((grown + grown.T) / 2)[-1].clamp(min=0)) ** 0.5

    def holds(self, rate: float) -> bool:
        """Prove that the matrix is positive semidefinite at a rate.

        It is scaled to a unit diagonal, which changes no sign; its least eigenvalue must exceed
        what the entries' rounding and the eigenvalue routine can hide.

        Args:
            rate: The rate.

        Returns:
            Whether it is.
        """
        n = self.states
        table, sizes = self.known.clone(), self.sizes.clone()
        table[:n, :n] += rate**2 * self.metric
        sizes[:n, :n] += rate**2 * self.large
        diagonal = table.diagonal()
        if not (bool(table.isfinite().all()) and bool((diagonal > 0).all())):
            return False
        scale = diagonal.rsqrt()
        table = scale[:, None] * table * scale
        error = self.gamma * scale[:, None] * sizes * scale
        hidden = float(error.norm()) + BACKWARD * len(table) * OWN.unit * float(table.norm())
        return float(torch.linalg.eigvalsh(table)[0]) > 2 * hidden


def _table(
    unknown: Unknowns, metric: Tensor, multipliers: Tensor, strengths: Tensor, sign: int
) -> Tensor:
    """Build the matrix for a rate of zero; with sign +1, the sizes of its terms."""
    rows, moved = unknown.rows, metric @ unknown.center
    pulled = unknown.forms.T @ (multipliers[:, None] * unknown.forms)
    upper = sign * (unknown.center.T @ moved + pulled)
    edge = sign * moved[rows].T
    corner = torch.diag(strengths) + sign * metric[rows][:, rows]
    table = torch.cat([torch.cat([upper, edge], 1), torch.cat([edge.T, corner], 1)])
    return (table + table.T) / 2
