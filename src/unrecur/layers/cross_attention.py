"""Cross-attention: each step looks at a memory that was read once."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from unrecur import _check
from unrecur.core.field import Field
from unrecur.core.model import AbstractConditionalModel
from unrecur.core.state import State, valid_steps, zero_padding
from unrecur.layers.multi_head import AbstractMultiHead


class CrossAttention(AbstractMultiHead, AbstractConditionalModel):
    """Attention of several heads from the steps of one sequence to those of another, the memory.

    The state holds the memory's keys and values, [batch, steps, features] each, and how many of its
    steps are valid, [batch]; it never changes.

    Args:
        features: The width of inputs, memory and outputs.
        heads: The number of heads; it divides the width.
        dropout: The probability with which a weight is dropped in training.

    Raises:
        InputError: A size is below 1, the heads do not divide the width, or the probability is out
            of range.

    Example:
        >>> import torch
        >>> layer = CrossAttention(8, heads=2)
        >>> memory = layer.encode(torch.randn(3, 7, 8), lengths=torch.tensor([7, 2, 5]))
        >>> layer(torch.randn(3, 20, 8), memory)[0].shape
        torch.Size([3, 20, 8])
    """

    @property
    def receptive_field(self) -> Field:
        """The present input alone, beside the memory."""
        return Field()

    def encode(
        self, source: Float[Tensor, "B N D"], lengths: Integer[Tensor, " B"] | None = None
    ) -> State:
        """Make keys and values of the memory; see `AbstractConditionalModel.encode`."""
        _check.block(source, self.in_features)
        batch, steps = source.shape[:2]
        counts = torch.full((batch,), steps, device=source.device)
        counts = counts if lengths is None else lengths.to(counts)
        return *self.key_value(zero_padding(source, lengths)), counts

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T D"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        _check.block(x, self.in_features)
        keys, values, valid = self.init_state(len(x)) if state is None else state
        mask = valid_steps(valid, keys.shape[1])[:, None, None].expand(-1, -1, x.shape[1], -1)
        return self.attend(self.query(zero_padding(x, lengths)), keys, values, mask), state

    def step(
        self, x_t: Float[Tensor, "B D"], state: State | None = None
    ) -> tuple[Float[Tensor, "B D"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        _check.frame(x_t, self.in_features)
        y, state = self(x_t[:, None], state)
        return y[:, 0], state
