"""The reference: a cell run over time, one step after the other."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from unrecur.core.cell import AbstractCell
from unrecur.core.state import valid_steps


def sequential(
    cell: AbstractCell,
    x: Float[Tensor, "B T D"],
    h: Float[Tensor, "B S"],
    lengths: Integer[Tensor, " B"] | None = None,
) -> Float[Tensor, "B T S"]:
    """Give the states h_t = phi(h_{t-1}, x_t) of every step by the plain loop.

    Every faster way to run a cell is held to this one, in value and in gradient.

    Args:
        cell: The recurrence.
        x: The inputs.
        h: The state before the first input.
        lengths: How many steps of each row are valid; a row keeps its state after its last one.

    Returns:
        The state after each step.
    """
    valid = None if lengths is None else valid_steps(lengths.to(x.device), x.shape[1])
    states = []
    for t, x_t in enumerate(x.unbind(1)):
        new = cell.phi(h, x_t)
        h = new if valid is None else torch.where(valid[:, t, None], new, h)
        states.append(h)
    return torch.stack(states, 1)
