"""The box of inputs that a proof holds for."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from unrecur._check import InputError


@dataclass(frozen=True)
class Box:
    """The inputs with low <= x <= high in every feature, in float64.

    Attributes:
        low: The least value of each feature.
        high: The largest value of each feature.
    """

    low: Float64[Tensor, " D"]
    high: Float64[Tensor, " D"]

    @property
    def magnitude(self) -> Float64[Tensor, " D"]:
        """The largest |x| of each feature."""
        return torch.maximum(self.low.abs(), self.high.abs())

    def largest(self, weight: Float64[Tensor, "N D"]) -> Float64[Tensor, " N"]:
        """Give max of W x over the box, row by row.

        Args:
            weight: The matrix W.

        Returns:
            The maximum of each row.
        """
        return weight.clamp(min=0) @ self.high + weight.clamp(max=0) @ self.low


def read_box(given: Any, features: int) -> Box:
    """Read a box of inputs in any of the forms a user may give it.

    Args:
        given: A `Box`; a number B for |x| <= B; or a pair (low, high) of numbers or of vectors
            with one number for each feature.
        features: The number of features.

    Returns:
        The box.

    Raises:
        InputError: It is none of these, is not finite, or low > high somewhere.
    """
    low: Any
    high: Any
    if isinstance(given, Box):
        low, high = given.low, given.high
    elif isinstance(given, (int, float)):
        low, high = -given, given
    elif isinstance(given, (tuple, list)) and len(given) == 2:
        low, high = given
    else:
        raise InputError(
            f"input_box must be a number B (for |x| <= B) or a pair (low, high), got {given!r}."
        )
    ends = [torch.as_tensor(end, dtype=torch.float64).cpu() for end in (low, high)]
    if any(end.dim() > 1 or (end.dim() == 1 and len(end) != features) for end in ends):
        shapes = [list(end.shape) for end in ends]
        raise InputError(
            f"input_box needs numbers or vectors of {features} features, got {shapes}."
        )
    least, largest = (end.expand(features) for end in ends)
    if not (least.isfinite().all() and largest.isfinite().all() and (least <= largest).all()):
        raise InputError("input_box must be finite with low <= high in every feature.")
    return Box(least, largest)
