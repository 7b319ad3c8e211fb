"""A recurrence along data in float64: the flat state of a cell, or of a stack of cells."""

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from unrecur import _check
from unrecur._check import InputError
from unrecur.core.cell import AbstractCell
from unrecur.layers.recurrent import Recurrent


@dataclass(frozen=True)
class Dynamics:
    """The recurrence of one cell, or of a stack as one recurrence of its states side by side.

    Attributes:
        cells: The cells from the bottom up, in float64.
    """

    cells: tuple[AbstractCell, ...]

    def phi(
        self, h: Float64[Tensor, "*B S"], x: Float64[Tensor, "*B D"]
    ) -> Float64[Tensor, "*B S"]:
        """Advance all states; each cell reads the new state of the one below.

        Args:
            h: The states side by side.
            x: The input of the lowest cell.

        Returns:
            The next states.
        """
        after = []
        parts = h.split([cell.state_size for cell in self.cells], -1)
        for cell, before in zip(self.cells, parts, strict=True):
            after.append(cell.phi(before, x))
            x = cell.readout(after[-1])
        return torch.cat(after, -1)

    def jacobian(
        self, h: Float64[Tensor, "B S"], x: Float64[Tensor, "B D"]
    ) -> Float64[Tensor, "B S S"]:
        """Give d phi / dh: a cell's closed form; of a stack, by differentiating phi.

        Args:
            h: The states.
            x: The inputs.

        Returns:
            The matrices, block lower triangular for a stack.
        """
        if len(self.cells) == 1:
            return self.cells[0].jacobian(h, x)
        return torch.func.vmap(torch.func.jacrev(self.phi))(h, x)

    def trajectory(
        self, h: Float64[Tensor, "B S"], x: Float64[Tensor, "B T D"]
    ) -> Float64[Tensor, "B T S"]:
        """Give the state before each step.

        Args:
            h: The states before the first.
            x: The inputs.

        Returns:
            The states.

        Raises:
            InputError: A state is beyond float64.
        """
        states = []
        for t, x_t in enumerate(x.unbind(1)):
            check_range(t, h)
            states.append(h)
            h = self.phi(h, x_t)
        return torch.stack(states, 1)


def in_float64(
    cell: AbstractCell | Recurrent,
    x: Float[Tensor, "B T D"],
    state: Float[Tensor, "B S"] | None = None,
) -> tuple[Dynamics, Float64[Tensor, "B T D"], Float64[Tensor, "B S"]]:
    """Copy a recurrence, its inputs and its first states to float64.

    Args:
        cell: A cell, or a recurrent layer (its dropout is left out).
        x: The inputs.
        state: The states before them, those of a layer's cells side by side; zeros where left out.

    Returns:
        The recurrence, the inputs and the states.

    Raises:
        InputError: A shape is wrong, or a weight, input or state is not finite.
    """
    cells = list(cell.cells) if isinstance(cell, Recurrent) else [cell]
    _check.block(x, cells[0].input_size)
    _check.finite(x, "x")
    for name, weight in cell.named_parameters():
        _check.finite(weight, name)
    weight = next(cell.parameters())
    shape = [len(x), sum(each.state_size for each in cells)]
    h = weight.new_zeros(shape) if state is None else state
    if list(h.shape) != shape:
        raise InputError(f"expected states of shape {shape}, got {list(h.shape)}.")
    _check.finite(h, "state")
    dynamics = Dynamics(tuple(copy.deepcopy(each).double() for each in cells))
    return dynamics, x.to(weight.device, torch.float64), h.to(weight.device, torch.float64)


def check_range(step: int, *values: Tensor) -> None:
    """Check that states and Jacobians are finite: LAPACK may crash the process on one that is not.

    Args:
        step: The step they belong to.
        *values: The states, the Jacobians or their products.

    Raises:
        InputError: They are not.
    """
    if not all(bool(value.isfinite().all()) for value in values):
        raise InputError(
            f"the state or its Jacobian has left the range of float64 at step {step}. "
            "Give a shorter sequence, smaller inputs, or a cell that stays bounded."
        )


def within(value: int, name: str, low: int, high: int) -> int:
    """Check that a whole number lies in a range.

    Args:
        value: The number.
        name: What it is, for the message.
        low: The least one allowed.
        high: The largest one allowed.

    Returns:
        The number.

    Raises:
        InputError: It is no whole number, or lies outside.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(f"{name} must be a whole number from {low} to {high}, got {value!r}.")
    return value
