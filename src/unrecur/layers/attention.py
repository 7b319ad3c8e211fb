"""Self-attention: causal over a sliding window, and over the whole sequence."""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional

from unrecur import _check
from unrecur.core.field import Field
from unrecur.core.model import AbstractBlockModel
from unrecur.core.state import State, last_steps, valid_steps, zero_padding
from unrecur.layers.attention_maps import recording
from unrecur.layers.multi_head import AbstractMultiHead
from unrecur.layers.positions import rotary

AttentionPositions = Literal["none", "rotary", "relative"]


class CausalAttention(AbstractMultiHead):
    """Causal self-attention of several heads over a sliding window of W steps.

    Each step looks at itself and the W - 1 steps before it. The state holds the keys and values of
    the last W - 1 steps in time order, [batch, W - 1, features] each, and how many steps have come,
    [batch]; so a step costs the same however long the sequence is. A block is cut into pieces of W
    queries, which see 2 W - 1 keys each: linear in the length of the block.

    Args:
        features: The width of inputs and outputs.
        heads: The number of heads; it divides the width.
        window: The number of steps W that a step sees, itself included.
        positions: "none"; "rotary" (`positions.rotary`); or "relative", one learned number for each
            head and distance, added to the scores before the softmax (Raffel et al., T5, 2020, with
            one bucket for every distance, as there are only W).
        dropout: The probability with which a weight is dropped in training.

    Raises:
        InputError: A size is below 1, the heads do not divide the width, the name is unknown, the
            features of a head are odd with "rotary", or the probability is out of range.

    Example:
        >>> import torch
        >>> layer = CausalAttention(8, heads=2, window=5)
        >>> y, (keys, values, count) = layer(torch.randn(3, 20, 8))
        >>> y.shape, keys.shape, layer.receptive_field
        (torch.Size([3, 20, 8]), torch.Size([3, 4, 8]), Field(past=4, future=0))
    """

    def __init__(
        self,
        features: int,
        heads: int,
        window: int,
        positions: AttentionPositions = "none",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(features, heads, dropout)
        _check.positive_integer(window, "window")
        _check.known_name(positions, get_args(AttentionPositions), "kind of positions in attention")
        if positions == "rotary" and features // heads % 2:
            raise _check.InputError(
                f"rotary positions turn pairs of features, got {features // heads} of them in each "
                f"head. Take a width that is an even multiple of the {heads} heads."
            )
        self.window = window
        self.rotary = positions == "rotary"
        relative = torch.zeros(heads, window) if positions == "relative" else None
        self.relative = None if relative is None else nn.Parameter(relative)

    @property
    def receptive_field(self) -> Field:
        """The W - 1 inputs before the present one."""
        return Field(past=self.window - 1)

    def init_state(self, batch: int) -> State:
        """Make an empty cache."""
        # Two tensors, not one twice: exporters take the same tensor for the same input.
        shape = (batch, self.window - 1, self.in_features)
        keys, values = self.in_proj_bias.new_zeros(shape), self.in_proj_bias.new_zeros(shape)
        return keys, values, torch.zeros(batch, dtype=torch.long, device=keys.device)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T D"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        _check.block(x, self.in_features)
        batch, time = x.shape[:2]
        old_keys, old_values, count = self.init_state(batch) if state is None else state
        q, k, v = self.project(zero_padding(x, lengths))
        if self.rotary:
            position = count[:, None] + torch.arange(time, device=x.device)
            q, k = self._turned(q, k, position)
        keys, values = torch.cat([old_keys, k], 1), torch.cat([old_values, v], 1)
        if state is None and (time <= self.window or recording()):  # the cache is empty
            plain = self.relative is None and time <= self.window
            seen = None if plain else self._seen(time, time)
            y = self.attend(q, k, v, seen, causal=plain)
        elif time <= self.window or recording():
            y = self.attend(q, keys, values, self._filled(time, count))
        else:
            y = self._slide(q, keys, values, count)
        kept = (last_steps(part, self.window - 1, lengths) for part in (keys, values))
        return y, (*kept, count + (time if lengths is None else lengths.to(count.device)))

    def step(
        self, x_t: Float[Tensor, "B D"], state: State | None = None
    ) -> tuple[Float[Tensor, "B D"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        _check.frame(x_t, self.in_features)
        y, state = self(x_t[:, None], state)
        return y[:, 0], state

    def _slide(self, q: Tensor, keys: Tensor, values: Tensor, count: Tensor) -> Tensor:
        """Attend in pieces of W steps, each to itself and the W - 1 steps before it."""
        batch, time = q.shape[:2]
        size, past = self.window, self.window - 1
        pieces = -(-time // size)
        end = (0, 0, 0, pieces * size - time)
        q = functional.pad(q, end).unflatten(1, (pieces, size)).flatten(0, 1)
        keys, values = (
            functional.pad(part, end).unfold(1, past + size, size).mT.flatten(0, 1)
            for part in (keys, values)
        )
        counts = count[:, None] + size * torch.arange(pieces, device=count.device)
        y = self.attend(q, keys, values, self._filled(size, counts.flatten()))
        return y.unflatten(0, (batch, pieces)).flatten(1, 2)[:, :time]

    def _filled(self, queries: int, count: Tensor) -> Tensor:
        """Do what `_seen` does for queries after a cache, its empty slots left out."""
        past = self.window - 1
        slot = torch.arange(past + queries, device=count.device)
        empty = slot < (past - count).view(-1, 1, 1, 1)
        seen = self._seen(queries, past + queries)
        return seen & ~empty if self.relative is None else seen.masked_fill(empty, -math.inf)

    def _seen(self, queries: int, keys: int) -> Tensor:
        """Mark the keys within the window of each query, the last key being the last query's."""
        # With relative positions what is added to the scores, [1, heads, queries, keys]; else True
        # where a key is seen, [1, 1, queries, keys].
        device = self.in_proj_bias.device
        ends = torch.arange(keys - queries, keys, device=device)[:, None]
        distance = ends - torch.arange(keys, device=device)
        near = (distance >= 0) & (distance < self.window)
        if self.relative is None:
            return near[None, None]
        bias = self.relative[:, distance.clamp(0, self.window - 1)]
        return bias.masked_fill(~near, -math.inf)[None]

    def _turned(self, q: Tensor, k: Tensor, position: Tensor) -> Sequence[Tensor]:
        """Turn queries and keys by their positions."""
        both = torch.cat([self.split(q), self.split(k)], 1)
        return rotary(both, position).transpose(1, 2).flatten(2).chunk(2, -1)


class FullAttention(AbstractMultiHead, AbstractBlockModel):
    """Self-attention of several heads in which every step sees the whole sequence.

    Args:
        features: The width of inputs and outputs.
        heads: The number of heads; it divides the width.
        dropout: The probability with which a weight is dropped in training.

    Raises:
        InputError: A size is below 1, the heads do not divide the width, or the probability is out
            of range.

    Example:
        >>> import torch
        >>> FullAttention(8, heads=2)(torch.randn(3, 20, 8))[0].shape
        torch.Size([3, 20, 8])
    """

    @property
    def receptive_field(self) -> Field:
        """Everything."""
        return Field(past=math.inf, future=math.inf)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T D"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        _check.block(x, self.in_features)
        mask = None
        if lengths is not None:
            x = zero_padding(x, lengths)
            mask = valid_steps(lengths.to(x.device), x.shape[1])[:, None, None]
            mask = mask.expand(-1, -1, x.shape[1], -1)
        return self.attend(*self.project(x), mask), ()
