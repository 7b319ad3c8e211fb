"""The recurrent model: a stack of cells under a linear readout."""

from itertools import pairwise
from typing import Any

from torch import nn

from unrecur import _check
from unrecur.cells import CELLS
from unrecur.core.compose import Pointwise, Serial
from unrecur.layers.embedding import Embedding, readout
from unrecur.layers.recurrent import Recurrent


def recurrent(
    cell: str,
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    layers: int = 1,
    dropout: float = 0.0,
    tokens: bool = False,
    **cell_options: Any,
) -> Serial:
    """Build a stack of recurrent layers with dropout and a linear readout of the last one.

    Args:
        cell: The name of a cell of `unrecur.cells.CELLS`.
        in_features: The number of input features.
        out_features: The number of scores.
        hidden: The number of units of each layer.
        layers: The number of layers.
        dropout: The probability with which an output of a layer is dropped in training.
        tokens: Whether the inputs are token ids below in_features, looked up in a table.
        **cell_options: What else the cell takes, such as an Elman cell's `activation`.

    Returns:
        The model.

    Raises:
        InputError: The cell is unknown, or a size or probability is out of range.
    """
    make = CELLS[_check.known_name(cell, CELLS, "cell")]
    _check.positive_integer(layers, "layers")
    front = [Embedding(in_features, hidden)] if tokens else []
    widths = [hidden if tokens else in_features] + [hidden] * layers
    cells = [make(below, above, **cell_options) for below, above in pairwise(widths)]
    return Serial(
        *front,
        Recurrent(cells, dropout),
        Pointwise(nn.Dropout(dropout), hidden),
        readout(hidden, out_features),
    )


# Parameters of a cell with D inputs and H units: torch's gates have W, W' and two biases each; the
# gates of minGRU, minLSTM and QRNN one W and one bias; an LRU has three vectors, B and C.
_CELL_PARAMETERS = {
    "elman": lambda d, h: h * (d + h + 2),
    "gru": lambda d, h: 3 * h * (d + h + 2),
    "lstm": lambda d, h: 4 * h * (d + h + 2),
    "mgu": lambda d, h: 2 * h * (d + h + 2),
    "min_gru": lambda d, h: 2 * h * (d + 1),
    "min_lstm": lambda d, h: 3 * h * (d + 1),
    "qrnn": lambda d, h: 3 * h * (d + 1),
    "lru": lambda d, h: 3 * h + 2 * h * d + 2 * h * h,
}


def recurrent_parameters(
    cell: str,
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    layers: int = 1,
    tokens: bool = False,
    **_: Any,
) -> int:
    """Count the parameters of `recurrent`: those of each cell, and (H + 1) E of the readout.

    Args:
        cell: The name of a cell.
        in_features: The number of input features.
        out_features: The number of scores E.
        hidden: The number of units H of each layer.
        layers: The number of layers.
        tokens: Whether there is an embedding, of in_features H.

    Returns:
        The number of parameters.
    """
    count = _CELL_PARAMETERS[cell]
    below = hidden if tokens else in_features
    stack = count(below, hidden) + (layers - 1) * count(hidden, hidden)
    return in_features * hidden * tokens + stack + (hidden + 1) * out_features
