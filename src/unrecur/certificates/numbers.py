"""The arithmetic that proofs are made of: what a cell is computed with, in place of tensors.

A cell is written once, as an expression on these operations (`expressions.py`). Computed with
`Pair` it gives the reachable box and the majorant, with `Parts` the set of its Jacobians, with
`Around` and `Zonotope` what is left of an unknown state along given inputs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

N = TypeVar("N", bound="AbstractNumbers")


@dataclass(frozen=True)
class Activation:
    """An increasing function with the range of its slope on an interval.

    Attributes:
        function: The function.
        slopes: The least and the largest slope on [low, high].
        slope_of: The slope where the function has a value: cheap where the value is known.
        peak: The slope at 0; anywhere else the slope of an interval is largest at one of its ends.
    """

    function: Callable[[Tensor], Tensor]
    slopes: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    slope_of: Callable[[Tensor], Tensor]
    peak: float


def _symmetric(slope: Callable[[Tensor], Tensor]) -> Callable[..., tuple[Tensor, Tensor]]:
    """Make the range of a slope that depends on |x| alone and falls with it."""

    def slopes(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        far = torch.maximum(low.abs(), high.abs())
        near = torch.maximum(low, -high).clamp(min=0)  # the least |x| in [low, high]
        return slope(far), slope(near)

    return slopes


def _sigmoid_slope(x: Tensor) -> Tensor:
    """Give s(x) s(-x): no digits are lost where s(x) is near 1."""
    return torch.sigmoid(x) * torch.sigmoid(-x)


def _tanh_slope(x: Tensor) -> Tensor:
    """Give 1 - tanh(x)^2 as 4 s(2 x) s(-2 x)."""
    return 4 * _sigmoid_slope(2 * x)


SIGMOID = Activation(torch.sigmoid, _symmetric(_sigmoid_slope), lambda y: y * (1 - y), 0.25)
TANH = Activation(torch.tanh, _symmetric(_tanh_slope), lambda y: 1 - y * y, 1.0)
LOG_SIGMOID = Activation(
    torch.nn.functional.logsigmoid,
    lambda low, high: (torch.sigmoid(-high), torch.sigmoid(-low)),
    lambda y: -torch.expm1(y),
    0.5,
)
# What is left of the sum of numbers that cancel but for the rounding of a computed activation.
ROUNDED_ZERO = Activation(
    torch.zeros_like,
    lambda low, high: (torch.zeros_like(low), torch.zeros_like(high)),
    torch.zeros_like,
    0.0,
)


@cache
def leaky_relu(slope: float) -> Activation:
    """Make max(x, slope x).

    Args:
        slope: The slope below zero, from 0 to 1.

    Returns:
        The activation.
    """

    def slopes(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        one = torch.ones_like(low)
        return torch.where(low < 0, slope * one, one), torch.where(high > 0, one, slope * one)

    def slope_of(y: Tensor) -> Tensor:
        return torch.where(y > 0, 1.0, slope)

    return Activation(
        lambda x: torch.nn.functional.leaky_relu(x, slope), slopes, slope_of, max(slope, 0.0)
    )


class AbstractNumbers(ABC):
    """A vector of N numbers of which something is known, and what is known of their differences."""

    @abstractmethod
    def linear(self: N, weight: Tensor, bias: Tensor | None) -> N:
        """Give W x + b.

        Args:
            weight: W, [M, N].
            bias: b, [M].

        Returns:
            M numbers.
        """

    @abstractmethod
    def activate(self: N, activation: Activation) -> N:
        """Apply an increasing function to each number.

        Args:
            activation: The function.

        Returns:
            As many numbers.
        """

    @abstractmethod
    def __add__(self: N, other: N) -> N:
        """Add number by number."""

    @abstractmethod
    def __mul__(self: N, other: N) -> N:
        """Multiply number by number."""

    @abstractmethod
    def mix(self: N, first: N, second: N) -> N:
        """Give z a + (1 - z) b for z = self: one operation, as z and 1 - z are not independent.

        Args:
            first: a.
            second: b.

        Returns:
            As many numbers.
        """

    @abstractmethod
    def chunk(self: N, parts: int) -> list[N]:
        """Cut into parts of equal length.

        Args:
            parts: How many.

        Returns:
            The parts in order.
        """

    @abstractmethod
    def beside(self: N, other: N) -> N:
        """Put other numbers behind these.

        Args:
            other: The numbers.

        Returns:
            Both.
        """

    @abstractmethod
    def negated(self: N) -> N:
        """Give -x."""
