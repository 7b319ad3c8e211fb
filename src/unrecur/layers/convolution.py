"""Causal convolution over time."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional

from unrecur import _check
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, last_steps, zero_padding


class CausalConvolution(AbstractSequenceModel):
    """A dilated causal convolution: y_t = b + sum_j W_j x_{t - (K-1-j) d}, zeros before the start.

    The state holds the last (K-1) d inputs in time order, [batch, (K-1) d, features]; being passed
    and never changed in place, it would gain nothing from a rotating index.

    Args:
        in_features: The number of input features.
        out_features: The number of output features.
        kernel_size: The number of taps K.
        dilation: The distance d between taps, in steps.
        normalize: Whether the weight is normalised, w = g v / |v| for each output (Salimans and
            Kingma 2016).

    Raises:
        InputError: A size is below 1.

    Example:
        >>> import torch
        >>> layer = CausalConvolution(3, 5, kernel_size=2, dilation=4)
        >>> layer.receptive_field.length
        5
        >>> layer(torch.randn(2, 10, 3))[0].shape
        torch.Size([2, 10, 5])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int,
        dilation: int = 1,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        _check.positive_integer(in_features, "in_features")
        _check.positive_integer(out_features, "out_features")
        _check.positive_integer(kernel_size, "kernel_size")
        _check.positive_integer(dilation, "dilation")
        self.in_features = in_features
        self.out_features = out_features
        self.dilation = dilation
        self.past = (kernel_size - 1) * dilation
        start = nn.Conv1d(in_features, out_features, kernel_size)  # for torch's initialisation
        self.bias = nn.Parameter(start.get_parameter("bias").detach())
        self.magnitude = nn.Parameter(torch.empty(out_features, 1, 1)) if normalize else None
        self.direction = nn.Parameter(torch.empty_like(start.weight))
        self.set_weight(start.weight)

    @property
    def weight(self) -> Float[Tensor, "E D K"]:
        """The weight W, torch's layout for a convolution."""
        if self.magnitude is None:
            return self.direction
        return torch._weight_norm(self.direction, self.magnitude, 0)

    @torch.no_grad()
    def set_weight(self, weight: Float[Tensor, "E D K"]) -> None:
        """Set the weight, and with it magnitude and direction where it is normalised.

        Args:
            weight: The weight W.
        """
        self.direction.copy_(weight)
        if self.magnitude is not None:
            self.magnitude.copy_(torch.linalg.vector_norm(weight, dim=(1, 2), keepdim=True))

    @property
    def receptive_field(self) -> Field:
        """The (K-1) d inputs before the present one."""
        return Field(past=self.past)

    def init_state(self, batch: int) -> State:
        """Make the zeros that stand before the first input."""
        return self.bias.new_zeros(batch, self.past, self.in_features)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        _check.block(x, self.in_features)
        before = self.init_state(x.shape[0]) if state is None else state
        seen = torch.cat([before, zero_padding(x, lengths)], 1)
        y = functional.conv1d(seen.transpose(1, 2), self.weight, self.bias, dilation=self.dilation)
        return y.transpose(1, 2), last_steps(seen, self.past, lengths)

    def step(
        self, x_t: Float[Tensor, "B D"], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        _check.frame(x_t, self.in_features)
        before = self.init_state(x_t.shape[0]) if state is None else state
        seen = torch.cat([before, x_t.unsqueeze(1)], 1)
        taps = seen[:, :: self.dilation].mT.flatten(1)
        return functional.linear(taps, self.weight.flatten(1), self.bias), seen[:, 1:]
