"""Convolutional sequence to sequence learning."""

import math
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from unrecur import _check
from unrecur.core.compose import Pointwise, Residual, Serial
from unrecur.layers.convolution import CausalConvolution, Convolution
from unrecur.layers.convs2s import HALF, AttentiveBlock, ConvS2S
from unrecur.layers.embedding import Embedding
from unrecur.layers.positions import Positions


def convs2s(
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    layers: int,
    kernel_size: int = 3,
    context: int = 1024,
    normalize: bool = True,
    dropout: float = 0.0,
) -> ConvS2S:
    """Build the encoder-decoder of Gehring et al. (2017, arXiv 1705.03122), token ids to scores.

    Gated convolutions with shortcuts on both sides, learned positions, and attention in every
    layer of the decoder, whose field is 1 + layers (kernel_size - 1) target tokens. Embeddings and
    layers have one width, so that no maps stand between them. Weights are drawn as in the paper
    (section 3.5); its scaling of the encoder's gradients is left to the optimiser.

    Args:
        in_features: The number of tokens of the source.
        out_features: The number of tokens of the target.
        hidden: The length of the embeddings, and the number of channels.
        layers: The number of convolutions of the encoder, and of the decoder.
        kernel_size: The number of taps of each.
        context: The number of positions: no source or target may be longer.
        normalize: Whether all weights but the tables are normalised, w = g v / |v| for each
            output.
        dropout: The probability with which an embedding, or an input of a convolution or of the
            scores, is dropped in training.

    Returns:
        The model.

    Raises:
        InputError: A size or the probability is out of range.

    Example:
        >>> import torch
        >>> model = convs2s(in_features=10, out_features=12, hidden=8, layers=2)
        >>> model.receptive_field
        Field(past=4, future=0)
        >>> state = model.encode(torch.tensor([[3, 1, 4], [2, 7, 0]]), torch.tensor([3, 2]))
        >>> model(torch.tensor([[1, 5, 9, 2], [1, 3, 3, 7]]), state)[0].shape
        torch.Size([2, 4, 12])
    """
    _check.positive_integer(layers, "layers")
    _check.positive_integer(context, "context")
    _check.fraction(dropout, "dropout")

    def decoder_block() -> AttentiveBlock:
        convolution = CausalConvolution(hidden, 2 * hidden, kernel_size, normalize=normalize)
        nn.init.zeros_(convolution.bias)
        weight = torch.empty_like(convolution.weight)
        convolution.set_weight(_drawn(weight, 4 * (1 - dropout)))
        return AttentiveBlock(convolution, _linear(hidden, hidden, 1.0, normalize), dropout)

    encoder = [_encoder_block(hidden, kernel_size, normalize, dropout) for _ in range(layers)]
    scores = nn.Sequential(
        nn.Dropout(dropout), _linear(hidden, out_features, 1 - dropout, normalize)
    )
    return ConvS2S(
        source=_embedding(in_features, hidden, context, dropout),
        encoder=Serial(*encoder),
        target=_embedding(out_features, hidden, context, dropout),
        blocks=[decoder_block() for _ in range(layers)],
        scores=Pointwise(scores, hidden, out_features),
    )


def convs2s_parameters(
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    layers: int,
    kernel_size: int = 3,
    context: int = 1024,
    normalize: bool = True,
    **_: Any,
) -> int:
    """Count the parameters of `convs2s`.

    Tables (V + E + 2 P) H; for each layer two convolutions of 2 H (K H + 1) and a query of
    (H + 1) H; scores (H + 1) E; one more for each output of all these where they are normalised.

    Args:
        in_features: The number of tokens of the source V.
        out_features: The number of tokens of the target E.
        hidden: The number of channels H.
        layers: The number of layers on each side.
        kernel_size: The number of taps K.
        context: The number of positions P.
        normalize: Whether the weights are normalised.

    Returns:
        The number of parameters.
    """
    convolution = 2 * hidden * (kernel_size * hidden + 1 + normalize)
    query = hidden * (hidden + 1 + normalize)
    return (
        (in_features + out_features + 2 * context) * hidden
        + layers * (2 * convolution + query)
        + out_features * (hidden + 1 + normalize)
    )


def _embedding(vocabulary: int, hidden: int, context: int, dropout: float) -> Serial:
    """Look tokens up, and add their positions."""
    words, positions = Embedding(vocabulary, hidden), Positions(hidden, "learned", context)
    for table in (*words.parameters(), *positions.parameters()):
        nn.init.normal_(table, std=0.1)
    return Serial(words, positions, Pointwise(nn.Dropout(dropout), hidden))


class _Scale(nn.Module):
    """Multiply by sqrt(1/2)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return HALF * x


def _encoder_block(hidden: int, kernel_size: int, normalize: bool, dropout: float) -> Serial:
    """Make sqrt(1/2) (x + glu(C x)), C a convolution that looks to both sides."""
    convolution = Convolution(hidden, 2 * hidden, kernel_size, padding="same")
    nn.init.zeros_(convolution.bias)
    _drawn(convolution.weight, 4 * (1 - dropout))
    branch = Serial(
        Pointwise(nn.Dropout(dropout), hidden),
        weight_norm(convolution) if normalize else convolution,
        Pointwise(nn.GLU(), 2 * hidden, hidden),
    )
    return Serial(Residual(branch), Pointwise(_Scale(), hidden))


def _linear(in_features: int, out_features: int, variance: float, normalize: bool) -> nn.Linear:
    """Make a linear map, without biases to begin with."""
    linear = nn.Linear(in_features, out_features)
    nn.init.zeros_(linear.bias)
    _drawn(linear.weight, variance)
    return weight_norm(linear) if normalize else linear


def _drawn(weight: torch.Tensor, variance: float) -> torch.Tensor:
    """Draw from N(0, variance / inputs), which keeps that much of the inputs' variance."""
    inputs = weight[0].numel()
    return nn.init.normal_(weight, std=math.sqrt(variance / inputs))
