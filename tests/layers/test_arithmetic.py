"""The field, the stride and the number of outputs of any stack, against measurement."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

import unrecur
from unrecur import InputError
from unrecur.cells import GRU
from unrecur.core.arithmetic import InTurn, SideBySide, Span, Taps, TransposedTaps
from unrecur.core.compose import Parallel, Residual, Serial
from unrecur.core.field import Field
from unrecur.layers.convolution import CausalConvolution, Convolution
from unrecur.layers.recurrent import Recurrent
from unrecur.layers.transposed import TransposedConvolution

small = st.integers(1, 4)


def convolution(kernel, stride, dilation, padding):
    return nn.Conv1d(1, 1, kernel, stride, min(padding, kernel - 1), dilation)


def transposed(kernel, stride, dilation, padding):
    return nn.ConvTranspose1d(
        1, 1, kernel, stride, min(padding, kernel - 1), stride - 1 if stride > 1 else 0, 1, True
    )


def pooling(kernel, stride, dilation, padding):
    return nn.AvgPool1d(kernel, stride, kernel // 2 if padding else 0)


layers = st.builds(
    lambda make, *sizes: make(*sizes),
    st.sampled_from([convolution, transposed, pooling]),
    small,
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 2),
)


def seen_by(module, time, output):
    """Which inputs have a gradient at an output, with weights that cannot cancel."""
    for parameter in module.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    x = torch.ones(1, 1, time, dtype=torch.float64, requires_grad=True)
    y = module.double()(x)
    if y[0, 0, output].requires_grad:
        (gradient,) = torch.autograd.grad(y[0, 0, output], x, allow_unused=True)
        return gradient[0, 0].nonzero().flatten().tolist()
    return []


@settings(max_examples=50)
@given(stack=st.lists(layers, min_size=1, max_size=4), data=st.data())
def test_what_an_output_of_any_stack_sees_is_what_has_a_gradient(stack, data):
    module = nn.Sequential(*stack)
    geometry = unrecur.field(module)
    time = 60
    length = geometry.length(time)
    if length == 0:
        with pytest.raises(RuntimeError):
            module(torch.ones(1, 1, time))
        return
    try:
        assert module(torch.ones(1, 1, time)).shape[2] == length
    except RuntimeError:  # torch refuses a padding of its own accord
        return
    output = data.draw(st.integers(0, length - 1))
    assume(inside(geometry, time, output))
    expected = geometry.sees([output]).tolist()
    assert seen_by(module, time, output) == expected
    here = math.floor(output * geometry.stride)
    for step in expected:
        assert -geometry.field.past <= step - here <= geometry.field.future


def inside(geometry, time, output):
    """Whether no layer sees padding on the way to an output: then nothing is cut off."""
    lengths = [time]
    for part in geometry.parts:
        lengths.append(part.length(lengths[-1]))
    steps = [output]
    for part, length in zip(reversed(geometry.parts), reversed(lengths[:-1]), strict=True):
        steps = part.sees(steps)
        if len(steps) and not 0 <= steps[0] <= steps[-1] < length:
            return False
    return True


def test_classic_figures():
    alexnet_front = nn.Sequential(nn.Conv1d(3, 8, 11, 4, 2), nn.ReLU(), nn.MaxPool1d(3, 2))
    geometry = unrecur.field(alexnet_front)
    assert (geometry.field.length, geometry.stride, geometry.length(224)) == (19, 8, 27)
    wavenet = [CausalConvolution(1, 1, 2, 2**i) for _ in range(3) for i in range(10)]
    assert unrecur.field(Serial(*wavenet)).field == Field(past=3069)
    assert unrecur.build("tcn", in_features=1, out_features=1, hidden=2, levels=8).receptive_field
    padded = nn.Sequential(nn.ZeroPad1d((4, 0)), nn.Conv1d(1, 1, 3, dilation=2))
    assert unrecur.field(padded).field == Field(past=4)
    assert unrecur.field(nn.Conv1d(1, 1, 4, padding="same")).field == Field(1, 2)


def test_our_own_models_say_the_same_as_their_layers():
    model = Serial(
        Residual(Convolution(3, 3, 5)),
        Parallel(CausalConvolution(3, 2, 3), Convolution(3, 2, 2)),
        Convolution(4, 4, 3, stride=2),
        TransposedConvolution(4, 2, 5, 2),
    )
    geometry = unrecur.field(model)
    assert isinstance(geometry, InTurn)
    assert geometry.ratio == model.output_ratio == 1
    assert geometry.field == model.receptive_field
    x = torch.randn(1, 40, 3, requires_grad=True)
    seen = set()
    for output in (20, 21):
        (gradient,) = torch.autograd.grad(model(x)[0][0, output].sum(), x)
        steps = gradient[0].any(-1).nonzero().flatten()
        seen |= {int(steps[0]) - output, int(steps[-1]) - output}
    assert (min(seen), max(seen)) == (-geometry.field.past, geometry.field.future)


def test_a_strided_front_of_a_recurrence_has_an_endless_past_and_its_own_future():
    model = Serial(Convolution(3, 4, 5, stride=2, padding="valid"), Recurrent([GRU(4, 2)]))
    assert model.receptive_field == Field(past=math.inf, future=4)
    assert unrecur.field(Residual(Recurrent([GRU(3, 3)]))).field == Field(past=math.inf)


def test_fields_too_large_to_list_keep_their_ends():
    deep = InTurn(tuple(Taps(2, 2**i, left=2**i) for i in range(40)))
    assert deep.field == Field(past=2**40 - 1)
    with pytest.raises(InputError, match="cannot be listed"):
        deep.sees([0])
    with pytest.raises(InputError, match="cannot be listed"):
        SideBySide((Span(Field(past=math.inf)),)).sees([0])


def test_an_output_without_any_tap_sees_nothing():
    geometry = TransposedTaps(kernel_size=1, step=3)
    assert [geometry.sees([j]).tolist() for j in range(4)] == [[0], [], [], [1]]
    assert geometry.field == Field()


@pytest.mark.parametrize(
    "module",
    [
        nn.LSTM(2, 3),
        nn.AvgPool1d(2, ceil_mode=True),
        nn.Sequential(nn.Conv1d(2, 2, 3), nn.Linear(10, 2)),  # it mixes the steps
        nn.Conv1d(2, 2, 3, padding=1, padding_mode="circular"),
    ],
)
def test_what_is_not_known_is_refused(module):
    with pytest.raises(InputError, match=r"not known|ceil_mode|padding_mode"):
        unrecur.field(module)
