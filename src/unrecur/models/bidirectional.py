"""The bidirectional recurrent model: for whole sequences, as in tagging or encoding."""

from typing import Any

from unrecur import _check
from unrecur.cells import CELLS
from unrecur.core.compose import Serial
from unrecur.layers.bidirectional import Bidirectional
from unrecur.layers.embedding import Embedding
from unrecur.models.recurrent import finished, recurrent_parameters


def bidirectional(
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
    """Build a stack of bidirectional layers with dropout and a linear readout of the last one.

    Args:
        cell: The name of a cell of `unrecur.cells.CELLS`.
        in_features: The number of input features.
        out_features: The number of scores.
        hidden: The number of units of each layer in each direction.
        layers: The number of layers.
        dropout: The probability with which an output of a layer is dropped in training.
        tokens: Whether the inputs are token ids below in_features, looked up in a table.
        initialization: How the cells start, a name of `layers.initialize.INITIALIZATIONS`.
        initialization_options: What it takes besides, such as {"longest": 100} for "chrono".
        **cell_options: What else the cell takes, such as an Elman cell's `activation` or the
            `projection` of a projected LSTM.

    Returns:
        The model; it has the block form alone.

    Raises:
        InputError: The cell or the initialisation is unknown or does not fit, or a size or
            probability is out of range.

    Example:
        >>> bidirectional("gru", in_features=3, out_features=2, hidden=4).receptive_field
        Field(past=inf, future=inf)
    """
    make = CELLS[_check.known_name(cell, CELLS, "cell")]
    _check.positive_integer(layers, "layers")
    front = [Embedding(in_features, hidden)] if tokens else []
    below, cells = hidden if tokens else in_features, []
    for _ in range(layers):
        cells.append((make(below, hidden, **cell_options), make(below, hidden, **cell_options)))
        below = 2 * cells[-1][0].hidden_size
    layer = Bidirectional(cells, dropout)
    return finished([*front, layer], out_features, dropout, initialization, initialization_options)


def bidirectional_parameters(
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
    """Count the parameters of `bidirectional`: two cells a layer, and (2 P + 1) E of the readout.

    Args:
        cell: The name of a cell.
        in_features: The number of input features.
        out_features: The number of scores E.
        hidden: The number of units H of each layer in each direction.
        layers: The number of layers.
        dropout: Of no account.
        tokens: Whether there is an embedding, of in_features H.
        initialization: Of no account.
        initialization_options: Of no account.
        **cell_options: What else the cell takes; with a `projection` it shows P numbers, and else
            P = H.

    Returns:
        The number of parameters.
    """
    shown = 2 * cell_options.get("projection", hidden)
    pairs = cell_parameters(cell, hidden if tokens else in_features, hidden, **cell_options)
    pairs += (layers - 1) * cell_parameters(cell, shown, hidden, **cell_options)
    return in_features * hidden * tokens + 2 * pairs + (shown + 1) * out_features


def cell_parameters(cell: str, in_features: int, hidden: int, **cell_options: Any) -> int:
    """Count the parameters of one cell: those of a recurrent model without scores.

    Args:
        cell: The name of a cell.
        in_features: The number of input features.
        hidden: The number of units.
        **cell_options: What else the cell takes.

    Returns:
        The number of parameters.
    """
    return recurrent_parameters(
        cell, in_features=in_features, out_features=0, hidden=hidden, **cell_options
    )
