"""The discretised mixture of logistics."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from unrecur import _check
from unrecur.layers.distribution import AbstractSampleDistribution, pick

# Scales between e^-30 and e^30: a guard against overflow in float32, far outside of what fits data.
_LARGEST_LOG_SCALE = 30.0


@dataclass(frozen=True)
class LogisticMixture(AbstractSampleDistribution):
    """A mixture of logistic distributions, rounded to the 2^bits equidistant values in [-1, 1].

    The model's 3 K numbers are the K log-weights, means and log-scales, in this order. With h half
    the distance of two values, P(x) = sum_k w_k (F_k(x + h) - F_k(x - h)), F_k(x) =
    sigmoid((x - m_k) / s_k); the first value takes all that lies below it and the last all above,
    so that the probabilities sum to 1 (Salimans et al. 2017, arXiv 1701.05517, section 2.1; for
    WaveNet: van den Oord et al. 2017, arXiv 1711.10433, section 3.1).

    Attributes:
        bits: The values are 2^bits.

    Raises:
        InputError: The bits are not between 1 and 16; of more, float32 cannot tell the edges apart.

    Example:
        >>> import torch
        >>> wide = LogisticMixture(bits=1)  # two values, -1 and 1, alike by symmetry
        >>> nats = wide.negative_log_likelihood(torch.zeros(1, 3), torch.tensor([1.0]))
        >>> round(float(nats), 4)  # log(2)
        0.6931
    """

    bits: int = 16

    def __post_init__(self) -> None:
        _check.positive_integer(self.bits, "bits")
        if self.bits > 16:
            raise _check.InputError(f"bits must be at most 16, got {self.bits}.")

    @property
    def uniforms(self) -> int:
        """One for the component, one for the value."""
        return 2

    @property
    def last(self) -> int:
        """The number of the last value, counted from 0."""
        return 2**self.bits - 1

    def negative_log_likelihood(
        self, scores: Float[Tensor, "*B E"], samples: Float[Tensor, "*B"]
    ) -> Float[Tensor, "*B"]:
        """Sum over the components; see `AbstractSampleDistribution.negative_log_likelihood`."""
        weights, means, log_scales = _parts(scores)
        number = torch.round((samples.clamp(-1, 1) + 1) * (self.last / 2))[..., None]
        value = number * (2 / self.last) - 1
        half = 1 / self.last
        above = (value + half - means) * torch.exp(-log_scales)
        below = (value - half - means) * torch.exp(-log_scales)
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)): no difference of near
        # numbers is left, as a - b = 2 h / s is known.
        width = torch.log(-torch.expm1(-2 * half * torch.exp(-log_scales)))
        lower = torch.where(number > 0, functional.logsigmoid(-below), 0)
        upper = torch.where(number < self.last, functional.logsigmoid(above), 0)
        inner = (number > 0) & (number < self.last)
        log_bins = lower + upper + torch.where(inner, width, 0)
        return -torch.logsumexp(functional.log_softmax(weights, -1) + log_bins, -1)

    def at(
        self, scores: Float[Tensor, "*B E"], uniform: Float[Tensor, "*B U"]
    ) -> Float[Tensor, "*B"]:
        """Pick a component and invert its distribution; see `AbstractSampleDistribution.at`."""
        weights, means, log_scales = _parts(scores)
        component = pick(functional.softmax(weights, -1), uniform[..., 0])[..., None]
        mean, log_scale = (p.gather(-1, component)[..., 0] for p in (means, log_scales))
        # At 0 the quantile is -inf, which is clipped to the first value.
        x = (mean + torch.exp(log_scale) * torch.logit(uniform[..., 1])).clamp(-1, 1)
        return torch.round((x + 1) * (self.last / 2)) * (2 / self.last) - 1


def _parts(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Split the numbers into log-weights, means and log-scales."""
    if scores.shape[-1] % 3:
        raise _check.InputError(
            "a mixture takes 3 numbers for each component, got "
            f"{scores.shape[-1]} in the last dimension. Give the model 3 K outputs."
        )
    weights, means, log_scales = scores.chunk(3, -1)
    return weights, means, log_scales.clamp(-_LARGEST_LOG_SCALE, _LARGEST_LOG_SCALE)
