"""The geometry of torch's own modules, and `unrecur.field`, which asks for any model's."""

from torch import nn

from unrecur._check import InputError
from unrecur.core.arithmetic import (
    AbstractArithmetic,
    InTurn,
    Span,
    Taps,
    TransposedTaps,
    arithmetic,
)
from unrecur.core.field import Field

# Modules that act on each step of [batch, features, time] by itself, a trained batch normalisation
# included. `nn.Linear` is none of them: it would mix the steps.
_POINTWISE = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.AlphaDropout,
    nn.BatchNorm1d,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.ELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Tanh,
    nn.Sigmoid,
    nn.Softplus,
    nn.Hardtanh,
    nn.Hardswish,
    nn.Hardsigmoid,
)


def field(model: nn.Module) -> AbstractArithmetic:
    """Say which inputs an output sees, how far apart the outputs stand, and how many there are.

    Args:
        model: A model of this package, or torch's one-dimensional convolutions, transposed
            convolutions, poolings, paddings and pointwise layers, alone or in an `nn.Sequential`.

    Returns:
        The geometry: `field` (inputs before and after), `stride` (a fraction), `length(n)` (the
        number of outputs of n inputs) and `sees(outputs)` (the inputs that some outputs see).

    Raises:
        InputError: The geometry of a module is not known.

    Example:
        >>> from torch import nn
        >>> stack = nn.Sequential(nn.Conv1d(1, 8, 5, stride=2), nn.ReLU(), nn.Conv1d(8, 8, 3))
        >>> geometry = field(stack)
        >>> geometry.field, geometry.stride, geometry.length(100)
        (Field(past=0, future=8), Fraction(2, 1), 46)
    """
    return arithmetic(model)


def _pointwise(module: nn.Module) -> AbstractArithmetic:
    return Span(Field())


for _module in _POINTWISE:
    arithmetic.register(_module, _pointwise)


@arithmetic.register
def _(module: nn.Sequential) -> AbstractArithmetic:
    return InTurn(tuple(arithmetic(part) for part in module))


@arithmetic.register
def _(module: nn.Conv1d) -> AbstractArithmetic:
    if module.padding_mode != "zeros":
        raise InputError(
            f"the field of a convolution with padding_mode='{module.padding_mode}' differs at the "
            "ends of a sequence. Take zeros."
        )
    kernel, dilation = module.kernel_size[0], module.dilation[0]
    reach = (kernel - 1) * dilation
    if module.padding == "same":
        left, right = reach // 2, reach - reach // 2
    else:
        left = right = 0 if module.padding == "valid" else int(module.padding[0])
    return Taps(kernel, dilation, module.stride[0], left, right)


@arithmetic.register
def _(module: nn.ConvTranspose1d) -> AbstractArithmetic:
    cut, extra = int(module.padding[0]), module.output_padding[0]
    return TransposedTaps(
        module.kernel_size[0], module.dilation[0], module.stride[0], cut, cut - extra
    )


@arithmetic.register(nn.MaxPool1d)
@arithmetic.register(nn.AvgPool1d)
def _(module: nn.MaxPool1d | nn.AvgPool1d) -> AbstractArithmetic:
    if module.ceil_mode:
        raise InputError(
            "a pooling with ceil_mode=True has a last output of fewer inputs. Take ceil_mode=False."
        )
    kernel, dilation, step, padding = (
        value[0] if isinstance(value, tuple) else value
        for value in (
            module.kernel_size,
            getattr(module, "dilation", 1),
            module.stride,
            module.padding,
        )
    )
    return Taps(kernel, dilation, step, padding, padding)


@arithmetic.register(nn.ZeroPad1d)
@arithmetic.register(nn.ConstantPad1d)
def _(module: nn.ZeroPad1d | nn.ConstantPad1d) -> AbstractArithmetic:
    left, right = module.padding
    return Taps(1, left=left, right=right)
