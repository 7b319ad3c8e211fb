"""Transposed convolution over time: learned upsampling, causal, with a step form."""

from fractions import Fraction

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional

from unrecur import _check
from unrecur.core.arithmetic import AbstractArithmetic, TransposedTaps, arithmetic
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, zero_padding


class TransposedConvolution(AbstractSequenceModel):
    """Upsampling by learned filters: y_j = b + sum of W_m x_i over all i s + m = j, m < K.

    There are s outputs to an input, and none of them needs a later one: those that would come after
    the last input's own are cut. The state is what past inputs still give to the outputs to come,
    [batch, max(K - s, 0), features]. A step gives [batch, s, features].

    Args:
        in_features: The number of input features.
        out_features: The number of output features.
        kernel_size: The number of taps K; below s some outputs are the bias alone.
        stride: How many outputs there are to an input, s.

    Raises:
        InputError: A size is below 1.

    Example:
        >>> import torch
        >>> layer = TransposedConvolution(3, 5, kernel_size=6, stride=4)
        >>> layer(torch.randn(2, 10, 3))[0].shape
        torch.Size([2, 40, 5])
        >>> layer.receptive_field, layer.output_ratio
        (Field(past=1, future=0), Fraction(4, 1))
    """

    def __init__(self, in_features: int, out_features: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        _check.positive_integer(in_features, "in_features")
        _check.positive_integer(out_features, "out_features")
        _check.positive_integer(kernel_size, "kernel_size")
        _check.positive_integer(stride, "stride")
        self.in_features, self.out_features = in_features, out_features
        self.taps = TransposedTaps(kernel_size, step=stride, trailing=True)
        self.output_ratio = Fraction(stride)
        self.stride, self.overlap = stride, max(kernel_size - stride, 0)
        start = nn.ConvTranspose1d(in_features, out_features, kernel_size, stride)
        self.weight, self.bias = start.weight, start.get_parameter("bias")

    @property
    def receptive_field(self) -> Field:
        """The inputs whose taps reach an output: floor((K - 1) / s) before the present one."""
        return self.taps.field

    def output_lengths(self, lengths: Integer[Tensor, " B"]) -> Integer[Tensor, " B"]:
        """Count s outputs to an input; see `AbstractSequenceModel.output_lengths`."""
        return lengths * self.stride

    def init_state(self, batch: int) -> State:
        """Make the zeros that nothing has given yet."""
        return self.bias.new_zeros(batch, self.overlap, self.out_features)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B N E"], State]:
        """Map a whole block to s times as many steps; see `AbstractSequenceModel.forward`."""
        _check.block(x, self.in_features)
        pending = self.init_state(x.shape[0]) if state is None else state
        given = functional.conv_transpose1d(
            zero_padding(x, lengths).transpose(1, 2), self.weight, stride=self.stride
        ).transpose(1, 2)
        outputs = x.shape[1] * self.stride
        sums = functional.pad(given, (0, 0, 0, outputs + self.overlap - given.shape[1]))
        sums = sums + functional.pad(pending, (0, 0, 0, outputs))
        return sums[:, :outputs] + self.bias, self._pending(sums, outputs, lengths)

    def _pending(self, sums: Tensor, outputs: int, lengths: Tensor | None) -> Tensor:
        """Take what goes beyond each row's own end."""
        if lengths is None:
            return sums[:, outputs:]
        steps = torch.arange(self.overlap, device=sums.device)
        index = lengths.to(sums.device)[:, None] * self.stride + steps
        return sums.gather(1, index[..., None].expand(-1, -1, self.out_features))

    def step(
        self, x_t: Float[Tensor, "B D"], state: State | None = None
    ) -> tuple[Float[Tensor, "B R E"], State]:
        """Map one input to its s outputs; see `AbstractSequenceModel.step`."""
        _check.frame(x_t, self.in_features)
        return self(x_t[:, None], state)


@arithmetic.register
def _(layer: TransposedConvolution) -> AbstractArithmetic:
    return layer.taps
