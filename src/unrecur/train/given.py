"""A loss whose gradient is given, for gradients that are made without one graph."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def with_gradients(
    value: Float[Tensor, ""], tensors: Sequence[Tensor], gradients: Sequence[Tensor]
) -> Float[Tensor, ""]:
    """Give a value whose backward pass hands out known gradients, times its own.

    Args:
        value: The value.
        tensors: What it depends on.
        gradients: Its gradient by each of them.

    Returns:
        The value, with them.

    Example:
        >>> weight = torch.nn.Parameter(torch.zeros(2))
        >>> loss = with_gradients(torch.tensor(3.0), [weight], [torch.tensor([1.0, 2.0])])
        >>> (loss / 2).backward()
        >>> float(loss), weight.grad.tolist()
        (3.0, [0.5, 1.0])
    """
    result: Tensor = _Given.apply(value, list(gradients), *tensors)  # type: ignore[no-untyped-call]
    return result


class _Given(torch.autograd.Function):
    """A value whose gradient is given."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: list[Tensor], *tensors: Tensor) -> Tensor:
        """Give the value."""
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        """Give the gradients, times that of the value."""
        return None, None, *(outer[0] * gradient for gradient in ctx.gradients)
