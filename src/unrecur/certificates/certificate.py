"""A certificate: a statement about forgetting, its evidence, and what it assumes."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from jaxtyping import Float64
from torch import Tensor

from unrecur import _check

Start = Literal["zero", "any"]


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


class AbstractCurve(ABC):
    """The bounds of a proof, input by input and number by number."""

    @abstractmethod
    def at(self, k: int, start: Start) -> tuple[list[Float64[Tensor, " S"]], Float64[Tensor, " H"]]:
        """Bound the gaps of two runs after k inputs.

        Args:
            k: How many inputs.
            start: Whether one run starts from the zero state, or both from any reachable one.

        Returns:
            The gap of each cell's state, and of the outputs of the top layer.
        """

    @abstractmethod
    def first(self, enough: Callable[[int], bool]) -> int | None:
        """Find the least window that is good enough.

        Args:
            enough: Whether a window of k inputs is.

        Returns:
            The least k, or None where none is before the curve comes to rest or ends.
        """


@dataclass(frozen=True)
class Certificate:
    """How far a state that has seen only the last k inputs can be from the one that saw all.

    For h_t run from zero at time 0 and h^k_t from zero at t - k, in the arithmetic of the model's
    own dtype, in the sup norm over all layers:

        |h_t - h^k_t| <= bound(k) <= rate^k start + rounding (1 - rate^k) / (1 - rate)

    (Miller and Hardt 2019, section 3, with the distance of any reachable state from zero in place
    of L_x B_x / (1 - rate), and a term for rounding). bound(k) is the iterated majorant where there
    is one, and else the right-hand side. In a bidirectional model k counts the inputs on each side
    of an output, itself included.

    Attributes:
        evidence: What this rests on. `UNKNOWN` claims nothing and its bound is infinite.
        norm: The norm in which one step (or several) contracts.
        rate: The contraction per step, below 1.
        start: The constant in front; infinite where there is a curve but no closed form.
        rounding: What the rounding of both runs can add to their distance in one step.
        assumptions: What must hold for the statement to.
        reasons: Which rule gave it, and then which rules failed, and why.
        state_box: The least and the largest reachable state of each cell.
        curve: The iterated majorant.

    Raises:
        InputError: Something is claimed with a rate that is not below 1.

    Example:
        >>> certificate = Certificate(Evidence.PROVED, "sup", rate=0.5, start=1.0)
        >>> certificate.bound(3), certificate.steps(0.01)
        (0.125, 7)
    """

    evidence: Evidence
    norm: str = ""
    rate: float = math.inf
    start: float = math.inf
    rounding: float = 0.0
    assumptions: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    state_box: tuple[tuple[Tensor, Tensor], ...] = field(default=(), repr=False, compare=False)
    curve: AbstractCurve | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.evidence is not Evidence.UNKNOWN and not 0 <= self.rate < 1:
            raise _check.InputError(f"rate must be at least 0 and below 1, got {self.rate}.")

    @property
    def rule(self) -> str:
        """The rule that gave the rate; empty where nothing is known."""
        return "" if self.evidence is Evidence.UNKNOWN or not self.reasons else self.reasons[0]

    @property
    def failed(self) -> tuple[str, ...]:
        """The rules that gave nothing, and why."""
        return self.reasons[1:] if self.rule else self.reasons

    def bound(self, k: int, start: Start = "zero") -> float:
        """Bound the distance of the two states after k inputs.

        Args:
            k: The length of the window, at least 0.
            start: "zero" for the truncated model, which starts from the zero state; "any" for two
                runs from any two reachable states.

        Returns:
            The bound on every number of every layer's state; infinity when nothing is known.

        Raises:
            InputError: k is negative.
        """
        if k < 0:
            raise _check.InputError(f"k must be at least 0, got {k}.")
        if self.evidence is Evidence.UNKNOWN:
            return math.inf
        formula = self._formula(k, start)
        if self.curve is None:
            return formula
        return min(formula, max(float(gap.max()) for gap in self.curve.at(k, start)[0]))

    def output(self, k: int, start: Start = "zero") -> Float64[Tensor, " H"] | None:
        """Bound the distance of the two outputs of the recurrence, unit by unit.

        Args:
            k: The length of the window, at least 0.
            start: As for `bound`.

        Returns:
            The bound on each output; None where only a bound on the state is known.
        """
        if self.evidence is Evidence.UNKNOWN or self.curve is None:
            return None
        return self.curve.at(k, start)[1]

    def _formula(self, k: int, start: Start) -> float:
        """Give the closed form: twice the start where both runs start anywhere."""
        factor = 1 if start == "zero" else 2
        left = self.rate**k
        value = factor * self.start * left + self.rounding * (1 - left) / (1 - self.rate)
        return min(value, 2 * self.start)

    def steps(self, eps: float) -> int | None:
        """Find the least window whose bound is at most eps.

        Args:
            eps: The distance allowed, in the sup norm of the state, above 0.

        Returns:
            The least k with bound(k) <= eps; None where rounding or ignorance rules it out.

        Raises:
            InputError: eps is not a finite number above 0.
        """
        _check.positive(eps, "eps")
        if self.evidence is Evidence.UNKNOWN:
            return None
        found = None if self.curve is None else self.curve.first(lambda k: self.bound(k) <= eps)
        return self._steps_of_formula(eps) if found is None else found

    def _steps_of_formula(self, eps: float) -> int | None:
        """Find the least window by the closed form."""
        if math.isinf(self.start):
            return None
        floor = self.rounding / (1 - self.rate)
        if self._formula(0, "zero") <= eps:
            return 0
        if floor >= eps:
            return None
        # The closed form falls to eps at the logarithm below; the loops settle what its rounding
        # leaves open.
        k = max(
            0,
            math.ceil(math.log((eps - floor) / (self.start - floor), self.rate))
            if self.rate
            else 1,
        )
        while self._formula(k, "zero") > eps:
            k += 1
        while k > 0 and self._formula(k - 1, "zero") <= eps:
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
