"""Heads: tokens in, features out; features in, scores out."""

from jaxtyping import Float, Integer
from torch import Tensor, nn

from unrecur import _check
from unrecur.core.compose import Pointwise
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, zero_padding


class Embedding(AbstractSequenceModel):
    """Look up one vector for each token.

    Args:
        vocabulary: The number of tokens.
        features: The length of a vector.

    Raises:
        InputError: A size is below 1.

    Example:
        >>> import torch
        >>> Embedding(10, 4)(torch.tensor([[1, 2, 3]]))[0].shape
        torch.Size([1, 3, 4])
    """

    takes_tokens = True

    def __init__(self, vocabulary: int, features: int) -> None:
        super().__init__()
        _check.positive_integer(vocabulary, "vocabulary")
        _check.positive_integer(features, "features")
        self.in_features = vocabulary
        self.out_features = features
        self.table = nn.Embedding(vocabulary, features)

    @property
    def receptive_field(self) -> Field:
        """The present token alone."""
        return Field()

    def init_state(self, batch: int) -> State:
        """Make the empty state."""
        return ()

    def forward(
        self,
        x: Integer[Tensor, "B T"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block of token ids; see `AbstractSequenceModel.forward`."""
        return self.table(self._checked(zero_padding(x, lengths), 2)), ()

    def step(
        self, x_t: Integer[Tensor, " B"], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one token id a row; see `AbstractSequenceModel.step`."""
        return self.table(self._checked(x_t, 1)), ()

    def _checked(self, x: Tensor, dimensions: int) -> Tensor:
        """Check shape, type and range of token ids."""
        _check.tokens(x, self.in_features, dimensions)
        return x


def readout(in_features: int, out_features: int) -> Pointwise:
    """Make a linear map of each step, from features to scores.

    Args:
        in_features: The number of features.
        out_features: The number of scores.

    Returns:
        The model, without state.

    Raises:
        InputError: A size is below 1.
    """
    _check.positive_integer(in_features, "in_features")
    _check.positive_integer(out_features, "out_features")
    return Pointwise(nn.Linear(in_features, out_features), in_features, out_features)
