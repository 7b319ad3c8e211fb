"""What the rounding of the model's own arithmetic can add to an error.

The proofs are about exact arithmetic; the models run in float32. The difference is bounded in the
usual model of floating point (Higham, Accuracy and Stability of Numerical Algorithms, 2002,
section 3.1): a sum of n products, in any order, errs by at most gamma_n times the sum of their
magnitudes, gamma_n = n u / (1 - n u).
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# Vectorised kernels state 1 to 4 units in the last place for tanh and the logistic function;
# oneDNN's are the least accurate of those torch calls. 32 leaves room.
ACTIVATION_ULPS = 32
ASSUMPTION = (
    "torch's precision switches as they are now, tanh and logistic function accurate to "
    f"{ACTIVATION_ULPS} units of rounding"
)
TF32, BFLOAT16 = 2.0**-11, 2.0**-8  # unit roundoffs
UNITS = {"high": TF32, "tf32": TF32, "medium": BFLOAT16, "bf16": BFLOAT16}


@dataclass(frozen=True)
class Rounding:
    """The rounding of one dtype.

    Attributes:
        unit: The unit roundoff u: half the distance from 1 to the next number.
        least: What an operation can err by where its result is too small to be normal.
        largest: The largest number.
    """

    unit: float
    least: float = 0.0
    largest: float = math.inf

    @property
    def activation(self) -> float:
        """The largest error of a computed tanh or logistic function."""
        return ACTIVATION_ULPS * self.unit

    def gamma(self, terms: int) -> float:
        """Bound the relative error of a sum of products.

        Args:
            terms: How many products are summed.

        Returns:
            gamma_n; infinity where the model of rounding breaks down.
        """
        lost = terms * self.unit
        return lost / (1 - lost) if lost < 1 else float("inf")


def rounding_of(weight: Tensor) -> Rounding:
    """Give the rounding of the products that a weight enters.

    In float32 torch may round the factors to fewer bits: to TF32 on CUDA where cuDNN or cuBLAS is
    allowed to (cuDNN is by default), and to less everywhere by
    `torch.set_float32_matmul_precision` or `torch.backends.mkldnn.rnn.fp32_precision` and the like.

    Args:
        weight: A weight of a floating point type.

    Returns:
        Its rounding.
    """
    info = torch.finfo(weight.dtype)
    unit = info.eps / 2
    if weight.dtype is torch.float32:
        unit = max(unit, *(UNITS.get(switch, 0.0) for switch in _switches(weight.is_cuda)))
    return Rounding(unit, info.tiny, info.max)


def _switches(cuda: bool) -> list[str]:
    """Give the settings of all precision switches that the products of a recurrence obey."""
    backends = torch.backends
    owners: list[Any] = [backends, backends.mkldnn, *_parts(backends.mkldnn)]
    if cuda:
        owners += [backends.cudnn, *_parts(backends.cudnn), *_parts(backends.cuda)]
    found = [getattr(owner, "fp32_precision", "none") for owner in owners]
    with suppress(RuntimeError):  # torch refuses to say where the switches above are used as well
        found.append(torch.get_float32_matmul_precision())
        if cuda and (backends.cudnn.allow_tf32 or backends.cuda.matmul.allow_tf32):
            found.append("tf32")
    return found


def _parts(backend: Any) -> list[Any]:
    """Give what of a backend has a switch of its own, in the versions of torch that have them."""
    return [getattr(backend, name, None) for name in ("matmul", "rnn")]
