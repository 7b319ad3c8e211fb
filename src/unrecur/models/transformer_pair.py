"""The transformer as encoder and decoder: from one sequence of tokens to another."""

import math
from typing import Any, Literal, get_args

from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional

from unrecur import _check
from unrecur.core.compose import Pointwise
from unrecur.core.field import Field
from unrecur.core.model import AbstractConditionalModel
from unrecur.core.state import State
from unrecur.layers.attention import CausalAttention, FullAttention
from unrecur.layers.cross_attention import CrossAttention
from unrecur.layers.embedding import Embedding, readout
from unrecur.layers.positions import Positions
from unrecur.layers.transformer_block import Norm, TransformerBlock, feed_forward
from unrecur.layers.transformer_stack import TransformerStack
from unrecur.models.transformer import block_parameters

PositionKind = Literal["learned", "sinusoidal"]


def transformer_pair(
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    layers: int,
    heads: int,
    context: int,
    inner: int | None = None,
    positions: PositionKind = "sinusoidal",
    norm: Norm = "post",
    activation: str = "relu",
    shared: bool = False,
    dropout: float = 0.0,
) -> "TransformerPair":
    """Build the encoder-decoder of Vaswani et al. (Attention Is All You Need, 2017).

    Token vectors are multiplied by sqrt(hidden) before the positions are added, and their tables
    start from N(0, 1 / hidden). The decoder looks `context` steps back in each layer, and at the
    whole source. The paper's base model has hidden=512, layers=6, heads=8, inner=2048, shared=True
    and vocabularies of about 37,000 tokens.

    Args:
        in_features: The number of tokens of the source.
        out_features: The number of tokens of the target.
        hidden: The width; the heads divide it.
        layers: The number of blocks of the encoder, and of the decoder.
        heads: The number of heads of each attention.
        context: The number of steps that a layer of the decoder sees, the present one included;
            with learned positions, the length of both tables.
        inner: The inner width of the map of each step; 4 hidden where left out.
        positions: "sinusoidal" or "learned".
        norm: "post", or "pre" with a last normalisation of encoder and decoder.
        activation: "relu", "gelu" or "gelu_tanh".
        shared: Whether one table serves the source, the target and, without a bias, the scores.
        dropout: The probability with which a weight of an attention, an output of a sublayer, or an
            input of a first block is dropped in training.

    Returns:
        The model.

    Raises:
        InputError: A size, a name or the probability is out of range, the heads do not divide the
            width, or a table of different vocabularies is shared.

    Example:
        >>> import torch
        >>> model = transformer_pair(
        ...     in_features=11, out_features=7, hidden=8, layers=2, heads=2, context=16
        ... )
        >>> state = model.encode(torch.tensor([[3, 1, 10], [2, 5, 0]]), torch.tensor([3, 2]))
        >>> model(torch.tensor([[1, 4], [1, 6]]), state)[0].shape
        torch.Size([2, 2, 7])
    """
    _check.positive_integer(layers, "layers")
    _check.positive_integer(context, "context")
    _check.known_name(positions, get_args(PositionKind), "kind of positions")
    if shared and in_features != out_features:
        raise _check.InputError(
            "a shared table needs one vocabulary for source and target, got "
            f"{in_features} and {out_features} tokens."
        )

    def stack(decoder: bool) -> TransformerStack:
        """Make the encoder's blocks, or the decoder's."""
        blocks = [
            TransformerBlock(
                CausalAttention(hidden, heads, context, dropout=dropout)
                if decoder
                else FullAttention(hidden, heads, dropout),
                feed_forward(hidden, 4 * hidden if inner is None else inner, activation),
                CrossAttention(hidden, heads, dropout) if decoder else None,
                norm,
                dropout,
            )
            for _ in range(layers)
        ]
        return TransformerStack(blocks, Positions(hidden, positions, context), dropout)

    return TransformerPair(
        None if shared else Embedding(in_features, hidden),
        Embedding(out_features, hidden),
        stack(decoder=False),
        stack(decoder=True),
        None if shared else readout(hidden, out_features),
    )


def transformer_pair_parameters(
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    layers: int,
    context: int,
    inner: int | None = None,
    positions: str = "sinusoidal",
    norm: str = "post",
    shared: bool = False,
    **_: Any,
) -> int:
    """Count the parameters of `transformer_pair`.

    One table of V H where it is shared, else one of the source, one of the target, and a readout of
    (H + 1) E; the blocks, those of the decoder with two attentions; two tables of learned positions
    of C H; in "pre" form two last normalisations of 2 H. The base model with 37,000 tokens has
    63,082,496 (the paper says 65 million, and does not say how many tokens exactly).

    Args:
        in_features: The number of tokens of the source.
        out_features: The number of tokens of the target E.
        hidden: The width H.
        layers: The number of blocks of each side.
        context: The length C of a table of learned positions.
        inner: The inner width; 4 H where left out.
        positions: The kind of positions.
        norm: Where the normalisation stands.
        shared: Whether there is one table.

    Returns:
        The number of parameters.
    """
    tables = out_features * hidden
    if not shared:
        tables += in_features * hidden + (hidden + 1) * out_features
    blocks = block_parameters(hidden, inner) + block_parameters(hidden, inner, attentions=2)
    sides = context * hidden * (positions == "learned") + 2 * hidden * (norm == "pre")
    return tables + layers * blocks + 2 * sides


class TransformerPair(AbstractConditionalModel):
    """Tables of tokens, an encoder, a decoder that looks at what the encoder gives, and scores.

    The state holds the decoder's caches and, for each of its blocks, the keys and values of the
    memory, made once.

    Args:
        source: The table of the source; None where the target's serves.
        target: The table of the decoder's tokens.
        encoder: A stack that looks both ways.
        decoder: A causal stack with cross-attention.
        head: Makes scores of the decoder's vectors; None where the target's table does.
    """

    takes_tokens = True

    def __init__(
        self,
        source: Embedding | None,
        target: Embedding,
        encoder: TransformerStack,
        decoder: TransformerStack,
        head: Pointwise | None,
    ) -> None:
        super().__init__()
        self.source, self.target, self.head = source, target, head
        self.encoder, self.decoder = encoder, decoder
        self.in_features = self.out_features = target.in_features
        self.scale = math.sqrt(target.out_features)
        for embedding in filter(None, (source, target)):
            nn.init.normal_(embedding.table.weight, std=1 / self.scale)

    @property
    def receptive_field(self) -> Field:
        """That of the decoder."""
        return self.decoder.receptive_field

    @property
    def source_features(self) -> int:
        """The number of tokens of the source."""
        return (self.source or self.target).in_features

    def encode(
        self, source: Integer[Tensor, "B N"], lengths: Integer[Tensor, " B"] | None = None
    ) -> State:
        """Read the source once; see `AbstractConditionalModel.encode`."""
        vectors, _ = (self.source or self.target)(source, None, lengths)
        memory, _ = self.encoder(vectors * self.scale, None, lengths)
        return self.decoder.encode(memory, lengths)

    def forward(
        self,
        x: Integer[Tensor, "B T"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        state = self.init_state(x.shape[0]) if state is None else state
        vectors, _ = self.target(x, None, lengths)
        y, state = self.decoder(vectors * self.scale, state, lengths)
        return self._scores(y), state

    def step(
        self, x_t: Integer[Tensor, " B"], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        state = self.init_state(x_t.shape[0]) if state is None else state
        y_t, state = self.decoder.step(self.target.step(x_t)[0] * self.scale, state)
        return self._scores(y_t), state

    def _scores(self, y: Tensor) -> Tensor:
        """Map vectors to scores."""
        if self.head is None:
            return functional.linear(y, self.target.table.weight)
        return self.head.module(y)
