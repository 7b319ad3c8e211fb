"""Theory as functions: how long a window must be, for inference, for a gradient, for training.

Miller and Hardt, Stable Recurrent Models, ICLR 2019 (arXiv 1805.10369), section 3, derived again
with every constant in docs/theory/windows.md. All is about exact arithmetic: what the rounding of
a model's dtype adds is in `Certificate.bound`.
"""

import math
from dataclasses import dataclass

import numpy as np

from unrecur import _check
from unrecur.certificates.certificate import Evidence
from unrecur.certificates.constants import Smoothness, Stability, weakest

ROUNDING = 1e-12  # relative; covers the float64 arithmetic of this file
SUMMED = 10**6  # steps whose growth is summed one by one; those after are bounded by an integral


@dataclass(frozen=True)
class InferenceWindow:
    """A window on which a model predicts as it does on everything.

    Attributes:
        k: The number of inputs.
        outputs: The bound on |y_t - y^k_t|, in output units.
        evidence: What it rests on.
    """

    k: int
    outputs: float
    evidence: Evidence


@dataclass(frozen=True)
class GradientGap:
    """How far the gradient through windows is from the gradient through the full recurrence.

    Attributes:
        k: The number of inputs in a window.
        gradient: The bound on the distance of the gradients, in loss per unit of weight.
        evidence: What it rests on.
    """

    k: int
    gradient: float
    evidence: Evidence


@dataclass(frozen=True)
class TrainingGap:
    """How far training on windows ends from training on whole sequences.

    Attributes:
        k: The number of inputs in a window.
        weights: The bound on |w_recurrent - w_truncated|, Euclidean.
        outputs: The bound on |y_t - y^k_t|, each model with its own weights.
        evidence: What it rests on.
    """

    k: int
    weights: float
    outputs: float
    evidence: Evidence


def window_for_inference(stability: Stability, eps: float) -> InferenceWindow:
    """Find the least window on which no output errs by more than eps.

        |y_t - y^k_t| <= L_f start rate^k

    With `Stability.from_inputs` this is the paper's k >= log(L_f L_x B_x / ((1 - rate) eps)) to the
    base 1 / rate (Miller and Hardt 2019, section 3, "approximation during inference").

    Args:
        stability: The constants.
        eps: The error allowed, in output units, above 0.

    Returns:
        The least k of at least 1, with its bound.

    Raises:
        InputError: eps is not a finite number above 0.

    Example:
        >>> stability = Stability.from_inputs(0.5, 1.0, 1.0, 1.0, evidence=Evidence.PROVED)
        >>> window_for_inference(stability, 0.01).k
        8
    """
    _check.positive(eps, "eps")
    falling = _Falling(stability.rate, stability.lipschitz_output * stability.start, 0.0)
    k = falling.least(math.log(eps))
    return InferenceWindow(k, _exp(falling.log(k)), stability.evidence)


def gradient_gap(stability: Stability, smoothness: Smoothness, k: int) -> GradientGap:
    """Bound the error of the gradient that truncation to k inputs makes.

    With M = L_w / (1 - rate), L_g = L_l L_f and S_g = S_l L_f^2 + L_l S_f,

        |grad p_t - grad p^k_t| <= rate^k M (L_g + S_g start)
                                   + k rate^(k-1) L_g start (S_hw + S_hh M)

    for the loss of any one step t, hence for the mean over steps and sequences: k rate^k, as in
    Miller and Hardt 2019, section 3, "approximation during training". Up to t = k the gap is 0.

    Args:
        stability: The constants of forgetting.
        smoothness: The constants of phi, readout and loss.
        k: The length of the window, at least 1.

    Returns:
        The bound.

    Raises:
        InputError: k is no whole number of at least 1.

    Example:
        >>> stability = Stability(0.5, 2.0, 1.0, Evidence.PROVED)
        >>> smoothness = Smoothness(1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, Evidence.MEASURED)
        >>> gap = gradient_gap(stability, smoothness, 4)
        >>> round(gap.gradient, 6), gap.evidence.name
        (1.125, 'MEASURED')
    """
    _check.positive_integer(k, "k")
    falling = _gradient_gap(stability, smoothness)
    return GradientGap(k, _exp(falling.log(k)), weakest(stability.evidence, smoothness.evidence))


def window_for_gradient(stability: Stability, smoothness: Smoothness, eps: float) -> GradientGap:
    """Find the least window at and beyond which the gradient errs by at most eps.

    Args:
        stability: The constants of forgetting.
        smoothness: The constants of phi, readout and loss.
        eps: The error allowed, in loss per unit of weight, above 0.

    Returns:
        The least k of at least 1 whose bound, and that of every longer window, is at most eps.

    Raises:
        InputError: eps is not a finite number above 0.
    """
    _check.positive(eps, "eps")
    k = _gradient_gap(stability, smoothness).least(math.log(eps))
    return gradient_gap(stability, smoothness, k)


def gradient_lipschitz(stability: Stability, smoothness: Smoothness) -> float:
    """Bound the Lipschitz constant beta of the gradient in the weights.

        beta = L_g (S_ww + 2 S_hw M + S_hh M^2) / (1 - rate) + S_g M^2,   M = L_w / (1 - rate)

    It holds for the full and for the truncated model, and is of order (1 - rate)^-3.

    Args:
        stability: The constants of forgetting.
        smoothness: The constants of phi, readout and loss.

    Returns:
        beta, in loss per squared unit of weight.
    """
    by_weights, steep, curved = _composed(stability, smoothness)
    second = (
        smoothness.weights_weights
        + 2 * smoothness.state_weights * by_weights
        + smoothness.state_state * by_weights**2
    )
    return steep * second * stability.accumulation + curved * by_weights**2


def training_gap(
    stability: Stability, smoothness: Smoothness, k: int, steps: int, step_size: float
) -> TrainingGap:
    """Bound how far training on windows of k inputs ends from training on whole sequences.

    Both do projected gradient descent w <- P(w - (alpha / n) grad), n = 1..N, on one convex set of
    weights on which the constants hold, from the same start and on the same data. With the
    gradient gap g and the Lipschitz constant beta of the gradient,

        |w_recurrent - w_truncated| <= (g / beta) (prod_(n=1..N) (1 + alpha beta / n) - 1)
                                    <= (g / beta) (e N)^(alpha beta)

    and the outputs differ by at most L_f (M |w_recurrent - w_truncated| + start rate^k)
    (Miller and Hardt 2019, section 3, "approximation during training").

    Args:
        stability: The constants of forgetting.
        smoothness: The constants of phi, readout and loss.
        k: The length of the window, at least 1.
        steps: N, the number of gradient steps.
        step_size: alpha, the size of the first step.

    Returns:
        The bounds; infinite where float64 cannot hold them.

    Raises:
        InputError: k or steps is no whole number of at least 1, or step_size is not above 0.

    Example:
        >>> stability = Stability(0.5, 2.0, 1.0, Evidence.PROVED)
        >>> smoothness = Smoothness(1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, Evidence.PROVED)
        >>> training_gap(stability, smoothness, 20, steps=100, step_size=0.1).weights < 1e-3
        True
    """
    _check.positive_integer(k, "k")
    growth = _log_growth(gradient_lipschitz(stability, smoothness), steps, step_size)
    weights = _exp(_gradient_gap(stability, smoothness).log(k) + growth)
    by_weights = smoothness.weights * stability.accumulation
    forgotten = _exp(_Falling(stability.rate, stability.start, 0.0).log(k))
    moved = by_weights * weights if by_weights else 0.0
    outputs = (
        stability.lipschitz_output * (moved + forgotten) if stability.lipschitz_output else 0.0
    )
    return TrainingGap(k, weights, outputs, weakest(stability.evidence, smoothness.evidence))


def window_for_training(
    stability: Stability, smoothness: Smoothness, eps: float, steps: int, step_size: float
) -> TrainingGap:
    """Find the least window on which training ends within eps of training on whole sequences.

    Args:
        stability: The constants of forgetting.
        smoothness: The constants of phi, readout and loss.
        eps: The distance allowed between the weights, Euclidean, above 0.
        steps: N, the number of gradient steps.
        step_size: alpha, the size of the first step; step n has alpha / n.

    Returns:
        The least k of at least 1 whose bound, and that of every longer window, is at most eps.

    Raises:
        InputError: eps or step_size is not a finite number above 0, or steps no whole number of at
            least 1.

    Example:
        >>> stability = Stability(0.5, 2.0, 1.0, Evidence.PROVED)
        >>> smoothness = Smoothness(1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, Evidence.PROVED)
        >>> window_for_training(stability, smoothness, 1e-3, steps=100, step_size=0.1).k
        19
    """
    _check.positive(eps, "eps")
    growth = _log_growth(gradient_lipschitz(stability, smoothness), steps, step_size)
    k = _gradient_gap(stability, smoothness).least(math.log(eps) - growth)
    return training_gap(stability, smoothness, k, steps, step_size)


@dataclass(frozen=True)
class _Falling:
    """The bound rate^k flat + k rate^(k-1) slope, in logarithms: it rises at most once, then falls.

    Attributes:
        rate: One step's contraction.
        flat: What falls like rate^k.
        slope: What falls like k rate^(k-1).
    """

    rate: float
    flat: float
    slope: float

    def log(self, k: int) -> float:
        """Give the logarithm of the bound at k, rounded up."""
        factor = self.rate * self.flat + k * self.slope
        if factor == 0 or (self.rate == 0 and k > 1):
            return -math.inf
        fallen = (k - 1) * math.log(self.rate) * (1 - ROUNDING) if k > 1 else 0.0
        return fallen + math.log(factor) + ROUNDING

    def least(self, log_eps: float) -> int:
        """Find the least k at and beyond which the logarithm of the bound is at most log_eps."""
        peak = self._peak()
        low = next((k for k in (peak, peak + 1) if self.log(k) > log_eps), None)
        if low is None:
            return 1
        high = 2 * low
        while self.log(high) > log_eps:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            if self.log(middle) > log_eps:
                low = middle
            else:
                high = middle
        return high

    def _peak(self) -> int:
        """Give a k of at least 1 such that the bound is largest at k or at k + 1."""
        if self.slope == 0 or self.rate == 0:
            return 1
        top = 1 / -math.log(self.rate) / (1 - ROUNDING) - self.rate * self.flat / self.slope
        return max(1, math.floor(top))


def _composed(stability: Stability, smoothness: Smoothness) -> tuple[float, float, float]:
    """Give M = L_w / (1 - rate), and L_g and S_g: bound and Lipschitz constant of d loss/dh."""
    output = stability.lipschitz_output
    steep = smoothness.loss * output
    curved = smoothness.loss_output * output**2 + smoothness.loss * smoothness.output
    return smoothness.weights * stability.accumulation, steep, curved


def _gradient_gap(stability: Stability, smoothness: Smoothness) -> _Falling:
    """Give the gradient gap as a function of k."""
    by_weights, steep, curved = _composed(stability, smoothness)
    second = smoothness.state_weights + smoothness.state_state * by_weights
    return _Falling(
        stability.rate,
        by_weights * (steep + curved * stability.start),
        steep * stability.start * second,
    )


def _log_growth(lipschitz: float, steps: int, step_size: float) -> float:
    """Give log((prod (1 + alpha beta / n) - 1) / beta): what training makes of a gradient's error.

    Args:
        lipschitz: beta, the Lipschitz constant of the gradient.
        steps: N.
        step_size: alpha.

    Returns:
        The logarithm, rounded up; for beta = 0 that of the limit, alpha (1 + 1/2 + ... + 1/N).

    Raises:
        InputError: steps is no whole number of at least 1, or step_size is not above 0.
    """
    _check.positive_integer(steps, "steps")
    _check.positive(step_size, "step_size")
    n = np.arange(1, min(steps, SUMMED) + 1)
    product = step_size * lipschitz
    rest = math.log(steps / SUMMED) if steps > SUMMED else 0.0
    if product == 0:
        return math.log(step_size * (float((1 / n).sum()) + rest)) + ROUNDING
    total = (float(np.log1p(product / n).sum()) + product * rest) * (1 + ROUNDING)
    # log(exp(total) - 1) = total + log(1 - exp(-total)), which no total overflows.
    return total + math.log(-math.expm1(-total)) - math.log(lipschitz) + ROUNDING


def _exp(logarithm: float) -> float:
    """Give exp, infinite where float64 cannot hold it."""
    return math.exp(logarithm) if logarithm < 709 else math.inf
