"""Where a step stands: positions added to the inputs, or turned into the queries and keys."""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from unrecur import _check
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, zero_padding

_BASE = 10_000.0

Kind = Literal["learned", "sinusoidal"]


def _angles(position: Integer[Tensor, "*B"], features: int) -> Float[Tensor, "*B F"]:
    """Give position / 10000^(2 i / features), i from 0; in float64, that far positions differ."""
    index = torch.arange(0, features, 2, device=position.device, dtype=torch.float64)
    return position[..., None] * _BASE ** (-index / features)


def sinusoidal(position: Integer[Tensor, "*B"], features: int) -> Float[Tensor, "*B D"]:
    """Give the fixed position vectors: sin and cos of p / 10000^(2 i / D), in turn.

    Vaswani et al., Attention Is All You Need, 2017, section 3.5.

    Args:
        position: Positions p, from 0.
        features: The length D of a vector.

    Returns:
        The vectors, in float64.

    Example:
        >>> import torch
        >>> sinusoidal(torch.tensor([0, 5]), 4).shape
        torch.Size([2, 4])
    """
    angles = _angles(position, features)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)[..., :features]


def rotary(
    x: Float[Tensor, "B H T F"], position: Integer[Tensor, "B T"]
) -> Float[Tensor, "B H T F"]:
    """Turn queries or keys by their position, so that their products tell the distance.

    The pair (x_i, x_{i + F/2}) turns by p / 10000^(2 i / F) (Su et al., RoFormer, 2021; in the
    halved order of the Llama models).

    Args:
        x: Queries or keys of each head; an even number F of features.
        position: Positions p of the steps.

    Returns:
        The turned queries or keys.
    """
    angles = _angles(position, x.shape[-1])[:, None]
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class Positions(AbstractSequenceModel):
    """Add to each step a vector that tells its position in the sequence: y_t = x_t + p_t.

    The state counts the steps that have come, [batch].

    Args:
        features: The width of the steps.
        kind: "learned" for a table, drawn from N(0, 0.02^2); "sinusoidal" for the fixed vectors of
            the function of that name.
        longest: The length of the table, and so of the longest sequence; of no meaning for
            "sinusoidal".

    Raises:
        InputError: A size is below 1, or the kind unknown.

    Example:
        >>> import torch
        >>> layer = Positions(4, "learned", longest=10)
        >>> layer(torch.zeros(2, 3, 4))[1]
        tensor([3, 3])
    """

    def __init__(self, features: int, kind: Kind, longest: int) -> None:
        super().__init__()
        _check.known_name(kind, get_args(Kind), "kind of positions")
        _check.positive_integer(longest, "longest")
        self.in_features = self.out_features = features
        self.longest = longest
        self.table = nn.Embedding(longest, features) if kind == "learned" else None
        if self.table is not None:
            nn.init.normal_(self.table.weight, std=0.02)  # small beside what stands there
        # Where the state lives when there is no table.
        self.register_buffer("_place", torch.empty(0), persistent=False)

    @property
    def receptive_field(self) -> Field:
        """The present input alone."""
        return Field()

    def init_state(self, batch: int) -> State:
        """Make the count of no steps."""
        return torch.zeros(batch, dtype=torch.long, device=self.get_buffer("_place").device)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T D"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        _check.block(x, self.in_features)
        batch, time = x.shape[:2]
        count = self.init_state(batch) if state is None else state
        after = count + (time if lengths is None else lengths.to(count.device))
        position = count[:, None] + torch.arange(time, device=count.device)
        return zero_padding(x, lengths) + self._vectors(position, after).to(x.dtype), after

    def step(
        self, x_t: Float[Tensor, "B D"], state: State | None = None
    ) -> tuple[Float[Tensor, "B D"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        _check.frame(x_t, self.in_features)
        count = self.init_state(len(x_t)) if state is None else state
        return x_t + self._vectors(count, count + 1).to(x_t.dtype), count + 1

    def _vectors(self, position: Tensor, after: Tensor) -> Tensor:
        """Look up positions; those of the padding may lie beyond the table, and mean nothing."""
        if self.table is None:
            return sinusoidal(position, self.in_features)
        if not _check.graph_is_captured() and int(after.max()) > self.longest:
            raise _check.InputError(
                f"the table of learned positions ends after {self.longest} steps, got a sequence "
                f"of {int(after.max())}. Cut the sequence, begin again with a fresh state, or "
                f"build the model with a context of {int(after.max())}."
            )
        return self.table(position.clamp(max=self.longest - 1))
