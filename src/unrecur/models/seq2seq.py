"""Sequence to sequence: a recurrent encoder, attention, a recurrent decoder."""

from typing import Any, Literal

from torch import nn

from unrecur import _check
from unrecur.cells import CELLS
from unrecur.core.compose import Serial
from unrecur.layers.alignment import AdditiveAlignment, DotAlignment
from unrecur.layers.embedding import Embedding, readout
from unrecur.layers.recurrent import Recurrent
from unrecur.layers.seq2seq import Seq2Seq
from unrecur.models.bidirectional import cell_parameters
from unrecur.models.recurrent_stacks import (
    Make,
    Stack,
    context_layers,
    dropped,
    encoder_layers,
    memory_features,
)

_STATES = {"gru": 1, "lstm": 2}  # numbers of state for each unit


def seq2seq(
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    layers: int = 1,
    cell: Literal["gru", "lstm"] = "lstm",
    stack: Stack = "bidirectional",
    attention: Literal["additive", "dot"] = "additive",
    input_feeding: bool = True,
    dropout: float = 0.0,
) -> Seq2Seq:
    """Build a recurrent encoder and decoder with attention, from token ids to token scores.

    The stack "gnmt" has one bidirectional layer below forward ones in the encoder, residual
    connections from the third layer up on both sides, and attention from the first decoder layer
    whose context all layers read. In the others the attention stands above all decoder layers.

    Args:
        in_features: The number of tokens of the source.
        out_features: The number of tokens of the target.
        hidden: The length of the embeddings, and the number of units of each layer (in each
            direction).
        layers: The number of layers of the encoder, and of the decoder.
        cell: The recurrence of all layers.
        stack: How the layers stand.
        attention: The scores of the attention.
        input_feeding: Whether the decoder reads what it saw at the step before; where it does
            not, a block runs through the fused kernel.
        dropout: The probability with which an input of a layer is dropped in training.

    Returns:
        The model.

    Raises:
        InputError: A name is unknown, a size or probability is out of range, or a GNMT stack has
            fewer than two layers.

    Example:
        >>> import torch
        >>> model = seq2seq(in_features=10, out_features=12, hidden=8, attention="dot")
        >>> state = model.encode(torch.tensor([[3, 1, 4], [2, 7, 0]]), torch.tensor([3, 2]))
        >>> scores, state = model(torch.tensor([[1, 5, 9, 2], [1, 3, 3, 7]]), state)
        >>> scores.shape
        torch.Size([2, 4, 12])
    """
    _check.known_name(cell, _STATES, "cell")
    _check.known_name(attention, ("additive", "dot"), "attention")
    _check_stack(stack, layers)
    make: Make = CELLS[cell]
    memory = memory_features(stack, hidden)
    plain = stack != "gnmt"
    fed = (hidden if plain else memory) * input_feeding
    front = Serial(Embedding(in_features, hidden), dropped(hidden, dropout))
    below = layers if plain else 1
    cells = [make(hidden + fed, hidden)] + [make(hidden, hidden) for _ in range(below - 1)]
    return Seq2Seq(
        encoder=Serial(front, *encoder_layers(make, stack, hidden, layers, dropout)),
        embedding=Embedding(out_features, hidden),
        lower=Recurrent(cells, dropout),
        alignment=(
            AdditiveAlignment(hidden, memory, hidden)
            if attention == "additive"
            else DotAlignment(hidden, memory)
        ),
        combine=nn.Linear(hidden + memory, hidden, bias=False) if plain else None,
        upper=Serial(
            *([] if plain else context_layers(make, hidden, memory, layers - 1, dropout)),
            dropped(hidden, dropout),
            readout(hidden, out_features),
        ),
        bridge=nn.Linear(memory, below * _STATES[cell] * hidden),
        input_feeding=input_feeding,
    )


def _check_stack(stack: str, layers: int) -> None:
    """Check that there is such a stack of so many layers."""
    _check.known_name(stack, ("forward", "bidirectional", "gnmt"), "stack")
    _check.positive_integer(layers, "layers")
    if stack == "gnmt" and layers < 2:
        raise _check.InputError(
            f"a GNMT stack has at least 2 layers, got {layers}. Take stack='bidirectional'."
        )


def seq2seq_parameters(
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    layers: int = 1,
    cell: str = "lstm",
    stack: str = "bidirectional",
    attention: str = "additive",
    input_feeding: bool = True,
    **_: Any,
) -> int:
    """Count the parameters of `seq2seq`.

    Beside the cells: embeddings (V + E) H, alignment H M and for the additive one H H + H more,
    bridge (M + 1) S for the S numbers of state below the attention, attentional vector (H + M) H
    where it is no GNMT stack, readout (H + 1) E; the memory has M = 2 H features where the encoder
    is bidirectional to the top, else H.

    Args:
        in_features: The number of tokens of the source V.
        out_features: The number of tokens of the target E.
        hidden: The number of units H.
        layers: The number of layers.
        cell: The recurrence of all layers.
        stack: How the layers stand.
        attention: The scores of the attention.
        input_feeding: Whether the decoder reads what it saw at the step before.

    Returns:
        The number of parameters.
    """

    def cells(*widths: int) -> int:
        return sum(cell_parameters(cell, width, hidden) for width in widths)

    plain, memory = stack != "gnmt", memory_features(stack, hidden)
    encoder = {
        "forward": [hidden] * layers,
        "bidirectional": [hidden] * 2 + [2 * hidden] * 2 * (layers - 1),
        "gnmt": [hidden] * 2 + [2 * hidden] + [hidden] * (layers - 2),
    }
    below = layers if plain else 1
    decoder = [hidden + (hidden if plain else memory) * input_feeding] + [hidden] * (below - 1)
    decoder += [hidden + memory] * (layers - below)
    return (
        (in_features + out_features) * hidden
        + cells(*encoder[stack], *decoder)
        + hidden * memory
        + (hidden * hidden + hidden) * (attention == "additive")
        + (memory + 1) * below * _STATES[cell] * hidden
        + (hidden + memory) * hidden * plain
        + (hidden + 1) * out_features
    )
