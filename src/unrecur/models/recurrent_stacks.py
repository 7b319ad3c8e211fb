"""Stacks of recurrent layers for encoders and decoders."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from unrecur.core.cell import AbstractCell
from unrecur.core.compose import Parallel, Pointwise, Residual, Serial
from unrecur.core.model import AbstractSequenceModel
from unrecur.layers.bidirectional import Bidirectional
from unrecur.layers.recurrent import Recurrent

Stack = Literal["forward", "bidirectional", "gnmt"]
Make = Callable[[int, int], AbstractCell]


def memory_features(stack: str, hidden: int) -> int:
    """Count the features of an encoder's outputs.

    Args:
        stack: How its layers stand.
        hidden: The number of units of each layer in each direction.

    Returns:
        The number of features.
    """
    return 2 * hidden if stack == "bidirectional" else hidden


def dropped(features: int, dropout: float) -> Pointwise:
    """Make a dropout.

    Args:
        features: The number of features it is given.
        dropout: The probability with which one is dropped in training.

    Returns:
        The model, without state.
    """
    return Pointwise(nn.Dropout(dropout), features)


def encoder_layers(
    make: Make, stack: Stack, hidden: int, layers: int, dropout: float
) -> list[AbstractSequenceModel]:
    """Make the layers of an encoder.

    A GNMT encoder has one bidirectional layer below forward ones, and residual connections from
    the third layer up (Wu et al. 2016, arXiv 1609.08144, section 3).

    Args:
        make: Makes a cell from its numbers of inputs and units.
        stack: How the layers stand.
        hidden: The number of inputs, and of units of each layer in each direction.
        layers: The number of layers.
        dropout: The probability with which an input of a layer above the first is dropped.

    Returns:
        Models to be run in series.
    """
    if stack == "forward":
        return [Recurrent([make(hidden, hidden) for _ in range(layers)], dropout)]
    if stack == "bidirectional":
        below = [hidden] + [2 * hidden] * (layers - 1)
        pairs = [(make(width, hidden), make(width, hidden)) for width in below]
        return [Bidirectional(pairs, dropout)]
    first = Bidirectional([(make(hidden, hidden), make(hidden, hidden))])
    second = Serial(dropped(2 * hidden, dropout), Recurrent([make(2 * hidden, hidden)]))
    others = [
        Residual(Serial(dropped(hidden, dropout), Recurrent([make(hidden, hidden)])))
        for _ in range(layers - 2)
    ]
    return [first, second, *others]


def context_layers(
    make: Make, hidden: int, context: int, layers: int, dropout: float
) -> list[AbstractSequenceModel]:
    """Make the layers of a GNMT decoder above its first one: each reads [h; c].

    Args:
        make: Makes a cell from its numbers of inputs and units.
        hidden: The number of features of h, and of units of each layer.
        context: The number of features of c.
        layers: The number of layers.
        dropout: The probability with which an input of a layer is dropped.

    Returns:
        Models to be run in series, from [h; c] to the outputs of the last layer; residual
        connections from the second one up, which is the decoder's third.
    """
    both = hidden + context
    stages: list[AbstractSequenceModel] = []
    for layer in range(layers):
        stage: AbstractSequenceModel
        stage = Serial(dropped(both, dropout), Recurrent([make(both, hidden)]))
        if layer:
            stage = Residual(stage, Pointwise(_Part(0, hidden), both, hidden))
        if layer < layers - 1:
            stage = Parallel(stage, Pointwise(_Part(hidden, both), both, context))
        stages.append(stage)
    return stages


class _Part(nn.Module):
    """Take some of the features."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, x: Tensor) -> Tensor:
        return x[..., self.start : self.stop]
