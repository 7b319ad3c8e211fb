"""A model that looks ahead, made causal by waiting."""

import math

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor

from unrecur import _check
from unrecur.core.arithmetic import LARGEST_FIELD, arithmetic
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, last_steps, leaves, zero_padding


class Lagged(AbstractSequenceModel):
    """Answer so many steps late as the model sees inputs ahead: y_t = model(x)_{t - latency}.

    The first `latency` outputs are zeros, as there is nothing to answer yet; the last `latency`
    answers of a sequence come with as many inputs more. The state is the inputs of one field and
    how many of them have come; a step runs the model on one field.

    Args:
        model: A model with a finite field and as many outputs as inputs, that does not count its
            steps: run on one field it must give what it gives in the whole sequence.

    Attributes:
        latency: How many steps late.

    Raises:
        InputError: The model's field is infinite, it has not as many outputs as inputs, or it
            counts its steps.

    Example:
        >>> import torch, unrecur
        >>> from unrecur.layers.convolution import Convolution
        >>> model = Convolution(3, 5, kernel_size=3)
        >>> late = unrecur.Lagged(model)
        >>> x = torch.randn(2, 20, 3)
        >>> late.latency, torch.allclose(late(x)[0][:, 1:], model(x)[0][:, :-1], atol=1e-6)
        (1, True)
    """

    def __init__(self, model: AbstractSequenceModel) -> None:
        super().__init__()
        field = model.receptive_field
        if math.isinf(field.length) or not arithmetic(model).keeps_length:
            raise _check.InputError(
                "only a model with a finite field and as many outputs as inputs can answer late, "
                f"got {field} and {arithmetic(model).length(LARGEST_FIELD)} outputs of "
                f"{LARGEST_FIELD} inputs."
            )
        if not all(leaf.is_floating_point() for leaf in leaves(model.init_state(1))):
            raise _check.InputError(
                "a model that counts its steps gives something else when it is run on its last "
                "inputs alone, so it cannot answer late. Take one without positions."
            )
        self.model = model
        self.latency = int(field.future)
        self.window = int(field.length)
        self.in_features, self.out_features = model.in_features, model.out_features
        self.takes_tokens = model.takes_tokens

    @property
    def receptive_field(self) -> Field:
        """The model's field, moved back by the latency."""
        return Field(past=self.window - 1)

    def init_state(self, batch: int) -> State:
        """Make an empty window."""
        weight = next(self.model.parameters(), torch.empty(0))
        shape = (batch, self.window - 1) + (() if self.takes_tokens else (self.in_features,))
        dtype = torch.long if self.takes_tokens else weight.dtype
        count = torch.zeros(batch, dtype=torch.long, device=weight.device)
        return torch.zeros(shape, dtype=dtype, device=weight.device), count

    def forward(
        self,
        x: Shaped[Tensor, "B T ..."],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        batch, time = x.shape[:2]
        inputs, known = self.init_state(batch) if state is None else state
        seen = torch.cat([inputs, zero_padding(x, lengths)], 1)
        kept = last_steps(seen, self.window - 1, lengths)
        # The model pads what stands before its first input: the inputs that are not real yet go
        # behind each row's end, so that it starts where the sequence does.
        begin = (self.window - 1 - known)[:, None]
        real = torch.arange(seen.shape[1], device=x.device)[None] + begin
        index = (real % seen.shape[1]).view(*real.shape, *(1,) * (seen.dim() - 2))
        steps = known + (time if lengths is None else lengths.to(known.device))
        y, _ = self.model(seen.gather(1, index.expand_as(seen)), None, steps)
        at = known[:, None] - self.latency + torch.arange(time, device=x.device)
        late = y.gather(1, at.clamp(min=0)[..., None].expand(-1, -1, y.shape[-1]))
        late = torch.where((at >= 0)[..., None], late, 0)
        return late, (kept, steps.clamp(max=self.window - 1))

    def step(
        self, x_t: Shaped[Tensor, "B ..."], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step, at the cost of one field; see `AbstractSequenceModel.step`."""
        y, state = self(x_t[:, None], state)
        return y[:, 0], state
