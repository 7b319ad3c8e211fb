"""The transformer as a causal model: language models and features alike."""

from typing import Any, Literal, cast, get_args

from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn
from torch.nn import functional

from unrecur import _check
from unrecur.core.compose import Pointwise
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State
from unrecur.layers.attention import CausalAttention
from unrecur.layers.embedding import Embedding, readout
from unrecur.layers.positions import Positions
from unrecur.layers.transformer_block import Norm, TransformerBlock, feed_forward
from unrecur.layers.transformer_stack import TransformerStack

PositionKind = Literal["learned", "sinusoidal", "rotary", "relative", "none"]


def transformer(
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    layers: int,
    heads: int,
    context: int,
    inner: int | None = None,
    positions: PositionKind = "learned",
    norm: Norm = "pre",
    activation: str = "gelu",
    tied: bool = False,
    dropout: float = 0.0,
    tokens: bool = False,
) -> "Transformer":
    """Build a causal transformer.

    As in GPT-2 (Radford et al., Language Models are Unsupervised Multitask Learners, 2019), the
    normalisation comes before each sublayer and the positions are learned, unless said otherwise.
    Tables start from N(0, 0.02^2) as there, other weights as torch's.

    With learned positions a sequence has at most `context` steps, and an output sees all of those
    before it. With the others a sequence has any length, each layer sees `context` steps, and an
    output sees layers (context - 1) steps back.

    Args:
        in_features: The number of input features.
        out_features: The number of scores.
        hidden: The width; the heads divide it.
        layers: The number of blocks.
        heads: The number of heads of each attention.
        context: The number of steps that a layer sees, the present one included.
        inner: The inner width of the map of each step; 4 hidden where left out.
        positions: "learned", "sinusoidal" (both added to the inputs), "rotary", "relative" (both in
            each attention; see `CausalAttention`) or "none".
        norm: "pre", or "post" as in Vaswani et al. (2017).
        activation: "relu", "gelu" or "gelu_tanh" (GPT-2's).
        tied: Whether the table of the tokens gives the scores too, without a bias, as in GPT-2.
        dropout: The probability with which a weight of an attention, an output of a sublayer, or an
            input of the first block is dropped in training.
        tokens: Whether the inputs are token ids below in_features, looked up in a table.

    Returns:
        The model.

    Raises:
        InputError: A size, a name or the probability is out of range, the heads do not divide the
            width, or the table is tied where there is none or not as many scores as tokens.

    Example:
        >>> options = {"in_features": 3, "out_features": 2, "hidden": 8, "layers": 2, "heads": 2}
        >>> transformer(**options, context=16).receptive_field
        Field(past=15, future=0)
        >>> transformer(**options, context=16, positions="rotary").receptive_field
        Field(past=30, future=0)
    """
    _check.positive_integer(layers, "layers")
    _check.positive_integer(context, "context")
    _check.known_name(positions, get_args(PositionKind), "kind of positions")
    if tied and not (tokens and in_features == out_features):
        raise _check.InputError(
            "tied scores need tokens=True and as many scores as tokens, got "
            f"tokens={tokens}, {in_features} in and {out_features} out."
        )
    within = positions if positions in ("rotary", "relative") else "none"
    blocks = [
        TransformerBlock(
            CausalAttention(hidden, heads, context, within, dropout),
            feed_forward(hidden, 4 * hidden if inner is None else inner, activation),
            norm=norm,
            dropout=dropout,
        )
        for _ in range(layers)
    ]
    places = (
        Positions(hidden, positions, context) if positions in ("learned", "sinusoidal") else None
    )
    stack = TransformerStack(blocks, places, dropout)
    head = None if tied else readout(hidden, out_features)
    return Transformer(vectors(in_features, hidden, tokens), stack, head)


def transformer_parameters(
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    layers: int,
    heads: int,
    context: int,
    inner: int | None = None,
    positions: str = "learned",
    norm: str = "pre",
    tied: bool = False,
    tokens: bool = False,
    **_: Any,
) -> int:
    """Count the parameters of `transformer`.

    A table of D H or a map of (D + 1) H; learned positions C H; the blocks; heads C in each where
    the positions are relative; in "pre" form a last normalisation of 2 H; the readout (H + 1) E,
    unless tied. GPT-2 small has 124,439,808.

    Args:
        in_features: The number of input features D.
        out_features: The number of scores E.
        hidden: The width H.
        layers: The number of blocks.
        heads: The number of heads.
        context: The number of steps C that a layer sees.
        inner: The inner width; 4 H where left out.
        positions: The kind of positions.
        norm: Where the normalisation stands.
        tied: Whether there is no readout.
        tokens: Whether there is a table.

    Returns:
        The number of parameters.
    """
    front = (in_features + (not tokens)) * hidden + context * hidden * (positions == "learned")
    block = block_parameters(hidden, inner) + heads * context * (positions == "relative")
    return (
        front
        + layers * block
        + 2 * hidden * (norm == "pre")
        + (hidden + 1) * out_features * (not tied)
    )


def block_parameters(hidden: int, inner: int | None, attentions: int = 1) -> int:
    """Count the parameters of a transformer block.

    An attention has 4 H^2 + 4 H, the map of each step 2 H I + H + I, a normalisation 2 H.

    Args:
        hidden: The width H.
        inner: The inner width I; 4 H where None.
        attentions: How many attentions there are: 2 with cross-attention.

    Returns:
        The number of parameters.
    """
    inner = 4 * hidden if inner is None else inner
    attention = 4 * hidden * hidden + 4 * hidden
    step = 2 * hidden * inner + hidden + inner
    return attentions * attention + step + (attentions + 1) * 2 * hidden


def vectors(in_features: int, hidden: int, tokens: bool) -> Embedding | Pointwise:
    """Make the first map of a transformer: a table, drawn from N(0, 0.02^2), or a linear map.

    Args:
        in_features: The number of input features.
        hidden: The width.
        tokens: Whether the inputs are token ids below in_features.

    Returns:
        The model, without state.
    """
    if not tokens:
        return readout(in_features, hidden)
    front = Embedding(in_features, hidden)
    nn.init.normal_(front.table.weight, std=0.02)
    return front


class Transformer(AbstractSequenceModel):
    """Vectors of the inputs, a stack of blocks, and scores.

    Args:
        front: Makes a vector of each input.
        stack: The blocks.
        head: Makes scores of the vectors; None where the front's table does.
    """

    def __init__(
        self, front: Embedding | Pointwise, stack: TransformerStack, head: Pointwise | None
    ) -> None:
        super().__init__()
        self.front, self.stack, self.head = front, stack, head
        self.in_features = front.in_features
        self.out_features = front.in_features if head is None else head.out_features
        self.takes_tokens = front.takes_tokens

    @property
    def receptive_field(self) -> Field:
        """That of the stack."""
        return self.stack.receptive_field

    def init_state(self, batch: int) -> State:
        """Make the state of the stack."""
        return self.stack.init_state(batch)

    def forward(
        self,
        x: Shaped[Tensor, "B T ..."],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        y, state = self.stack(self.front(x, None, lengths)[0], state, lengths)
        return self._scores(y), state

    def step(
        self, x_t: Shaped[Tensor, "B ..."], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        y_t, state = self.stack.step(self.front.step(x_t)[0], state)
        return self._scores(y_t), state

    def _scores(self, y: Tensor) -> Tensor:
        """Map vectors to scores."""
        if self.head is None:
            return functional.linear(y, cast("Embedding", self.front).table.weight)
        return self.head.module(y)
