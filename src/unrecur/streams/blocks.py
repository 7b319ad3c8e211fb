"""Checks of the blocks that a stream is fed: before anything of them reaches a state."""

import math
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from unrecur import _check
from unrecur._check import InputError
from unrecur.streams.machine import AbstractMachine


def shaped(machine: AbstractMachine, x: Any, rows: int | None) -> Shaped[Tensor, "..."]:
    """Check the shape and type of a block, which may be empty.

    Args:
        machine: What is streamed.
        x: A tensor or an array, [time, features] or [batch, time, features]; ids without features.
        rows: The number of rows; None for one stream without a batch dimension.

    Returns:
        The block as a tensor, cut off the graph that made it.

    Raises:
        InputError: The shape, the type or the device is wrong.
    """
    block = x if isinstance(x, Tensor) else torch.as_tensor(x)
    features = () if machine.takes_tokens else (machine.in_features,)
    wanted = 1 + (rows is not None) + len(features)
    # Behind the time, and before it.
    if (
        block.dim() != wanted
        or (features and block.shape[-1] != features[0])
        or (rows is not None and len(block) != rows)
    ):
        raise InputError(_shape_message(block, rows, features))
    if block.device != machine.device:
        raise InputError(
            f"expected a block on {machine.device}, where the model is, got one on {block.device}."
        )
    if block.dtype != machine.dtype and not machine.takes_tokens:
        raise InputError(
            f"expected a block of {machine.dtype}, as the model's weights, got {block.dtype}. "
            f"Convert it with x.to({machine.dtype})."
        )
    if machine.takes_tokens and (block.is_floating_point() or block.is_complex()):
        raise InputError(f"expected token ids as integers, got {block.dtype}. Take x.long().")
    return block.detach() if block.requires_grad else block


def refuse_values(machine: AbstractMachine, block: Shaped[Tensor, "..."]) -> None:
    """Refuse what would spoil a state, or is no token.

    Args:
        machine: What is streamed.
        block: A block of the right shape and type.

    Raises:
        InputError: A value is NaN, infinite, or no token of the model.
    """
    if machine.takes_tokens:
        if machine.in_features and block.numel():
            _check.tokens(block, machine.in_features, block.dim())
    # One sum tells of most blocks that they are finite; of large numbers it may not.
    elif not math.isfinite(float(block.sum())):
        _check.finite(block, "a block of a stream")


def _shape_message(block: Tensor, rows: int | None, features: tuple[int, ...]) -> str:
    """Say which shape a block has to have."""
    parts = [] if rows is None else [str(rows)]
    parts += ["time", *map(str, features)]
    cure = ""
    if rows is None and block.dim() == 2 + len(features):
        cure = f" For several streams at once: unrecur.stream(model, batch={len(block)})."
    elif list(block.shape) == list(features):
        cure = " Give a single step as a block of one: x[None]."
    return f"expected a block [{', '.join(parts)}], got the shape {list(block.shape)}.{cure}"
