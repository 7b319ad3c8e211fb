"""Dilated gated convolutions that look to both sides, and pooling by attention."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional

from unrecur.core.field import Field
from unrecur.core.model import AbstractBlockModel
from unrecur.core.state import State, zero_padding
from unrecur.layers.alignment import read
from unrecur.layers.convolution import Convolution


class DilatedGatedConvolution(AbstractBlockModel):
    """Let a gate choose between input and convolution: y = x (1 - s) + u s, s = sigmoid(g).

    u and g are the halves of one dilated convolution of three taps, to both sides. A gated linear
    unit with the shortcut of a highway network (Su 2019, kexue.fm/archives/6906).

    Args:
        features: The number of features, in and out.
        dilation: The distance between taps, in steps.
        dropout: The probability with which a g is set to 0 in training.

    Raises:
        InputError: A size is below 1.

    Example:
        >>> DilatedGatedConvolution(3, dilation=4).receptive_field
        Field(past=4, future=4)
    """

    def __init__(self, features: int, dilation: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.in_features = self.out_features = features
        self.dropout = dropout
        self.convolution = Convolution(features, 2 * features, 3, dilation)

    @property
    def receptive_field(self) -> Field:
        """The convolution's."""
        return self.convolution.receptive_field

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T D"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        x = zero_padding(x, lengths)
        u, g = self.convolution(x, None, lengths)[0].chunk(2, -1)
        gate = torch.sigmoid(functional.dropout(g, self.dropout, self.training))
        return torch.lerp(x, u, gate), ()


class AttentionPooling(nn.Module):
    """Make one vector of a sequence: sum_t a_t x_t, a = softmax_t(v . tanh(W x_t)).

    Args:
        features: The number of features of a step, and of the vector.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, features, bias=False)
        self.score = nn.Linear(features, 1, bias=False)

    def forward(
        self, x: Float[Tensor, "B T D"], lengths: Integer[Tensor, " B"] | None = None
    ) -> Float[Tensor, "B D"]:
        """Pool the valid steps.

        Args:
            x: A sequence.
            lengths: How many steps of each row are valid; None when all are.

        Returns:
            A vector for each row.
        """
        x = zero_padding(x, lengths)
        counts = x.new_full((x.shape[0],), x.shape[1]).long() if lengths is None else lengths
        scores = self.score(torch.tanh(self.hidden(x)))[..., 0]
        pooled, _ = read(self, scores[:, None], x, counts.to(x.device))
        return pooled[:, 0]
