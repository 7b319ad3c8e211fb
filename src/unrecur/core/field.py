"""Which inputs an output can see."""

import math
from dataclasses import dataclass

from unrecur._check import InputError


@dataclass(frozen=True)
class Field:
    """The inputs that the output at time t may depend on: t - past, ..., t + future.

    Both ends are in steps and may be infinite; `Field(0, 0)` sees the present input alone.

    Attributes:
        past: How many inputs before the present one are seen.
        future: How many inputs after it are seen; 0 for a causal model.

    Raises:
        InputError: An end is negative, NaN, or neither whole nor infinite.

    Example:
        >>> convolution = Field(past=4)
        >>> convolution.then(Field(past=8)).length
        13
        >>> convolution.union(Field(past=math.inf))
        Field(past=inf, future=0)
    """

    past: float = 0
    future: float = 0

    def __post_init__(self) -> None:
        for name in ("past", "future"):
            steps = getattr(self, name)
            if not steps >= 0 or (math.isfinite(steps) and steps != int(steps)):
                raise InputError(
                    f"{name} must be a whole number of steps >= 0 or infinity, got {steps}."
                )

    @property
    def length(self) -> float:
        """The receptive field: how many inputs are seen, the present one included."""
        return self.past + 1 + self.future

    @property
    def causal(self) -> bool:
        """Whether no future input is seen."""
        return self.future == 0

    def then(self, other: "Field") -> "Field":
        """Give the field of a model that feeds its outputs to another one.

        Args:
            other: The field of the later model.

        Returns:
            The composed field: both ends add.
        """
        return Field(self.past + other.past, self.future + other.future)

    def union(self, other: "Field") -> "Field":
        """Give the field of a model that combines the outputs of two.

        Args:
            other: The field of the model beside this one.

        Returns:
            The least field that holds both.
        """
        return Field(max(self.past, other.past), max(self.future, other.future))
