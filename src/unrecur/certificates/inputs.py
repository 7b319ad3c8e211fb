"""The inputs that a proof holds for: a box, or the finite set of vectors of a vocabulary."""

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

    @property
    def hull(self) -> "Box":
        """The box itself."""
        return self

    @property
    def ends(self) -> tuple[Float64[Tensor, "1 D"], Float64[Tensor, "1 D"]]:
        """The least and the largest input, as one mode."""
        return self.low[None], self.high[None]

    def __str__(self) -> str:
        low, high = float(self.low.min()), float(self.high.max())
        uniform = bool((self.low == low).all() and (self.high == high).all())
        span = f"[{low:.6g}, {high:.6g}]"
        return (
            f"every input in {span}" if uniform else f"every input in its feature's part of {span}"
        )


@dataclass(frozen=True)
class Points:
    """A finite set of inputs, such as the vectors of an embedding or one-hot codes, in float64.

    A proof uses that all gates see the same one of these vectors at a time, which a box hides.

    Attributes:
        vectors: One input a row.
    """

    vectors: Float64[Tensor, "V D"]

    @property
    def magnitude(self) -> Float64[Tensor, " D"]:
        """The largest |x| of each feature."""
        return self.vectors.abs().amax(0)

    def largest(self, weight: Float64[Tensor, "N D"]) -> Float64[Tensor, " N"]:
        """Give max of W x over the points, row by row.

        Args:
            weight: The matrix W.

        Returns:
            The maximum of each row.
        """
        return (self.vectors @ weight.T).amax(0)

    @property
    def hull(self) -> Box:
        """The least box around the points."""
        return Box(self.vectors.amin(0), self.vectors.amax(0))

    @property
    def ends(self) -> tuple[Float64[Tensor, "V D"], Float64[Tensor, "V D"]]:
        """Each point as a mode of its own: its least and its largest input are itself."""
        return self.vectors, self.vectors

    def __str__(self) -> str:
        return f"every sequence of the {len(self.vectors)} input vectors"


InputSet = Box | Points


def points(vectors: Any) -> Points:
    """Make the input set of a finite vocabulary.

    Args:
        vectors: One input a row, [vocabulary, features]: an embedding's weights, `torch.eye(V)`
            for one-hot codes.

    Returns:
        The set, for `input_box=` of `certify`.

    Raises:
        InputError: It is no matrix with at least one row, or not finite.

    Example:
        >>> str(points([[0.0, 1.0], [1.0, 0.0]]))
        'every sequence of the 2 input vectors'
    """
    table = torch.as_tensor(vectors, dtype=torch.float64).detach().cpu().clone()
    if table.dim() != 2 or not table.numel():
        raise InputError(
            f"a vocabulary needs one vector a row, [tokens, features]; got {list(table.shape)}."
        )
    if not table.isfinite().all():
        raise InputError("the vectors of a vocabulary must be finite.")
    return Points(table)


def read_inputs(given: Any, features: int) -> InputSet:
    """Read a set of inputs in any of the forms a user may give it.

    Args:
        given: A `Box`; `Points`; a number B for |x| <= B; or a pair (low, high) of numbers or of
            vectors with one number for each feature.
        features: The number of features.

    Returns:
        The set.

    Raises:
        InputError: It is none of these, is not finite, low > high somewhere, or the number of
            features differs.
    """
    if isinstance(given, Points):
        if given.vectors.shape[1] != features:
            raise InputError(
                f"the input vectors have {given.vectors.shape[1]} features, the model reads "
                f"{features}."
            )
        return given
    return read_box(given, features)


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
            "input_box must be a number B (for |x| <= B), a pair (low, high), or the vectors of a "
            f"vocabulary as unrecur.points(table); got {given!r}."
        )
    ends = [torch.as_tensor(end, dtype=torch.float64).cpu().clone() for end in (low, high)]
    if any(end.dim() > 1 or (end.dim() == 1 and len(end) != features) for end in ends):
        shapes = [list(end.shape) for end in ends]
        raise InputError(
            f"input_box needs numbers or vectors of {features} features, got {shapes}."
        )
    least, largest = (end.expand(features) for end in ends)
    if not (least.isfinite().all() and largest.isfinite().all() and (least <= largest).all()):
        raise InputError("input_box must be finite with low <= high in every feature.")
    return Box(least, largest)
