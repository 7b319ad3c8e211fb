"""Samples of sound as one of a number of levels."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from unrecur import _check
from unrecur._check import InputError
from unrecur.layers.mu_law import mu_law_decode, mu_law_encode

Law = Literal["mu-law", "linear"]


@dataclass(frozen=True)
class Quantizer:
    """Samples in [-1, 1] as one of a number of levels.

    Attributes:
        law: "mu-law", finer near zero, or "linear": [-1, 1] in equal parts, each standing for its
            middle.
        levels: The number of levels.

    Example:
        >>> linear = Quantizer("linear", 4)
        >>> linear.decode(linear.encode(torch.tensor([-1.0, -0.1, 0.1, 1.0]))).tolist()
        [-0.75, -0.25, 0.25, 0.75]
    """

    law: Law
    levels: int

    def __post_init__(self) -> None:
        _check.known_name(self.law, ("mu-law", "linear"), "law")
        _check.positive_integer(self.levels, "levels")
        if self.levels < 2:
            raise InputError("levels must be a whole number of at least 2, got 1.")

    def encode(self, samples: Float[Tensor, "*B"]) -> Integer[Tensor, "*B"]:
        """Give the levels of samples.

        Args:
            samples: In [-1, 1].

        Returns:
            Levels from 0.
        """
        if self.law == "mu-law":
            return mu_law_encode(samples, self.levels)
        level = ((samples.double() + 1) * (self.levels / 2)).floor().long()
        return level.clamp(max=self.levels - 1)

    def decode(self, levels: Integer[Tensor, "*B"]) -> Float[Tensor, "*B"]:
        """Give the samples that levels stand for.

        Args:
            levels: Levels from 0.

        Returns:
            Samples in [-1, 1].
        """
        if self.law == "mu-law":
            return mu_law_decode(levels, self.levels).clamp(-1, 1)  # float32 may round beyond
        return (levels.float() + 0.5) * (2 / self.levels) - 1

    @property
    def silence(self) -> int:
        """The level of the sample 0."""
        return int(self.encode(torch.zeros(1)))
