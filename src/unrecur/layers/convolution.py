"""Convolution over time: causal, with a step form; and padded otherwise, over blocks."""

from fractions import Fraction

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional

from unrecur import _check
from unrecur.core.arithmetic import LARGEST_FIELD, AbstractArithmetic, Taps, arithmetic
from unrecur.core.compose import Serial
from unrecur.core.field import Field
from unrecur.core.model import AbstractBlockModel, AbstractSequenceModel
from unrecur.core.state import State, last_steps, zero_padding
from unrecur.layers.embedding import readout


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
        groups: How many groups of features are convolved each by itself; as many as features for
            a depthwise convolution.

    Raises:
        InputError: A size is below 1, the field leaves the range of an index, or the groups do not
            divide the features.

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
        groups: int = 1,
    ) -> None:
        super().__init__()
        _check_sizes(in_features, out_features, kernel_size, dilation, groups)
        self.in_features = in_features
        self.out_features = out_features
        self.dilation = dilation
        self.groups = groups
        self.past = (kernel_size - 1) * dilation
        # For torch's initialisation.
        start = nn.Conv1d(in_features, out_features, kernel_size, groups=groups)
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
        y = functional.conv1d(
            seen.transpose(1, 2), self.weight, self.bias, 1, 0, self.dilation, self.groups
        )
        return y.transpose(1, 2), last_steps(seen, self.past, lengths)

    def step(
        self, x_t: Float[Tensor, "B D"], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        _check.frame(x_t, self.in_features)
        before = self.init_state(x_t.shape[0]) if state is None else state
        seen = torch.cat([before, x_t.unsqueeze(1)], 1)
        taps = seen[:, :: self.dilation].mT
        if self.groups > 1:
            y_t = functional.conv1d(taps, self.weight, self.bias, groups=self.groups)[..., 0]
        else:
            y_t = functional.linear(taps.flatten(1), self.weight.flatten(1), self.bias)
        return y_t, seen[:, 1:]


@arithmetic.register
def _(layer: CausalConvolution) -> AbstractArithmetic:
    return Taps(layer.weight.shape[2], layer.dilation, left=layer.past)


def separable(in_features: int, out_features: int, kernel_size: int, dilation: int = 1) -> Serial:
    """Make a causal separable convolution: each feature over time by itself, then all at each step.

    D K + D + (D + 1) E numbers instead of (D K + 1) E (Chollet 2017, section 3).

    Args:
        in_features: The number of input features D.
        out_features: The number of output features E.
        kernel_size: The number of taps K.
        dilation: The distance between taps, in steps.

    Returns:
        A depthwise convolution and a pointwise one.

    Raises:
        InputError: A size is below 1.
    """
    depthwise = CausalConvolution(
        in_features, in_features, kernel_size, dilation, groups=in_features
    )
    return Serial(depthwise, readout(in_features, out_features))


class Convolution(AbstractBlockModel):
    """A convolution over whole sequences, y_j = b + sum_m W_m x_{j s - left + m d}, zeros outside.

    With r = (K - 1) d, padding "same" puts floor(r / 2) zeros before a sequence and the rest of r
    after it, so that n inputs give ceil(n / s) outputs, for even K too; "causal" puts all r before
    it; "full" puts r on both sides: floor((n + r - 1) / s) + 1 outputs; "valid" puts none:
    floor((n - r - 1) / s) + 1 outputs.

    Args:
        in_features: The number of input features.
        out_features: The number of output features.
        kernel_size: The number of taps K.
        dilation: The distance d between taps, in steps.
        stride: How many inputs further the next output stands, s.
        padding: Which zeros are added: "same", "valid", "full" or "causal".
        groups: How many groups of features are convolved each by itself.

    Raises:
        InputError: A size is below 1, the field leaves the range of an index, the groups do not
            divide the features, or the padding is none of these.

    Example:
        >>> import torch
        >>> layer = Convolution(3, 5, kernel_size=4, padding="same")
        >>> layer.receptive_field
        Field(past=1, future=2)
        >>> layer(torch.randn(2, 10, 3))[0].shape
        torch.Size([2, 10, 5])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int,
        dilation: int = 1,
        stride: int = 1,
        padding: str = "same",
        groups: int = 1,
    ) -> None:
        super().__init__()
        _check_sizes(in_features, out_features, kernel_size, dilation, groups)
        _check.positive_integer(stride, "stride")
        reach = (kernel_size - 1) * dilation
        paddings = {
            "same": (reach // 2, reach - reach // 2),
            "valid": (0, 0),
            "full": (reach, reach),
            "causal": (reach, 0),
        }
        left, right = paddings[_check.known_name(padding, paddings, "padding")]
        self.in_features, self.out_features = in_features, out_features
        self.taps = Taps(kernel_size, dilation, stride, left, right)
        self.output_ratio = Fraction(1, stride)
        self.groups = groups
        start = nn.Conv1d(in_features, out_features, kernel_size, groups=groups)
        self.weight, self.bias = start.weight, start.get_parameter("bias")

    @property
    def receptive_field(self) -> Field:
        """The taps before and after the input at which an output stands."""
        return self.taps.field

    def output_lengths(self, lengths: Integer[Tensor, " B"]) -> Integer[Tensor, " B"]:
        """Count the outputs; see `AbstractSequenceModel.output_lengths`."""
        return lengths.new_tensor([self.taps.length(n) for n in lengths.tolist()])

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B N E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`.

        Args:
            x: The inputs [batch, time, features].
            state: Not used: there is none.
            lengths: How many steps of each row are valid; None when all are.

        Returns:
            The outputs, as many as `output_lengths` says, and the empty state.

        Raises:
            InputError: The sequence is too short for one output.
        """
        _check.block(x, self.in_features)
        x = zero_padding(x, lengths)
        shortest = x.shape[1] if lengths is None else int(lengths.min())
        if self.taps.length(shortest) == 0:
            raise _check.InputError(
                f"a sequence of {shortest} inputs is too short for a convolution without padding "
                f"that sees {int(self.receptive_field.length)}. Pad it, or take padding='same'."
            )
        padded = functional.pad(x.transpose(1, 2), (self.taps.left, self.taps.right))
        y = functional.conv1d(
            padded, self.weight, self.bias, self.taps.step, 0, self.taps.dilation, self.groups
        )
        return y.transpose(1, 2), ()


@arithmetic.register
def _(layer: Convolution) -> AbstractArithmetic:
    return layer.taps


def _check_sizes(
    in_features: int, out_features: int, kernel_size: int, dilation: int, groups: int
) -> None:
    """Check what all convolutions take."""
    _check.positive_integer(in_features, "in_features")
    _check.positive_integer(out_features, "out_features")
    _check.positive_integer(kernel_size, "kernel_size")
    _check.positive_integer(dilation, "dilation")
    _check.positive_integer(groups, "groups")
    if (kernel_size - 1) * dilation > LARGEST_FIELD:
        raise _check.InputError(
            f"a convolution of {kernel_size} taps {dilation} steps apart would see "
            f"{(kernel_size - 1) * dilation + 1} inputs; up to {LARGEST_FIELD} can be kept. Take "
            "fewer levels or a smaller dilation."
        )
    if in_features % groups or out_features % groups:
        raise _check.InputError(
            f"groups must divide the features, got {groups} groups for {in_features} input and "
            f"{out_features} output features."
        )
