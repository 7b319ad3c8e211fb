"""The gated linear unit."""

import torch
from torch import nn

from unrecur.core.compose import Pointwise, Serial
from unrecur.layers.convolution import CausalConvolution


def gated_linear_unit(in_features: int, out_features: int, kernel_size: int) -> Serial:
    """Make a gated linear unit: y = (W * x + b) sigmoid(V * x + c), * a causal convolution.

    W and V are the halves of one weight-normalised convolution, drawn as He et al. (2015) do
    (Dauphin et al. 2016, arXiv 1612.08083, section 2).

    Args:
        in_features: The number of input features.
        out_features: The number of output features.
        kernel_size: The number of taps.

    Returns:
        The model.

    Raises:
        InputError: A size is below 1.

    Example:
        >>> gated_linear_unit(3, 5, kernel_size=4).receptive_field
        Field(past=3, future=0)
    """
    convolution = CausalConvolution(in_features, 2 * out_features, kernel_size, normalize=True)
    drawn = nn.init.kaiming_normal_(torch.empty_like(convolution.weight))
    convolution.set_weight(drawn)
    return Serial(convolution, Pointwise(nn.GLU(), 2 * out_features, out_features))
