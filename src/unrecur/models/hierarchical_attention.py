"""The hierarchical attention encoder."""

from typing import Any

from unrecur import _check
from unrecur.core.compose import Serial
from unrecur.layers.embedding import readout
from unrecur.layers.hierarchical_attention import HierarchicalAttention
from unrecur.layers.transformer_block import TransformerBlock, feed_forward
from unrecur.layers.transformer_stack import TransformerStack
from unrecur.models.transformer import transformer_parameters, vectors


def hierarchical_attention(
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    heads: int,
    layers: int = 1,
    group: int = 100,
    inner: int | None = None,
    activation: str = "gelu",
    dropout: float = 0.0,
    tokens: bool = False,
) -> Serial:
    """Build an encoder whose blocks attend through a tree of summaries of `group` vectors each.

    `HierarchicalAttention` says what is computed. The path between any two of N steps is of the
    order of log N, the cost linear in N. The tree after Culurciello, The fall of RNN / LSTM, 2018;
    the blocks are those of a transformer with the normalisation before each sublayer.

    Args:
        in_features: The number of input features.
        out_features: The number of scores.
        hidden: The width; the heads divide it.
        heads: The number of heads of each attention.
        layers: The number of blocks, each with a tree of its own.
        group: The number of vectors that are summarised by one.
        inner: The inner width of the map of each step; 4 hidden where left out.
        activation: "relu", "gelu" or "gelu_tanh".
        dropout: The probability with which a weight of an attention, an output of a sublayer, or an
            input of the first block is dropped in training.
        tokens: Whether the inputs are token ids below in_features, looked up in a table.

    Returns:
        The model.

    Raises:
        InputError: A size, the activation or the probability is out of range, or the heads do not
            divide the width.

    Example:
        >>> import torch
        >>> model = hierarchical_attention(
        ...     in_features=3, out_features=2, hidden=8, heads=2, group=10
        ... )
        >>> model(torch.randn(4, 250, 3))[0].shape
        torch.Size([4, 250, 2])
    """
    _check.positive_integer(layers, "layers")
    blocks = [
        TransformerBlock(
            HierarchicalAttention(hidden, heads, group, dropout),
            feed_forward(hidden, 4 * hidden if inner is None else inner, activation),
            dropout=dropout,
        )
        for _ in range(layers)
    ]
    stack = TransformerStack(blocks, None, dropout)
    front = vectors(in_features, hidden, tokens)
    return Serial(front, stack, readout(hidden, out_features))


def hierarchical_attention_parameters(
    *, hidden: int, layers: int = 1, group: int = 100, **options: Any
) -> int:
    """Count the parameters of `hierarchical_attention`.

    Those of a transformer without positions, and in each block a second attention of 4 H^2 + 4 H, a
    query H and G H for the places in a group.

    Args:
        hidden: The width H.
        layers: The number of blocks.
        group: The size G of a group.
        **options: The other options.

    Returns:
        The number of parameters.
    """
    plain = transformer_parameters(
        hidden=hidden, layers=layers, context=1, positions="none", **options
    )
    return plain + layers * (4 * hidden * hidden + 4 * hidden + hidden + group * hidden)
