"""The recurrent model: a stack of cells under a linear readout."""

from collections.abc import Callable
from typing import Any

from torch import nn

from unrecur import _check
from unrecur.cells import CELLS
from unrecur.core.compose import Pointwise, Serial
from unrecur.core.model import AbstractSequenceModel
from unrecur.layers.embedding import Embedding, readout
from unrecur.layers.initialize import INITIALIZATIONS
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
    initialization: str = "default",
    initialization_options: dict[str, Any] | None = None,
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
        initialization: How the cells start, a name of `layers.initialize.INITIALIZATIONS`.
        initialization_options: What it takes besides, such as {"longest": 100} for "chrono".
        **cell_options: What else the cell takes, such as an Elman cell's `activation` or the
            `projection` of a projected LSTM.

    Returns:
        The model.

    Raises:
        InputError: The cell or the initialisation is unknown or does not fit, or a size or
            probability is out of range.
    """
    make = CELLS[_check.known_name(cell, CELLS, "cell")]
    _check.positive_integer(layers, "layers")
    front = [Embedding(in_features, hidden)] if tokens else []
    below, cells = hidden if tokens else in_features, []
    for _ in range(layers):
        cells.append(make(below, hidden, **cell_options))
        below = cells[-1].hidden_size
    layer = Recurrent(cells, dropout)
    return finished([*front, layer], out_features, dropout, initialization, initialization_options)


def finished(
    parts: list[AbstractSequenceModel],
    out_features: int,
    dropout: float,
    initialization: str,
    initialization_options: dict[str, Any] | None,
) -> Serial:
    """Put dropout and a linear readout behind recurrent layers, and let their cells start.

    Args:
        parts: The layers, and what is before them.
        out_features: The number of scores.
        dropout: The probability with which an output of the last layer is dropped in training.
        initialization: How the cells start, a name of `layers.initialize.INITIALIZATIONS`.
        initialization_options: What it takes besides.

    Returns:
        The model.

    Raises:
        InputError: The initialisation is unknown or does not fit, or a size is out of range.
    """
    start = INITIALIZATIONS[_check.known_name(initialization, INITIALIZATIONS, "initialization")]
    shown = parts[-1].out_features
    model = Serial(*parts, Pointwise(nn.Dropout(dropout), shown), readout(shown, out_features))
    start(model, **(initialization_options or {}))
    return model


def _torch(gates: int) -> Callable[..., int]:
    """Count torch's gates: W, W' and two biases each."""
    return lambda d, h, bias=True, **_: gates * h * (d + h + 2 * bias)


def _by_input(gates: int) -> Callable[..., int]:
    """Count gates that read the input alone: one W and one bias each."""
    return lambda d, h, bias=True, **_: gates * h * (d + bias)


def _projected(d: int, h: int, projection: int, bias: bool = True) -> int:
    """Count an LSTM's gates on P outputs, and the projection to them."""
    return 4 * h * (d + projection + 2 * bias) + projection * h


# Parameters of a cell with D inputs and H units, from the cell's own options. An LRU has three
# vectors, B and C; a diagonal SSM the step, W, and A and C of N modes, a channel.
_CELL_PARAMETERS: dict[str, Callable[..., int]] = {
    "elman": _torch(1),
    "gru": _torch(3),
    "reset_first_gru": _torch(3),
    "lstm": _torch(4),
    "peephole_lstm": lambda d, h, **options: _torch(4)(d, h, **options) + 3 * h,
    "projected_lstm": _projected,
    "mgu": _torch(2),
    "min_gru": _by_input(2),
    "min_lstm": _by_input(3),
    "qrnn": _by_input(3),
    "lru": lambda d, h, **_: 3 * h + 2 * h * d + 2 * h * h,
    "diagonal_ssm": lambda d, h, modes=16, **_: h * (1 + d + 4 * modes),
}


def recurrent_parameters(
    cell: str,
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    layers: int = 1,
    dropout: float = 0.0,
    tokens: bool = False,
    initialization: str = "default",
    initialization_options: dict[str, Any] | None = None,
    **cell_options: Any,
) -> int:
    """Count the parameters of `recurrent`: those of each cell, and (P + 1) E of the readout.

    Args:
        cell: The name of a cell.
        in_features: The number of input features.
        out_features: The number of scores E.
        hidden: The number of units H of each layer.
        layers: The number of layers.
        dropout: Of no account.
        tokens: Whether there is an embedding, of in_features H.
        initialization: Of no account.
        initialization_options: Of no account.
        **cell_options: What else the cell takes; with a `projection` a layer shows P numbers, and
            else P = H.

    Returns:
        The number of parameters.
    """
    count = _CELL_PARAMETERS[cell]
    below, shown = hidden if tokens else in_features, cell_options.get("projection", hidden)
    stack = count(below, hidden, **cell_options)
    stack += (layers - 1) * count(shown, hidden, **cell_options)
    return in_features * hidden * tokens + stack + (shown + 1) * out_features
