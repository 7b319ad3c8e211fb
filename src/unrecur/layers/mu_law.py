"""The mu-law: samples as codes, finer near zero, and a categorical distribution over the codes."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional

from unrecur import _check
from unrecur.layers.distribution import AbstractSampleDistribution, pick


def mu_law_encode(x: Float[Tensor, "*B"], levels: int = 256) -> Integer[Tensor, "*B"]:
    """Compress samples and round them to codes.

    With mu = levels - 1: f(x) = sign(x) log(1 + mu |x|) / log(1 + mu), and the code is the nearest
    whole number to mu (f(x) + 1) / 2 (ITU-T G.711's curve; van den Oord et al. 2016, section 2.2).

    Args:
        x: Samples in [-1, 1]; what lies outside is clipped.
        levels: The number of codes.

    Returns:
        Codes from 0 to levels - 1.

    Raises:
        InputError: There are fewer than 2 levels.

    Example:
        >>> mu_law_encode(torch.tensor([-1.0, -0.01, 0.01, 1.0])).tolist()
        [0, 98, 157, 255]
    """
    mu = _mu(levels)
    x = x.clamp(-1, 1)
    scaled = torch.log1p(mu * x.abs()) * (mu / 2 / math.log1p(mu))
    return torch.round(torch.copysign(scaled, x) + mu / 2).long()


def mu_law_decode(
    codes: Integer[Tensor, "*B"], levels: int = 256, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "*B"]:
    """Give the samples that codes stand for: sign(f) ((1 + mu)^|f| - 1) / mu, f = 2 code / mu - 1.

    Args:
        codes: Codes from 0 to levels - 1.
        levels: The number of codes.
        dtype: The type of the samples.

    Returns:
        Samples in [-1, 1]; encoding them gives the codes back.

    Raises:
        InputError: There are fewer than 2 levels.

    Example:
        >>> mu_law_decode(torch.tensor([0, 255])).tolist()
        [-1.0, 1.0]
    """
    mu = _mu(levels)
    compressed = codes.to(dtype) * (2 / mu) - 1
    size = torch.expm1(compressed.abs() * math.log1p(mu)) / mu
    return torch.copysign(size, compressed)


def _mu(levels: int) -> float:
    """Check the number of levels, and give mu."""
    _check.positive_integer(levels, "levels")
    if levels < 2:
        raise _check.InputError("levels must be a whole number of at least 2, got 1.")
    return float(levels - 1)


@dataclass(frozen=True)
class MuLawCategorical(AbstractSampleDistribution):
    """A categorical distribution over mu-law codes: one score for each, softmax.

    Attributes:
        levels: The number of codes.

    Example:
        >>> even = MuLawCategorical(256)
        >>> nats = even.negative_log_likelihood(torch.zeros(1, 256), torch.tensor([0.3]))
        >>> round(float(nats), 4)  # log(256)
        5.5452
    """

    levels: int = 256

    @property
    def uniforms(self) -> int:
        """One, for the code."""
        return 1

    def negative_log_likelihood(
        self, scores: Float[Tensor, "*B E"], samples: Float[Tensor, "*B"]
    ) -> Float[Tensor, "*B"]:
        """Give the cross-entropy; see `AbstractSampleDistribution.negative_log_likelihood`."""
        self._check(scores)
        codes = mu_law_encode(samples, self.levels)
        return -functional.log_softmax(scores, -1).gather(-1, codes[..., None])[..., 0]

    def at(
        self, scores: Float[Tensor, "*B E"], uniform: Float[Tensor, "*B U"]
    ) -> Float[Tensor, "*B"]:
        """Invert the distribution function; see `AbstractSampleDistribution.at`."""
        self._check(scores)
        codes = pick(functional.softmax(scores, -1), uniform[..., 0])
        return mu_law_decode(codes, self.levels, scores.dtype)

    def _check(self, scores: Tensor) -> None:
        """Check that there is a score for each code."""
        if scores.shape[-1] != self.levels:
            raise _check.InputError(
                f"expected {self.levels} scores in the last dimension, one for each code, got "
                f"{scores.shape[-1]}."
            )
