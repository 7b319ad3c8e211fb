"""The temporal convolutional network."""

import torch
from torch import nn

from unrecur import _check
from unrecur.core.compose import Pointwise, Residual, Serial
from unrecur.layers.convolution import CausalConvolution
from unrecur.layers.embedding import readout


def tcn(
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    levels: int,
    kernel_size: int = 2,
    dropout: float = 0.0,
) -> Serial:
    """Build the TCN of Bai, Kolter, Koltun (2018, arXiv 1803.01271, section 3).

    Residual blocks of two weight-normalised causal convolutions each, dilation 2^i at level i,
    and a linear readout. Receptive field: 1 + 2 (kernel_size - 1) (2^levels - 1) inputs.

    Args:
        in_features: The number of input features.
        out_features: The number of scores.
        hidden: The number of channels.
        levels: The number of residual blocks.
        kernel_size: The number of taps of each convolution.
        dropout: The probability with which a value is dropped after each convolution in training.

    Returns:
        The model.

    Raises:
        InputError: A size or the probability is out of range.

    Example:
        >>> tcn(in_features=3, out_features=2, hidden=8, levels=3, kernel_size=3).receptive_field
        Field(past=28, future=0)
    """
    _check.positive_integer(levels, "levels")
    _check.fraction(dropout, "dropout")
    widths = [in_features] + [hidden] * levels
    blocks = [
        _block(below, hidden, kernel_size, 2**level, dropout)
        for level, below in enumerate(widths[:-1])
    ]
    return Serial(*blocks, readout(hidden, out_features))


def _block(
    in_features: int, hidden: int, kernel_size: int, dilation: int, dropout: float
) -> Serial:
    """Two convolutions around a shortcut, then a rectifier."""

    def half(below: int) -> list[CausalConvolution | Pointwise]:
        convolution = CausalConvolution(below, hidden, kernel_size, dilation, normalize=True)
        active = Pointwise(nn.Sequential(nn.ReLU(), nn.Dropout(dropout)), hidden)
        return [convolution, active]

    branch = Serial(*half(in_features), *half(hidden))
    shortcut = None if in_features == hidden else readout(in_features, hidden)
    _draw_small(branch, shortcut)
    return Serial(Residual(branch, shortcut), Pointwise(nn.ReLU(), hidden))


def _draw_small(branch: Serial, shortcut: Pointwise | None) -> None:
    """Draw the weights from N(0, 0.01), as the paper's code does; biases stay torch's."""
    for model in branch.models:
        if isinstance(model, CausalConvolution):
            weight = model.convolution.weight
            model.convolution.weight = torch.nn.init.normal_(torch.empty_like(weight), std=0.01)
    if shortcut is not None:
        nn.init.normal_(shortcut.module.get_parameter("weight"), std=0.01)
