"""What a model of a waveform says of the next sample."""

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Integer
from torch import Tensor


class AbstractSampleDistribution(ABC):
    """A distribution over the values that a sample in [-1, 1] can have, from numbers of a model.

    A sample is drawn by inverting distribution functions at uniform numbers, so that whoever holds
    the uniform numbers gets the same sample from the same scores.
    """

    @property
    @abstractmethod
    def uniforms(self) -> int:
        """How many uniform numbers one draw takes."""

    @abstractmethod
    def negative_log_likelihood(
        self, scores: Float[Tensor, "*B E"], samples: Float[Tensor, "*B"]
    ) -> Float[Tensor, "*B"]:
        """Measure how little the model expected the samples.

        Args:
            scores: The model's outputs.
            samples: What came next, in [-1, 1]; rounded to the nearest value of the set.

        Returns:
            -log P(sample), in nats, for each sample.
        """

    @abstractmethod
    def at(
        self, scores: Float[Tensor, "*B E"], uniform: Float[Tensor, "*B U"]
    ) -> Float[Tensor, "*B"]:
        """Draw the samples that belong to given uniform numbers.

        Args:
            scores: The model's outputs.
            uniform: Numbers in [0, 1), `uniforms` for each sample.

        Returns:
            The samples, in [-1, 1].
        """

    def sample(
        self, scores: Float[Tensor, "*B E"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*B"]:
        """Draw samples.

        Args:
            scores: The model's outputs.
            generator: Where the randomness comes from; torch's own where left out.

        Returns:
            One sample for each row of scores, in [-1, 1].
        """
        shape = (*scores.shape[:-1], self.uniforms)
        uniform = torch.rand(shape, generator=generator, dtype=scores.dtype, device=scores.device)
        return self.at(scores, uniform)


def bits(nats: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
    """Convert nats to bits.

    Args:
        nats: Logarithms to the base e.

    Returns:
        Logarithms to the base 2.

    Example:
        >>> bits(torch.tensor([math.log(256)]))
        tensor([8.])
    """
    return nats / math.log(2)


def pick(
    probabilities: Float[Tensor, "*B E"], uniform: Float[Tensor, "*B"]
) -> Integer[Tensor, "*B"]:
    """Draw categories by inverting the distribution function.

    Args:
        probabilities: The probability of each category.
        uniform: A number in [0, 1) for each draw.

    Returns:
        The first category whose cumulated probability is above the number.
    """
    wanted = uniform[..., None].contiguous()
    number = torch.searchsorted(probabilities.cumsum(-1), wanted, right=True)[..., 0]
    return number.clamp(max=probabilities.shape[-1] - 1)  # the sum may round to less than 1
