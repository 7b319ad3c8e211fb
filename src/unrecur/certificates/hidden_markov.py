"""How fast the filter of a hidden Markov model forgets where it started.

Two coefficients of a transition matrix A, and they prove different things. Dobrushin's bounds the
prediction without observations, p A^k: observations in between can undo it. Birkhoff's bounds the
filter itself, for every sequence of observations: Bayes' rule multiplies beliefs number by number,
which Hilbert's metric does not see, and the transition contracts that metric.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur import _check
from unrecur.cells.hidden_markov import HiddenMarkov
from unrecur.certificates.certificate import Certificate, Evidence, unknown
from unrecur.certificates.rounding import ACTIVATION_ULPS, rounding_of

RULE = "Birkhoff coefficient"
SLACK = 1 + 1e-9  # for the float64 arithmetic of the bound itself
ROW = 1e-5  # what the sum of a row may differ from 1 by; the proof counts it


def dobrushin_coefficient(transition: Float[Tensor, "S S"]) -> float:
    """Give the largest distance in total variation of two rows of a transition matrix.

    For beliefs p and q about a chain that is not observed,
    TV(p A^k, q A^k) <= delta^k TV(p, q) (Dobrushin 1956).

    Args:
        transition: A, rows that sum to one.

    Returns:
        delta, from 0 (all rows equal) to 1.

    Raises:
        InputError: It is no matrix of distributions.

    Example:
        >>> round(dobrushin_coefficient(torch.tensor([[0.9, 0.1], [0.2, 0.8]])), 6)
        0.7
    """
    rows = _distributions(transition)
    return float(torch.cdist(rows, rows, p=1).max()) / 2


def hilbert_diameter(transition: Float[Tensor, "S S"]) -> float:
    """Give the largest Hilbert distance of two beliefs after a transition.

    Hilbert's distance of p and q is log max_ij p_i q_j / (q_i p_j); it does not change when both
    are multiplied by the same positive numbers. The diameter is
    log max_ijkl A_ik A_jl / (A_jk A_il), over the states that can be reached at all.

    Args:
        transition: A.

    Returns:
        The diameter; infinite where a state can be reached from some states only.

    Raises:
        InputError: It is no matrix of distributions.
    """
    rows = _distributions(transition)
    logarithms = rows[:, (rows > 0).any(0)].log()
    if not logarithms.isfinite().all():
        return math.inf
    widest = 0.0
    for row in logarithms:
        ratios = logarithms - row
        widest = max(widest, float((ratios.amax(1) - ratios.amin(1)).max()))
    return widest


def birkhoff_coefficient(transition: Float[Tensor, "S S"]) -> float:
    """Give the factor by which a transition shrinks every Hilbert distance.

    tau = tanh(D / 4) = (1 - sqrt(phi)) / (1 + sqrt(phi)), D the Hilbert diameter, phi = exp(-D)
    (Birkhoff 1957; Seneta, Non-negative Matrices and Markov Chains, 1981, section 3.4).

    Args:
        transition: A.

    Returns:
        tau, from 0 (all rows equal) to 1 (a state can be reached from some states only).

    Raises:
        InputError: It is no matrix of distributions.

    Example:
        >>> transition = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
        >>> round(birkhoff_coefficient(transition), 6)
        0.714286
    """
    return math.tanh(hilbert_diameter(transition) / 4)


@torch.no_grad()
def hmm_forgetting(cell: HiddenMarkov) -> Certificate:
    """Prove how fast a filter forgets, for every sequence of observations; or say it is unknown.

    Two filters that start anywhere and see the same k observations are at most tau^(k-1) D apart
    in Hilbert's metric, D the diameter and tau the Birkhoff coefficient of the transition matrix,
    hence at most tanh(tau^(k-1) D / 4) <= tau^k D / (4 tau) in any probability
    (Atar and Zeitouni 1997). That is the certificate's bound with start = D / (4 tau), and what
    the rounding of both filters adds, step by step, is counted too.

    Unlike `certify`'s, the statement has no set of inputs and no zero state: the truncated filter
    may start from the initial distribution or from any other.

    Args:
        cell: The filter.

    Returns:
        A `PROVED` certificate; `UNKNOWN` where a transition is impossible, or rounding too coarse.

    Raises:
        InputError: The transition matrix is no matrix of distributions.

    Example:
        >>> cell = HiddenMarkov(2)
        >>> _ = cell.transition.data.copy_(torch.tensor([[0.9, 0.1], [0.2, 0.8]]))
        >>> certificate = hmm_forgetting(cell)
        >>> round(certificate.rate, 3), certificate.steps(1e-3)
        (0.714, 22)
    """
    diameter = hilbert_diameter(cell.transition) * SLACK
    rate = math.tanh(diameter / 4) * SLACK
    if not rate < 1:
        return unknown(
            f"{RULE}: a transition is impossible, or nearly; between two states that cannot reach "
            "the same ones, some observations are never forgotten"
        )
    apart, scale = _flaws(cell)
    if not apart < 1:
        return unknown(f"{RULE}: a transition is too rare for the rounding of {_dtype(cell)}")
    # The flaws of both filters, a quarter of which shows in a probability; and that their beliefs
    # do not quite sum to one.
    rounding = apart / 2 + 2 * scale
    start = max(1.0, diameter / (4 * rate)) * SLACK if rate else 1.0
    return Certificate(
        Evidence.PROVED,
        "Hilbert's projective metric",
        rate,
        start,
        rounding,
        (
            "every observation has a finite log-likelihood in every state",
            "the filters start from any two distributions over the states, zeros allowed but no "
            "probability too small to be a normal number",
            f"exp accurate to {ACTIVATION_ULPS} units of rounding",
        ),
        (RULE,),
    )


def _flaws(cell: HiddenMarkov) -> tuple[float, float]:
    """Bound what one computed step errs by in Hilbert's metric, and in the sum of the belief."""
    weight, states = cell.transition, cell.hidden_size
    arithmetic, info = rounding_of(weight), torch.finfo(weight.dtype)
    # exp(x - m): the difference is rounded at a size where exp is above the least number, or else
    # the state counts for nothing; then a product, a sum, a quotient and the products with A.
    size = -math.log(info.tiny * info.eps)
    relative = arithmetic.unit * (size + ACTIVATION_ULPS + 8) + arithmetic.gamma(states + 2)
    # What is lost below the least normal number, beside beliefs of at least the rarest transition.
    rarest = float(weight[:, (weight > 0).any(0)].double().min())
    lost = 4 * states * info.tiny / rarest**2
    first = relative + lost
    flaw = first / (1 - first) if first < 0.5 else 1.0
    apart = 2 * math.atanh(flaw) if flaw < 1 else math.inf  # log (1 + flaw) / (1 - flaw)
    rows = float((weight.double().sum(1) - 1).abs().max())
    return apart, rows + 2 * arithmetic.gamma(2 * states + 4)


def _dtype(cell: HiddenMarkov) -> str:
    """Name the type of a cell's weights."""
    return str(cell.transition.dtype).removeprefix("torch.")


def _distributions(transition: Tensor) -> Tensor:
    """Check a transition matrix, and give it in float64."""
    rows = transition.detach().double().cpu()
    if rows.dim() != 2 or rows.shape[0] != rows.shape[1] or not len(rows):
        raise _check.InputError(
            f"expected a square transition matrix, got {list(transition.shape)}."
        )
    if not (rows >= 0).all() or not ((rows.sum(1) - 1).abs() <= ROW).all():
        raise _check.InputError(
            "expected a transition matrix whose rows are distributions: numbers of at least 0 that "
            "sum to 1."
        )
    return rows
