"""Clipping of gradients: by their global norm, number by number, or unit by unit."""

import math
from collections.abc import Iterable
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrecur import _check

Clipping = Literal["norm", "value", "adaptive"]
LEAST_WEIGHT = 1e-3  # so that units whose weights start at zero can move at all


@torch.no_grad()
def clip_(parameters: Iterable[Tensor], limit: float, kind: Clipping = "norm") -> float:
    """Clip the gradients of parameters, in place.

    With g all gradients, G_i the gradient of unit i and W_i its weights:

    - "norm": g <- g min(1, limit / |g|), which keeps the direction (Pascanu, Mikolov, Bengio 2013,
      arXiv 1211.5063, section 3.2);
    - "value": each number to [-limit, limit];
    - "adaptive": G_i <- G_i min(1, limit max(|W_i|, 1e-3) / |G_i|), so that no step is large beside
      the weights it changes (Brock et al. 2021, arXiv 2102.06171, section 4). A unit is a row: what
      one output of a layer is made of. A vector, such as a bias, is taken as a whole, as in the
      authors' code.

    Gradients that hold NaN or infinite numbers, or whose norm is beyond their type, are left as
    they are: clipped, they would hide where the trouble is (see `train.guard`).

    Args:
        parameters: The parameters; those without a gradient are passed over.
        limit: The largest norm, number or ratio.
        kind: Which of them.

    Returns:
        The global norm before clipping; what comes from the device is this one number.

    Raises:
        InputError: The limit is not above 0, or the kind unknown.

    Example:
        >>> weight = torch.nn.Parameter(torch.zeros(2))
        >>> weight.grad = torch.tensor([3.0, 4.0])
        >>> clip_([weight], 1.0), [round(number, 3) for number in weight.grad.tolist()]
        (5.0, [0.6, 0.8])
    """
    _check.positive(limit, "clip")
    _check.known_name(kind, get_args(Clipping), "clipping")
    given = [parameter for parameter in parameters if parameter.grad is not None]
    gradients = [parameter.grad for parameter in given if parameter.grad is not None]
    total = nn.utils.get_total_norm(gradients)
    norm = float(total)
    if not (given and math.isfinite(norm)):
        return norm
    if kind == "norm":
        nn.utils.clip_grads_with_norm_(given, limit, total)
    elif kind == "value":
        nn.utils.clip_grad_value_(given, limit)
    else:
        for parameter, gradient in zip(given, gradients, strict=True):
            largest = limit * _unit_norms(parameter).clamp(min=LEAST_WEIGHT)
            gradient.mul_((largest / _unit_norms(gradient)).clamp(max=1))  # of no gradient: inf
    return norm


def _unit_norms(tensor: Tensor) -> Float[Tensor, "..."]:
    """Give the norm of each row, whatever is in it; of a vector or number its own."""
    if tensor.dim() < 2:
        return torch.linalg.vector_norm(tensor)
    return torch.linalg.vector_norm(tensor, dim=tuple(range(1, tensor.dim())), keepdim=True)
