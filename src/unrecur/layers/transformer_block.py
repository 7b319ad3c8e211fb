"""The block of a transformer: attention, perhaps cross-attention, and a map of each step."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, cast, get_args

from jaxtyping import Float, Integer
from torch import Tensor, nn

from unrecur import _check
from unrecur.core.compose import Pointwise
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, zero_padding
from unrecur.layers.cross_attention import CrossAttention

Norm = Literal["pre", "post"]
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
}


def feed_forward(features: int, inner: int, activation: str) -> Pointwise:
    """Make the map of each step: W_2 rho(W_1 x + b_1) + b_2.

    Args:
        features: The width of inputs and outputs.
        inner: The width between the two maps.
        activation: rho: "relu", "gelu", or "gelu_tanh" (the approximation that GPT-2 has).

    Returns:
        The model, without state.

    Raises:
        InputError: The inner width is below 1, or the activation unknown.
    """
    _check.positive_integer(inner, "inner")
    rho = ACTIVATIONS[_check.known_name(activation, ACTIVATIONS, "activation")]
    layers = (nn.Linear(features, inner), rho(), nn.Linear(inner, features))
    return Pointwise(nn.Sequential(*layers), features)


class TransformerBlock(AbstractSequenceModel):
    """Sublayers f one after the other, each around a shortcut and with a layer normalisation N.

    x' = x + dropout(f(N(x))) with the norm "pre" (GPT-2, 2019), x' = N(x + dropout(f(x))) with
    "post" (Vaswani et al., 2017). The state is the tuple of the sublayers' states.

    Args:
        attention: Self-attention, of any kind that keeps the width.
        feed_forward: The map of each step.
        cross: Attention to a memory, between the two; none where left out.
        norm: Where the normalisation stands, "pre" or "post".
        dropout: The probability with which an output of a sublayer is dropped in training.

    Raises:
        InputError: The norm is unknown, or the probability out of range.

    Example:
        >>> import torch
        >>> from unrecur.layers.attention import CausalAttention
        >>> block = TransformerBlock(CausalAttention(8, 2, window=5), feed_forward(8, 32, "gelu"))
        >>> block(torch.randn(3, 20, 8))[0].shape
        torch.Size([3, 20, 8])
    """

    def __init__(
        self,
        attention: AbstractSequenceModel,
        feed_forward: Pointwise,
        cross: CrossAttention | None = None,
        norm: Norm = "pre",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check.known_name(norm, get_args(Norm), "norm")
        _check.fraction(dropout, "dropout")
        self.in_features = self.out_features = attention.in_features
        self.attention, self.cross, self.feed_forward = attention, cross, feed_forward
        self.norms = nn.ModuleList(nn.LayerNorm(self.in_features) for _ in self.sublayers)
        self.dropout = nn.Dropout(dropout)
        self.pre = norm == "pre"

    @property
    def sublayers(self) -> Sequence[AbstractSequenceModel]:
        """What runs, in order."""
        cross = () if self.cross is None else (self.cross,)
        return self.attention, *cross, self.feed_forward

    @property
    def receptive_field(self) -> Field:
        """That of the self-attention."""
        return self.attention.receptive_field

    def init_state(self, batch: int) -> State:
        """Make the states of the sublayers."""
        return tuple(model.init_state(batch) for model in self.sublayers)

    def encode(
        self, memory: Float[Tensor, "B N D"], lengths: Integer[Tensor, " B"] | None = None
    ) -> State:
        """Make the state before the first step of a block with cross-attention.

        Args:
            memory: What the cross-attention looks at.
            lengths: How many steps of each row are valid; None when all are.

        Returns:
            The state.
        """
        cross = cast("CrossAttention", self.cross).encode(memory, lengths)
        return self.attention.init_state(memory.shape[0]), cross, ()

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T D"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        x = zero_padding(x, lengths)
        return self._run(x, state, lambda model, y, before: model(y, before, lengths))

    def step(
        self, x_t: Float[Tensor, "B D"], state: State | None = None
    ) -> tuple[Float[Tensor, "B D"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        return self._run(x_t, state, lambda model, y_t, before: model.step(y_t, before))

    def _run(
        self,
        x: Tensor,
        state: State | None,
        run: Callable[[AbstractSequenceModel, Tensor, State], tuple[Tensor, State]],
    ) -> tuple[Tensor, State]:
        """Run the sublayers in either form."""
        states = (None,) * len(self.norms) if state is None else state
        after = []
        for model, norm, before in zip(self.sublayers, self.norms, states, strict=True):
            y, new = run(model, norm(x) if self.pre else x, before)
            x = x + self.dropout(y)
            x = x if self.pre else norm(x)
            after.append(new)
        return x, tuple(after)
