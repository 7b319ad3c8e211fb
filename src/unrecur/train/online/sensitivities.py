"""Jacobians of one step, row by row."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap


def by_parameters(
    module: nn.Module, parameters: Mapping[str, nn.Parameter], *inputs: Tensor
) -> dict[str, Tensor]:
    """Differentiate a module's outputs by its parameters.

    Args:
        module: Maps rows of inputs to N numbers each.
        parameters: Which of its parameters, by name.
        inputs: Its inputs, batch first.

    Returns:
        By name, [batch, N, ...] with the parameter's own dimensions last.
    """
    values = {name: value.detach() for name, value in parameters.items()}
    if not values:
        return {}

    def outputs(given: dict[str, Tensor], *row: Tensor) -> Tensor:
        return functional_call(module, given, row)

    rows = vmap(jacrev(outputs), in_dims=(None, *(0 for _ in inputs)))
    found: dict[str, Tensor] = rows(values, *inputs)
    return found


def by_input(module: nn.Module, number: int, *inputs: Tensor) -> Float[Tensor, "B N I"]:
    """Differentiate a module's outputs by one of its inputs.

    Args:
        module: Maps rows of inputs to N numbers each.
        number: Which input, from 0.
        inputs: Its inputs, batch first.

    Returns:
        The Jacobian of each row.
    """
    jacobians: Tensor = vmap(jacrev(module, argnums=number))(*inputs)
    return jacobians
