"""A certificate: a statement about forgetting, its evidence, and what it assumes."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from unrecur import _check


class Evidence(StrEnum):
    """What a statement rests on, from the strongest down."""

    PROVED = "proved"
    """From the weights alone: for every input in the box, of any length."""
    PROVED_ON_INPUT = "proved on these inputs"
    """From reachable sets: for exactly these inputs."""
    STATISTICAL = "statistical"
    """With stated coverage, for inputs exchangeable with the calibration set."""
    MEASURED = "measured"
    """What was seen, no more."""
    UNKNOWN = "unknown"
    """Nothing is claimed."""


@dataclass(frozen=True)
class Certificate:
    """How far a state that has seen only the last k inputs can be from the one that saw all.

    For h_t run from zero at time 0 and h^k_t from zero at t - k, in the arithmetic of the model's
    own dtype:

        |h_t - h^k_t| <= bound(k) = rate^k start + rounding (1 - rate^k) / (1 - rate)

    (Miller and Hardt 2019, section 3, with the distance of any reachable state from zero in place
    of L_x B_x / (1 - rate), and a term for rounding).

    Attributes:
        evidence: What this rests on. `UNKNOWN` claims nothing and its bound is infinite.
        norm: The norm of the state the statement is in: "sup" or "2".
        rate: One step's contraction, below 1.
        start: The largest norm of a reachable state.
        rounding: What the rounding of both runs can add to their distance in one step.
        assumptions: What must hold for the statement to.
        reasons: Which rule gave it; or which rules failed, and why.

    Raises:
        InputError: Something is claimed with a rate that is not below 1.

    Example:
        >>> certificate = Certificate(Evidence.PROVED, "sup", rate=0.5, start=1.0)
        >>> certificate.bound(3), certificate.steps(0.01)
        (0.125, 7)
    """

    evidence: Evidence
    norm: Literal["sup", "2", ""] = ""
    rate: float = math.inf
    start: float = math.inf
    rounding: float = 0.0
    assumptions: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.evidence is not Evidence.UNKNOWN and not 0 <= self.rate < 1:
            raise _check.InputError(f"rate must be at least 0 and below 1, got {self.rate}.")

    def bound(self, k: int) -> float:
        """Bound the distance of the two states after k inputs.

        Args:
            k: The length of the window, at least 0.

        Returns:
            The bound in the certificate's norm; infinity when nothing is known.

        Raises:
            InputError: k is negative.
        """
        if k < 0:
            raise _check.InputError(f"k must be at least 0, got {k}.")
        if self.evidence is Evidence.UNKNOWN:
            return math.inf
        left = self.rate**k
        return min(self.start * left + self.rounding * (1 - left) / (1 - self.rate), 2 * self.start)

    def steps(self, eps: float) -> int | None:
        """Find the least window whose bound is at most eps.

        Args:
            eps: The distance allowed, in the certificate's norm, above 0.

        Returns:
            The least k with bound(k) <= eps; None where rounding or ignorance rules it out.

        Raises:
            InputError: eps is not a finite number above 0.
        """
        _check.positive(eps, "eps")
        if self.evidence is Evidence.UNKNOWN:
            return None
        floor = self.rounding / (1 - self.rate)
        if self.bound(0) <= eps:
            return 0
        if floor >= eps:
            return None
        # bound(k) = floor + rate^k (start - floor) falls to eps at the logarithm below; the loops
        # settle what its rounding leaves open.
        k = max(
            0,
            math.ceil(math.log((eps - floor) / (self.start - floor), self.rate))
            if self.rate
            else 1,
        )
        while self.bound(k) > eps:
            k += 1
        while k > 0 and self.bound(k - 1) <= eps:
            k -= 1
        return k


def unknown(*reasons: str) -> Certificate:
    """Make the certificate that claims nothing.

    Args:
        *reasons: Why nothing is known.

    Returns:
        An `UNKNOWN` certificate.
    """
    return Certificate(Evidence.UNKNOWN, reasons=reasons)
