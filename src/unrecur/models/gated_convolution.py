"""The gated convolutional network: a language model with a finite context."""

from typing import Any

from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn
from torch.nn import functional

from unrecur import _check
from unrecur.core.compose import Pointwise, Residual, Serial
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, zero_padding
from unrecur.layers.adaptive_softmax import AdaptiveSoftmax, adaptive_softmax_parameters
from unrecur.layers.embedding import Embedding, readout
from unrecur.layers.gated_linear_unit import gated_linear_unit


def gated_convolution(
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    layers: int,
    kernel_size: int = 4,
    bottleneck: int | None = None,
    embedding: int | None = None,
    cutoffs: list[int] | None = None,
    dropout: float = 0.0,
    tokens: bool = False,
) -> "GatedConvolution":
    """Build the gated convolutional network of Dauphin et al. (2016, arXiv 1612.08083).

    A gated linear unit from the inputs to the hidden features, and `layers` - 1 residual blocks of
    one each; with a bottleneck, a block is three of them, of 1, kernel_size and 1 taps. The
    context is exactly 1 + layers (kernel_size - 1) inputs.

    Args:
        in_features: The number of input features, or of tokens.
        out_features: The number of scores.
        hidden: The number of features between the blocks.
        layers: The number of convolutions of more than one tap.
        kernel_size: The number of their taps.
        bottleneck: The number of features inside of a block; None for blocks of one unit.
        embedding: The length of a token's vector; `hidden` where left out.
        cutoffs: Where the clusters of an adaptive softmax begin; the outputs are log-probabilities
            then. None for plain scores.
        dropout: The probability with which an input of a block is dropped in training.
        tokens: Whether the inputs are token ids below in_features, looked up in a table.

    Returns:
        The model.

    Raises:
        InputError: A size or the probability is out of range, or the cutoffs do not fit.

    Example:
        >>> options = {"in_features": 100, "out_features": 100, "hidden": 8, "tokens": True}
        >>> model = gated_convolution(layers=8, **options)
        >>> model.receptive_field.length  # as many words as the paper's GCNN-8 sees
        25
    """
    _check.positive_integer(layers, "layers")
    _check.fraction(dropout, "dropout")
    if embedding is not None and not tokens:
        raise _check.InputError("an embedding takes tokens: give tokens=True, or leave it out.")
    below = _first(in_features, hidden, embedding, tokens)
    front = [Embedding(in_features, below)] if tokens else []
    first = gated_linear_unit(below, hidden, kernel_size)
    blocks = [_block(hidden, kernel_size, bottleneck, dropout) for _ in range(layers - 1)]
    head = readout(hidden, out_features)
    if cutoffs is not None:
        head = Pointwise(AdaptiveSoftmax(hidden, out_features, cutoffs), hidden, out_features)
    return GatedConvolution(Serial(*front, first, *blocks), head)


def gated_convolution_parameters(
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    layers: int,
    kernel_size: int = 4,
    bottleneck: int | None = None,
    embedding: int | None = None,
    cutoffs: list[int] | None = None,
    tokens: bool = False,
    **_: Any,
) -> int:
    """Count the parameters of `gated_convolution`.

    A gated linear unit of K taps from D to H features has 2 H (K D + 2): weights, magnitudes and
    biases; an embedding V D; plain scores (H + 1) E.

    Args:
        in_features: The number of input features, or of tokens V.
        out_features: The number of scores E.
        hidden: The number of features H.
        layers: The number of convolutions of more than one tap.
        kernel_size: The number of their taps K.
        bottleneck: The number of features inside of a block.
        embedding: The length of a token's vector.
        cutoffs: The cutoffs of an adaptive softmax.
        tokens: Whether there is an embedding.

    Returns:
        The number of parameters.
    """

    def unit(below: int, above: int, taps: int) -> int:
        return 2 * above * (taps * below + 2)

    below = _first(in_features, hidden, embedding, tokens)
    inner = hidden if bottleneck is None else bottleneck
    block = unit(inner, inner, kernel_size)
    if bottleneck is not None:
        block += unit(hidden, inner, 1) + unit(inner, hidden, 1)
    head = (hidden + 1) * out_features
    if cutoffs is not None:
        head = adaptive_softmax_parameters(hidden, out_features, cutoffs)
    table = in_features * below if tokens else 0
    return table + unit(below, hidden, kernel_size) + (layers - 1) * block + head


class GatedConvolution(AbstractSequenceModel):
    """The network that `gated_convolution` builds: a body under a head.

    Args:
        body: From the inputs to features.
        head: From features to scores, or to log-probabilities.
    """

    def __init__(self, body: Serial, head: Pointwise) -> None:
        super().__init__()
        self.body, self.head = body, head
        self.in_features, self.out_features = body.in_features, head.out_features
        self.takes_tokens = body.takes_tokens

    @property
    def receptive_field(self) -> Field:
        """That of the body."""
        return self.body.receptive_field

    def init_state(self, batch: int) -> State:
        """Make the body's state."""
        return self.body.init_state(batch)

    def forward(
        self,
        x: Shaped[Tensor, "B T ..."],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        features, state = self.body(x, state, lengths)
        return self.head(features)[0], state

    def step(
        self, x_t: Shaped[Tensor, "B ..."], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        features, state = self.body.step(x_t, state)
        return self.head.step(features)[0], state

    def negative_log_likelihood(
        self,
        x: Shaped[Tensor, "B T ..."],
        targets: Integer[Tensor, "B T"],
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B T"]:
        """Measure how little the model expected each target, in nats.

        An adaptive softmax computes none but the targets' own clusters.

        Args:
            x: The inputs.
            targets: What should come out of each step.
            lengths: How many steps of each row are valid; None when all are.

        Returns:
            -log P(target) for each step, 0 in the padding.

        Raises:
            InputError: A target lies outside of what has a score.
        """
        features, _ = self.body(x, None, lengths)
        targets = zero_padding(targets, lengths)
        _check.tokens(targets, self.out_features, 2)
        if isinstance(self.head.module, AdaptiveSoftmax):
            nats = self.head.module.negative_log_likelihood(features, targets)
        else:
            log_probabilities = functional.log_softmax(self.head(features)[0], -1)
            nats = -log_probabilities.gather(-1, targets[..., None])[..., 0]
        return zero_padding(nats, lengths)


def _first(in_features: int, hidden: int, embedding: int | None, tokens: bool) -> int:
    """Say how many features the first convolution reads."""
    if not tokens:
        return in_features
    return hidden if embedding is None else embedding


def _block(hidden: int, kernel_size: int, bottleneck: int | None, dropout: float) -> Residual:
    """Make one residual block."""
    inner = hidden if bottleneck is None else bottleneck
    units = [gated_linear_unit(inner, inner, kernel_size)]
    if bottleneck is not None:
        units = [gated_linear_unit(hidden, inner, 1), *units, gated_linear_unit(inner, hidden, 1)]
    return Residual(Serial(Pointwise(nn.Dropout(dropout), hidden), *units))
