"""Hierarchical attention: every step sees the whole sequence through a tree of summaries."""

import math

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional

from unrecur import _check
from unrecur.core.field import Field
from unrecur.core.model import AbstractBlockModel
from unrecur.core.state import State, valid_steps, zero_padding
from unrecur.layers.attention import FullAttention
from unrecur.layers.cross_attention import CrossAttention


class HierarchicalAttention(AbstractBlockModel):
    """Attention of several heads within groups of G vectors, level by level.

    Upward: each G vectors of a level, one after the other, are summarised by one vector of the next
    level: attention pooling, with a learned query. That goes on until a level has no more than G
    vectors. Downward from there: each vector of a level attends to the vectors of its own group and
    to the result of the group's summary, which has seen everything else. The result of the lowest
    level is the output.

    Any two of N steps are so at most 2 log_G N + 1 attentions apart, and the cost is linear in N. A
    sequence of no more than G steps gets full attention. All levels share their weights; a learned
    vector for each place in a group, added at every level, tells the order. `attention_maps` gives
    each level by itself, filled up to whole groups; of the attention's keys the first is the
    result of the group's summary.

    Args:
        features: The width of inputs and outputs.
        heads: The number of heads; it divides the width.
        group: The number of vectors G that are summarised by one, at least 2.
        dropout: The probability with which a weight is dropped in training.

    Raises:
        InputError: A size is out of range, the heads do not divide the width, or the probability is
            out of range.

    Example:
        >>> import torch
        >>> layer = HierarchicalAttention(8, heads=2, group=4)
        >>> layer(torch.randn(3, 50, 8))[0].shape
        torch.Size([3, 50, 8])
    """

    def __init__(self, features: int, heads: int, group: int, dropout: float = 0.0) -> None:
        super().__init__()
        _check.positive_integer(group, "group")
        if group < 2:
            raise _check.InputError(f"group must be at least 2, got {group}.")
        self.in_features = self.out_features = features
        self.group = group
        self.pooling = CrossAttention(features, heads, dropout)
        self.attention = FullAttention(features, heads, dropout)
        self.query = nn.Parameter(torch.randn(features))
        self.place = nn.Parameter(torch.randn(group, features) * 0.02)

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
        if lengths is None:
            lengths = torch.full(x.shape[:1], x.shape[1])
        levels = [self._in_groups(zero_padding(x, lengths))]
        counts = [lengths.to(x.device)]
        while levels[-1].shape[1] > 1:
            above = self._summaries(levels[-1], counts[-1], len(levels) - 1)
            levels.append(self._in_groups(above))
            counts.append((counts[-1] + self.group - 1) // self.group)
        above = x.new_zeros(len(x), 1, self.in_features)  # over the top there is nothing to see
        for level in reversed(range(len(levels))):
            above = self._results(levels[level], above, counts[level], level)
        return above[:, : x.shape[1]], ()

    def _in_groups(self, x: Tensor) -> Tensor:
        """Cut a level into groups, and tell each vector its place: [batch, groups, size, D]."""
        size = min(self.group, x.shape[1])
        groups = -(-x.shape[1] // size)
        x = functional.pad(x, (0, 0, 0, groups * size - x.shape[1]))
        return x.unflatten(1, (groups, size)) + self.place[:size]

    def _summaries(self, members: Tensor, count: Tensor, level: int) -> Tensor:
        """Summarise each group by one vector of the next level."""
        batch, groups, size, _ = members.shape
        query = self.pooling.query(self.query[None, None]).expand(batch * groups, -1, -1)
        key, value = self.pooling.key_value(members.flatten(0, 1))
        seen = valid_steps(_sizes(members, count), size)[:, None, None]
        y = self.pooling.attend(query, key, value, seen, part=f"level {level}", groups=groups)
        return y.unflatten(0, (batch, groups)).flatten(1, 2)

    def _results(self, members: Tensor, above: Tensor, count: Tensor, level: int) -> Tensor:
        """Let each vector of a level attend to its group and to the result of its summary."""
        # The tree of a row whose vectors are all in one group ends here: it has no summary.
        batch, groups, size, _ = members.shape
        q, k, v = self.attention.project(members.flatten(0, 1))
        key, value = self.attention.key_value(above[:, :groups].flatten(0, 1)[:, None])
        more = (count > self.group).repeat_interleave(groups)[:, None]
        seen = torch.cat([more, valid_steps(_sizes(members, count), size)], 1)
        y = self.attention.attend(
            q,
            torch.cat([key, k], 1),
            torch.cat([value, v], 1),
            seen[:, None, None].expand(-1, -1, size, -1),
            part=f"level {level}",
            groups=groups,
        )
        return y.unflatten(0, (batch, groups)).flatten(1, 2)


def _sizes(members: Tensor, count: Tensor) -> Tensor:
    """Count the real members of each group; an empty one, which nobody sees, keeps one."""
    _, groups, size, _ = members.shape
    first = size * torch.arange(groups, device=count.device)
    return (count[:, None] - first).clamp(1, size).flatten()
