"""The temporal convolutional network."""

from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional

from unrecur import _check
from unrecur.core.arithmetic import AbstractArithmetic, InTurn, arithmetic
from unrecur.core.compose import Serial
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, zero_padding
from unrecur.layers.convolution import CausalConvolution
from unrecur.layers.embedding import Embedding, readout


def tcn(
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    levels: int,
    kernel_size: int = 2,
    dropout: float = 0.0,
    tokens: bool = False,
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
        tokens: Whether the inputs are token ids below in_features, looked up in a table.

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
    front = [Embedding(in_features, hidden)] if tokens else []
    widths = [hidden if tokens else in_features] + [hidden] * levels
    blocks = [
        ResidualBlock(below, hidden, kernel_size, 2**level, dropout)
        for level, below in enumerate(widths[:-1])
    ]
    return Serial(*front, *blocks, readout(hidden, out_features))


def tcn_parameters(
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    levels: int,
    kernel_size: int = 2,
    tokens: bool = False,
    **_: Any,
) -> int:
    """Count the parameters of `tcn`.

    A weight-normalised convolution from D to H has K D H + 2 H; the first block has a shortcut of
    (D + 1) H where D != H; the readout (H + 1) E; an embedding D H.

    Args:
        in_features: The number of input features D.
        out_features: The number of scores E.
        hidden: The number of channels H.
        levels: The number of residual blocks.
        kernel_size: The number of taps K.
        tokens: Whether there is an embedding.

    Returns:
        The number of parameters.
    """
    below = hidden if tokens else in_features
    first = kernel_size * below * hidden + 2 * hidden
    others = (2 * levels - 1) * (kernel_size * hidden * hidden + 2 * hidden)
    shortcut = 0 if below == hidden else (below + 1) * hidden
    embedding = in_features * hidden if tokens else 0
    return embedding + first + others + shortcut + (hidden + 1) * out_features


class ResidualBlock(AbstractSequenceModel):
    """relu(x + dropout(relu(C_2 dropout(relu(C_1 x))))), C_1 and C_2 causal convolutions.

    The shortcut is a linear map where the widths differ. Both convolutions are weight-normalised,
    with weights drawn from N(0, 0.01) as in the paper's code; biases are drawn as torch's.

    Args:
        in_features: The number of input features.
        hidden: The number of channels.
        kernel_size: The number of taps of each convolution.
        dilation: The distance between taps, in steps.
        dropout: The probability with which a value is dropped in training.
    """

    def __init__(
        self, in_features: int, hidden: int, kernel_size: int, dilation: int, dropout: float
    ) -> None:
        super().__init__()
        self.in_features, self.out_features, self.dropout = in_features, hidden, dropout
        self.first = CausalConvolution(in_features, hidden, kernel_size, dilation, normalize=True)
        self.second = CausalConvolution(hidden, hidden, kernel_size, dilation, normalize=True)
        self.shortcut = None if in_features == hidden else nn.Linear(in_features, hidden)
        for convolution in (self.first, self.second):
            convolution.set_weight(nn.init.normal_(torch.empty_like(convolution.weight), std=0.01))
        if self.shortcut is not None:
            nn.init.normal_(self.shortcut.weight, std=0.01)

    @property
    def receptive_field(self) -> Field:
        """Those of the two convolutions, one after the other."""
        return arithmetic(self).field

    def init_state(self, batch: int) -> State:
        """Make the states of the two convolutions."""
        return self.first.init_state(batch), self.second.init_state(batch)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        x = zero_padding(x, lengths)
        first, second = self.init_state(x.shape[0]) if state is None else state
        y, first = self.first(x, first, lengths)
        y, second = self.second(self._active(y), second, lengths)
        return self._joined(x, y), (first, second)

    def step(
        self, x_t: Float[Tensor, "B D"], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        first, second = self.init_state(x_t.shape[0]) if state is None else state
        y, first = self.first.step(x_t, first)
        y, second = self.second.step(self._active(y), second)
        return self._joined(x_t, y), (first, second)

    def _active(self, y: Tensor) -> Tensor:
        """Rectify, and drop in training."""
        y = torch.relu(y)
        return functional.dropout(y, self.dropout) if self.training and self.dropout else y

    def _joined(self, x: Tensor, y: Tensor) -> Tensor:
        """Add the shortcut."""
        skipped = x if self.shortcut is None else self.shortcut(x)
        return torch.relu(skipped + self._active(y))


@arithmetic.register
def _(block: ResidualBlock) -> AbstractArithmetic:
    # The shortcut sees the present input, as the convolutions do.
    return InTurn((arithmetic(block.first), arithmetic(block.second)))
