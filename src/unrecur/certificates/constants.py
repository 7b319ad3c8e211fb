"""The constants that the theorems on windows ask for, each set with the evidence it rests on.

All are in one norm of the state (a certificate's, where the rate comes from one), the Euclidean
norm of the weights, operator norms for derivatives and the dual norms for gradients.
"""

import math
from dataclasses import dataclass

from unrecur._check import InputError
from unrecur.certificates.certificate import Certificate, Evidence

# A quantile with its coverage bounds most cases, not all: it is no constant of a theorem.
USABLE = (Evidence.PROVED, Evidence.PROVED_ON_INPUT, Evidence.MEASURED)


def weakest(*evidence: Evidence) -> Evidence:
    """Give the evidence of what follows from several statements together.

    Args:
        *evidence: What each of them rests on, at least one.

    Returns:
        The weakest: a single measured constant makes a result measured.

    Example:
        >>> weakest(Evidence.PROVED, Evidence.MEASURED, Evidence.PROVED_ON_INPUT).name
        'MEASURED'
    """
    return max(evidence, key=list(Evidence).index)


@dataclass(frozen=True)
class Stability:
    """How a model forgets: what a window for inference needs.

        |phi(h, x) - phi(g, x)| <= rate |h - g|,  |h_t| <= start,  |f(h) - f(g)| <= L_f |h - g|

    for all reachable states and all inputs in question (Miller and Hardt 2019, section 3).

    Attributes:
        rate: One step's contraction lambda, below 1; per step.
        start: The largest norm of a reachable state, in the state's units.
        lipschitz_output: L_f, in output units per unit of state.
        evidence: The weakest evidence behind the three.

    Raises:
        InputError: The rate is not below 1, another constant is negative or not finite, or the
            evidence is none that a bound can be drawn from.

    Example:
        >>> certificate = Certificate(Evidence.PROVED, "2", rate=0.5, start=4.0)
        >>> stability = Stability.from_certificate(certificate, 2.0, evidence=Evidence.MEASURED)
        >>> stability.start, stability.evidence.name
        (4.0, 'MEASURED')
    """

    rate: float
    start: float
    lipschitz_output: float
    evidence: Evidence

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise InputError(
                f"rate must be at least 0 and below 1, got {self.rate}: a model that does not "
                "contract has no window of this kind. Make it stable first (unrecur.project_)."
            )
        _check_constants(self)

    @classmethod
    def from_certificate(
        cls, certificate: Certificate, lipschitz_output: float, *, evidence: Evidence
    ) -> "Stability":
        """Take rate and start from a certificate.

        What follows is about exact arithmetic: the certificate's rounding is left out
        (`Certificate.bound` has it).

        Args:
            certificate: The certificate.
            lipschitz_output: L_f, for the certificate's norm of the state.
            evidence: What lipschitz_output rests on.

        Returns:
            The constants, with the weaker of both evidences.

        Raises:
            InputError: The certificate claims nothing, or has no closed form.
        """
        if certificate.evidence is Evidence.UNKNOWN:
            why = "; ".join(certificate.reasons) or "no reason given"
            raise InputError(f"the certificate is UNKNOWN ({why}): no window follows from it.")
        both = weakest(certificate.evidence, evidence)
        if math.isinf(certificate.start):
            raise InputError(
                "the certificate has a curve but no closed form start * rate^k (two directions, or "
                "a stack that contracts over several steps only): read certificate.bound(k)."
            )
        return cls(certificate.rate, certificate.start, lipschitz_output, both)

    @classmethod
    def from_inputs(
        cls,
        rate: float,
        lipschitz_input: float,
        input_bound: float,
        lipschitz_output: float,
        *,
        evidence: Evidence,
    ) -> "Stability":
        """Bound the states as the paper does: start = L_x B_x / (1 - rate), where phi(0, 0) = 0.

        Args:
            rate: One step's contraction lambda.
            lipschitz_input: L_x, the Lipschitz constant of phi in x.
            input_bound: B_x, the largest norm of an input.
            lipschitz_output: L_f.
            evidence: The weakest evidence behind the four.

        Returns:
            The constants.
        """
        start = lipschitz_input * input_bound / (1 - rate) if rate != 1 else math.inf
        return cls(rate, start, lipschitz_output, evidence)

    @property
    def accumulation(self) -> float:
        """1 / (1 - rate): what a change made in every step adds up to."""
        return 1 / (1 - self.rate)


@dataclass(frozen=True)
class Smoothness:
    """How steep and how curved phi, readout and loss are: what training needs besides `Stability`.

    Suprema over reachable states (a convex set), inputs, targets and the weights that training may
    visit (for one gradient, the weights it is taken at). The readout f is not trained; one that
    is can be counted into phi (docs/theory/windows.md).

    Attributes:
        weights: L_w = sup |d phi/dw|.
        state_state: S_hh, the Lipschitz constant of d phi/dh in h; 0 where phi is linear in h.
        state_weights: S_hw, that of d phi/dw in h (and so of d phi/dh in w).
        weights_weights: S_ww, that of d phi/dw in w.
        output: S_f, that of df/dh in h; 0 for a linear readout.
        loss: L_l = sup |d loss/dy|.
        loss_output: S_l, the Lipschitz constant of d loss/dy in y.
        evidence: The weakest evidence behind them.

    Raises:
        InputError: A constant is negative or not finite, or the evidence is none that a bound can
            be drawn from.
    """

    weights: float
    state_state: float
    state_weights: float
    weights_weights: float
    output: float
    loss: float
    loss_output: float
    evidence: Evidence

    def __post_init__(self) -> None:
        _check_constants(self)


def _check_constants(constants: Stability | Smoothness) -> None:
    """Check that all constants are finite and not negative, and that the evidence can carry them.

    Args:
        constants: The constants.

    Raises:
        InputError: They are not.
    """
    for name, value in vars(constants).items():
        if name != "evidence" and not (math.isfinite(value) and value >= 0):
            raise InputError(f"{name} must be a finite number of at least 0, got {value}.")
    if constants.evidence not in USABLE:
        raise InputError(
            f"constants must be {', '.join(each.name for each in USABLE)}, got "
            f"{constants.evidence.name}: a bound cannot be drawn from them."
        )
