"""Affine recurrences h' = a(x) * h + b(x): the coefficients do not depend on the state."""

from abc import abstractmethod

import torch
from jaxtyping import Float, Inexact
from torch import Tensor, nn

from unrecur import _check
from unrecur.core.cell import AbstractCell


class AbstractAffineCell(AbstractCell):
    """A recurrence h' = a(x) * h + b(x), number by number, with a and b free of h.

    Two steps make one of the same form, (a_2 a_1, a_2 b_1 + b_2), so that a block may be run as a
    parallel scan (Martin and Cundy 2018). The N numbers of h are real, and the flat state is h
    itself (S = N); or complex, and it is [Re h, Im h] (S = 2 N).
    """

    @abstractmethod
    def coefficients(
        self, x: Float[Tensor, "*B D"]
    ) -> tuple[Inexact[Tensor, "*B N"], Inexact[Tensor, "*B N"]]:
        """Give a(x) and b(x), of one step or of a whole block at once.

        Args:
            x: The input.

        Returns:
            a and b, both real or both complex.
        """

    def phi(self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B S"]:
        """Advance the state; see `AbstractCell.phi`."""
        a, b = self.coefficients(x)
        return to_flat(a * from_flat(h, a) + b)

    def jacobian(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> Float[Tensor, "*B S S"]:
        """Give diag(a), the same for every h; see `AbstractCell.jacobian`."""
        # A complex a is [[Re a, -Im a], [Im a, Re a]] on [Re h, Im h].
        a, _ = self.coefficients(x)
        if not a.is_complex():
            return torch.diag_embed(a)
        real, imaginary = torch.diag_embed(a.real), torch.diag_embed(a.imag)
        upper, lower = torch.cat([real, -imaginary], -1), torch.cat([imaginary, real], -1)
        return torch.cat([upper, lower], -2)


class AbstractInputGatedCell(AbstractAffineCell):
    """An affine cell whose gates are one linear map of the input.

    `projection` is W x + b with G blocks of H rows, drawn from U(-1/sqrt(D), 1/sqrt(D)).

    Args:
        input_size: The number of input features D.
        hidden_size: The number of units H.
        bias: Whether there are biases.
        device: Where the weights live.
        dtype: Their type.

    Raises:
        InputError: A size is below 1.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        _check.positive_integer(input_size, "input_size")
        _check.positive_integer(hidden_size, "hidden_size")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.projection = nn.Linear(input_size, self.gates * hidden_size, bias, device, dtype)

    @property
    @abstractmethod
    def gates(self) -> int:
        """How many blocks of H rows the projection stacks."""


def from_flat(h: Float[Tensor, "*B S"], like: Tensor) -> Inexact[Tensor, "*B N"]:
    """Read the numbers h out of a flat state.

    Args:
        h: The flat state: h, or [Re h, Im h].
        like: Which of the two: a coefficient, complex where h is.

    Returns:
        The numbers that a(x) multiplies.
    """
    return torch.complex(*h.chunk(2, -1)) if like.is_complex() else h


def to_flat(numbers: Inexact[Tensor, "*B N"]) -> Float[Tensor, "*B S"]:
    """Write the numbers h as a flat state.

    Args:
        numbers: h.

    Returns:
        [Re h, Im h] if it is complex, else h.
    """
    return torch.cat([numbers.real, numbers.imag], -1) if numbers.is_complex() else numbers
