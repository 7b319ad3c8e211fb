"""State: a plain tree of tensors, batch first in every leaf.

A state is a tensor, or a tuple (or list, dict) of states; `()` is the state of a model that
remembers nothing. It is passed in and handed back, never changed in place.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Integer, Shaped
from torch import Tensor
from torch.utils import _pytree

from unrecur import _check

State = Any


def map_state(function: Callable[..., Tensor], state: State, *others: State) -> State:
    """Apply a function to every leaf of one or several states of the same structure.

    Args:
        function: Takes one leaf of each state, returns a tensor.
        state: The first state.
        others: More states, of the same structure.

    Returns:
        A state of the same structure.
    """
    return _pytree.tree_map(function, state, *others)


def leaves(state: State) -> list[Tensor]:
    """List the tensors of a state, in a fixed order.

    Args:
        state: Any state.

    Returns:
        Its leaves.
    """
    return _pytree.tree_leaves(state)


def detach(state: State) -> State:
    """Cut a state off the graph that made it, as truncated backpropagation does.

    Args:
        state: Any state.

    Returns:
        The same values, without history.
    """
    return map_state(Tensor.detach, state)


def where(rows: Bool[Tensor, " B"], new: State, old: State) -> State:
    """Take whole rows from one state or the other.

    Args:
        rows: True where the new state's row is taken.
        new: A state of B rows.
        old: A state of B rows and the same structure.

    Returns:
        The mixed state.
    """

    def choose(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(rows.view(-1, *(1,) * (a.dim() - 1)), a, b)

    return map_state(choose, new, old)


def valid_steps(lengths: Integer[Tensor, " B"], time: int) -> Bool[Tensor, "B T"]:
    """Mark the valid part of each row of a padded block.

    Args:
        lengths: How many steps of each row are valid.
        time: The padded length T.

    Returns:
        True at the valid steps.
    """
    return torch.arange(time, device=lengths.device) < lengths[:, None]


def zero_padding(
    x: Shaped[Tensor, "B T ..."], lengths: Integer[Tensor, " B"] | None
) -> Shaped[Tensor, "B T ..."]:
    """Put zeros into the padding, so that nothing in it (not even a NaN) reaches a gradient.

    Args:
        x: A padded block.
        lengths: How many steps of each row are valid; None when all are.

    Returns:
        The block with a clean padding.

    Raises:
        InputError: A length is below 1 or beyond the block, or there is not one for each row.
    """
    if lengths is None:
        return x
    _check.lengths(lengths, *x.shape[:2])
    valid = valid_steps(lengths.to(x.device), x.shape[1])
    return torch.where(valid.view(*valid.shape, *(1,) * (x.dim() - 2)), x, 0)


def last_steps(
    seen: Shaped[Tensor, "B N ..."], past: int, lengths: Integer[Tensor, " B"] | None
) -> Shaped[Tensor, "B P ..."]:
    """Take the last steps of each row, counted from its own end.

    Args:
        seen: The steps kept from before, `past` of them, and then those of a block.
        past: How many to take.
        lengths: How many steps of the block are valid in each row; None when all are.

    Returns:
        What to keep after the block.

    Raises:
        InputError: A length lies outside of the block.
    """
    time = seen.shape[1] - past
    if lengths is None:
        return seen[:, time:]
    _check.lengths(lengths, seen.shape[0], time)
    steps = lengths.to(seen.device)[:, None] + torch.arange(past, device=seen.device)
    index = steps.view(*steps.shape, *(1,) * (seen.dim() - 2))
    return seen.gather(1, index.expand(-1, -1, *seen.shape[2:]))
