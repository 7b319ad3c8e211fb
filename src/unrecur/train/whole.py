"""Whole tensors of weights that several processes keep in parts."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor


def whole(tensor: Tensor) -> Tensor:
    """Give all of a tensor; all processes must call this together.

    Args:
        tensor: A tensor, or a part of one.

    Returns:
        The whole of it.
    """
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole_state(module: nn.Module) -> dict[str, Tensor]:
    """Give the state of a module, whole.

    Args:
        module: The module.

    Returns:
        Its tensors by name.
    """
    return {name: whole(value) for name, value in module.state_dict().items()}


def parted_as(value: Tensor, parameter: Tensor) -> Tensor:
    """Take this process's part of a whole tensor.

    Args:
        value: The whole tensor.
        parameter: How it is to be parted; if it is not in parts or of another shape, not at all.

    Returns:
        The part.
    """
    if isinstance(parameter, DTensor) and value.shape == parameter.shape:
        return distribute_tensor(value, parameter.device_mesh, parameter.placements)
    return value


@torch.no_grad()
def load_whole_(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put whole tensors into a module, in place.

    Args:
        module: The module.
        state: The tensors, as `whole_state` gave them.

    Raises:
        RuntimeError: A name or a shape is another.
    """
    now = module.state_dict()
    module.load_state_dict(
        {name: parted_as(value, now.get(name, value)) for name, value in state.items()}
    )
