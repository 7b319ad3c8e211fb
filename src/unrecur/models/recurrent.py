"""The recurrent model: a stack of cells under a linear readout."""

from itertools import pairwise

from torch import nn

from unrecur import _check
from unrecur.cells import CELLS
from unrecur.core.compose import Pointwise, Serial
from unrecur.layers.embedding import readout
from unrecur.layers.recurrent import Recurrent


def recurrent(
    cell: str,
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    layers: int = 1,
    dropout: float = 0.0,
) -> Serial:
    """Build a stack of recurrent layers with dropout and a linear readout of the last one.

    Args:
        cell: The name of a cell of `unrecur.cells.CELLS`.
        in_features: The number of input features.
        out_features: The number of scores.
        hidden: The number of units of each layer.
        layers: The number of layers.
        dropout: The probability with which an output of a layer is dropped in training.

    Returns:
        The model.

    Raises:
        InputError: The cell is unknown, or a size or probability is out of range.
    """
    make = CELLS[_check.known_name(cell, CELLS, "cell")]
    _check.positive_integer(layers, "layers")
    widths = [in_features] + [hidden] * layers
    cells = [make(below, above) for below, above in pairwise(widths)]
    return Serial(
        Recurrent(cells, dropout),
        Pointwise(nn.Dropout(dropout), hidden),
        readout(hidden, out_features),
    )
