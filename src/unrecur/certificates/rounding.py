"""What the rounding of the model's own arithmetic can add to an error.

The proofs are about exact arithmetic; the models run in float32. The difference is bounded in the
usual model of floating point (Higham, Accuracy and Stability of Numerical Algorithms, 2002,
section 3.1): a sum of n products, in any order, errs by at most gamma_n times the sum of their
magnitudes, gamma_n = n u / (1 - n u).
"""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Rounding:
    """The rounding of one dtype.

    Attributes:
        unit: The unit roundoff u: half the distance from 1 to the next number.
    """

    unit: float

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
    `torch.set_float32_matmul_precision`.

    Args:
        weight: A weight of a floating point type.

    Returns:
        Its rounding.
    """
    unit = torch.finfo(weight.dtype).eps / 2
    if weight.dtype is torch.float32:
        switch = torch.get_float32_matmul_precision()
        unit = {"highest": unit, "high": TF32, "medium": BFLOAT16}[switch]
        cuda = torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32
        if weight.is_cuda and cuda:
            unit = max(unit, TF32)
    return Rounding(unit)
