"""The transformer as an encoder: every output sees the whole sequence."""

from typing import Any, Literal, get_args

from unrecur import _check
from unrecur.core.compose import Serial
from unrecur.layers.attention import FullAttention
from unrecur.layers.embedding import readout
from unrecur.layers.positions import Positions
from unrecur.layers.transformer_block import Norm, TransformerBlock, feed_forward
from unrecur.layers.transformer_stack import TransformerStack
from unrecur.models.transformer import transformer_parameters, vectors

PositionKind = Literal["learned", "sinusoidal", "none"]


def transformer_encoder(
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    layers: int,
    heads: int,
    context: int = 512,
    inner: int | None = None,
    positions: PositionKind = "sinusoidal",
    norm: Norm = "post",
    activation: str = "relu",
    dropout: float = 0.0,
    tokens: bool = False,
) -> Serial:
    """Build the encoder of Vaswani et al. (Attention Is All You Need, 2017), and a linear readout.

    Args:
        in_features: The number of input features.
        out_features: The number of scores.
        hidden: The width; the heads divide it.
        layers: The number of blocks.
        heads: The number of heads of each attention.
        context: The length of the table of learned positions, and so of the longest sequence; of no
            meaning for other positions.
        inner: The inner width of the map of each step; 4 hidden where left out.
        positions: "sinusoidal", "learned" or "none".
        norm: "post", or "pre" with a last normalisation.
        activation: "relu", "gelu" or "gelu_tanh".
        dropout: The probability with which a weight of an attention, an output of a sublayer, or an
            input of the first block is dropped in training.
        tokens: Whether the inputs are token ids below in_features, looked up in a table.

    Returns:
        The model.

    Raises:
        InputError: A size, a name or the probability is out of range, or the heads do not divide
            the width.

    Example:
        >>> import torch
        >>> model = transformer_encoder(
        ...     in_features=3, out_features=2, hidden=8, layers=2, heads=2
        ... )
        >>> model(torch.randn(4, 10, 3))[0].shape
        torch.Size([4, 10, 2])
    """
    _check.positive_integer(layers, "layers")
    _check.positive_integer(context, "context")
    _check.known_name(positions, get_args(PositionKind), "kind of positions")
    blocks = [
        TransformerBlock(
            FullAttention(hidden, heads, dropout),
            feed_forward(hidden, 4 * hidden if inner is None else inner, activation),
            norm=norm,
            dropout=dropout,
        )
        for _ in range(layers)
    ]
    places = None if positions == "none" else Positions(hidden, positions, context)
    stack = TransformerStack(blocks, places, dropout)
    front = vectors(in_features, hidden, tokens)
    return Serial(front, stack, readout(hidden, out_features))


def transformer_encoder_parameters(
    *, context: int = 512, positions: str = "sinusoidal", norm: str = "post", **options: Any
) -> int:
    """Count the parameters of `transformer_encoder`: those of the causal model of the same options.

    Args:
        context: The length of the table of learned positions.
        positions: The kind of positions.
        norm: Where the normalisation stands.
        **options: The other options.

    Returns:
        The number of parameters.
    """
    return transformer_parameters(context=context, positions=positions, norm=norm, **options)
