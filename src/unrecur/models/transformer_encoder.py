"""The transformer as an encoder: every output sees the whole sequence."""

import math
from typing import Any, Literal, get_args

from jaxtyping import Float, Integer, Shaped
from torch import Tensor

from unrecur import _check
from unrecur.core.compose import Pointwise
from unrecur.core.field import Field
from unrecur.core.model import AbstractBlockModel
from unrecur.core.state import State
from unrecur.layers.attention import FullAttention
from unrecur.layers.embedding import Embedding, readout
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
) -> "TransformerEncoder":
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
    return TransformerEncoder(front, stack, readout(hidden, out_features))


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


class TransformerEncoder(AbstractBlockModel):
    """Vectors of the inputs, a stack of blocks that look both ways, and scores.

    Args:
        front: Makes a vector of each input.
        stack: The blocks.
        head: Makes scores of the vectors.
    """

    def __init__(
        self, front: Embedding | Pointwise, stack: TransformerStack, head: Pointwise
    ) -> None:
        super().__init__()
        self.front, self.stack, self.head = front, stack, head
        self.in_features, self.out_features = front.in_features, head.out_features
        self.takes_tokens = front.takes_tokens

    @property
    def receptive_field(self) -> Field:
        """Everything."""
        return Field(past=math.inf, future=math.inf)

    def forward(
        self,
        x: Shaped[Tensor, "B T ..."],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        y, _ = self.stack(self.front(x, None, lengths)[0], None, lengths)
        return self.head.module(y), ()
