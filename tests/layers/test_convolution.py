"""Convolutions of every padding, stride and ratio, against torch's and ONNX's own."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from unrecur import InputError, Lagged, Parallel, Residual, Serial
from unrecur.layers.convolution import CausalConvolution, Convolution, separable
from unrecur.layers.positions import Positions
from unrecur.layers.transposed import TransposedConvolution

sizes = st.integers(1, 5)


def onnx_convolution(x, layer, pads):
    """What ONNX says a convolution is, run by onnxruntime; x is [batch, time, features]."""
    names = ["x", "weight", "bias"]
    node = onnx.helper.make_node(
        "Conv",
        names,
        ["y"],
        dilations=[layer.taps.dilation],
        strides=[layer.taps.step],
        group=layer.groups,
        pads=list(pads),
    )
    return onnx_run(node, names, x, layer)


def onnx_transposed(x, layer):
    names = ["x", "weight", "bias"]
    node = onnx.helper.make_node("ConvTranspose", names, ["y"], strides=[layer.stride])
    return onnx_run(node, names, x, layer)


def onnx_run(node, names, x, layer):
    values = [x.transpose(1, 2), layer.weight, layer.bias]
    feeds = {name: value.detach().numpy() for name, value in zip(names, values, strict=True)}
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node],
        "layer",
        [onnx.helper.make_tensor_value_info(n, kind, v.shape) for n, v in feeds.items()],
        [onnx.helper.make_tensor_value_info("y", kind, None)],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return torch.from_numpy(session.run(None, feeds)[0]).transpose(1, 2)


@pytest.mark.parametrize("padding", ["same", "valid", "full", "causal"])
@settings(max_examples=40)
@given(kernel=sizes, dilation=sizes, stride=sizes, time=st.integers(1, 30), grouped=st.booleans())
def test_a_convolution_is_onnxs(padding, kernel, dilation, stride, time, grouped):
    torch.manual_seed(0)
    layer = Convolution(4, 6, kernel, dilation, stride, padding, groups=2 if grouped else 1)
    x = torch.randn(2, time, 4)
    reach = (kernel - 1) * dilation
    if padding == "valid" and time <= reach:
        with pytest.raises(InputError, match="too short"):
            layer(x)
        return
    before = {"same": reach // 2, "valid": 0, "full": reach, "causal": reach}[padding]
    after = {"same": reach - reach // 2, "valid": 0, "full": reach, "causal": 0}[padding]
    y, state = layer(x)
    torch.testing.assert_close(y, onnx_convolution(x, layer, (before, after)), atol=1e-5, rtol=0)
    assert state == ()
    assert layer.output_lengths(torch.tensor([time])).tolist() == [y.shape[1]]
    if padding == "same":
        assert y.shape[1] == -(-time // stride)


@given(kernel=sizes, stride=sizes, time=st.integers(1, 12), cut=st.integers(1, 11))
def test_a_transposed_convolution_is_onnxs_in_any_blocks(kernel, stride, time, cut):
    torch.manual_seed(0)
    layer = TransposedConvolution(3, 4, kernel, stride)
    x = torch.randn(2, time, 3)
    y, state = layer(x)
    assert y.shape[1] == time * stride == layer.output_ratio * time
    whole = onnx_transposed(x, layer)
    shared = min(y.shape[1], whole.shape[1])  # ONNX leaves out what no tap reaches
    torch.testing.assert_close(y[:, :shared], whole[:, :shared], atol=1e-5, rtol=0)
    beyond = layer.bias.expand_as(y[:, shared:])
    torch.testing.assert_close(y[:, shared:], beyond)
    steps, h = [], None
    for x_t in x.unbind(1):
        y_t, h = layer.step(x_t, h)
        steps.append(y_t)
    torch.testing.assert_close(torch.cat(steps, 1), y, atol=1e-5, rtol=0)
    torch.testing.assert_close(h, state, atol=1e-5, rtol=0)
    if cut < time:
        first, middle = layer(x[:, :cut])
        second, last = layer(x[:, cut:], middle)
        torch.testing.assert_close(torch.cat([first, second], 1), y, atol=1e-5, rtol=0)
        torch.testing.assert_close(last, state, atol=1e-5, rtol=0)


def test_padding_of_an_upsampled_row_changes_nothing():
    torch.manual_seed(0)
    layer = TransposedConvolution(3, 2, kernel_size=5, stride=2)
    x = torch.randn(2, 6, 3)
    padded = x.clone()
    padded[0, 4:] = float("nan")
    y, state = layer(padded, None, torch.tensor([4, 6]))
    alone, alone_state = layer(x[:1, :4])
    torch.testing.assert_close(y[0, :8], alone[0])
    torch.testing.assert_close(state[0], alone_state[0])
    assert layer.output_lengths(torch.tensor([4, 6])).tolist() == [8, 12]


def test_lengths_go_through_a_stack_that_changes_the_rate():
    torch.manual_seed(0)
    model = Serial(
        Convolution(3, 4, 3, stride=2),
        TransposedConvolution(4, 4, 4, 2),
        CausalConvolution(4, 2, 3),
    )
    assert model.output_ratio == 1
    x = torch.randn(2, 8, 3)
    padded = x.clone()
    padded[0, 6:] = float("nan")
    y, _ = model(padded, None, torch.tensor([6, 8]))
    torch.testing.assert_close(y[0, :6], model(x[:1, :6])[0][0])


def test_a_separable_convolution_is_its_two_parts():
    torch.manual_seed(0)
    model = separable(3, 5, kernel_size=3, dilation=2)
    depthwise, pointwise = model.models
    x = torch.randn(2, 9, 3)
    seen = functional.pad(x, (0, 0, 4, 0))
    y = torch.zeros_like(x)
    for tap in range(3):
        y += depthwise.weight[:, 0, tap] * seen[:, 2 * tap : 2 * tap + 9]
    expected = pointwise.module(y + depthwise.bias)
    torch.testing.assert_close(model(x)[0], expected)
    assert sum(p.numel() for p in model.parameters()) == 3 * 3 + 3 + (3 + 1) * 5


@given(kernel=sizes, dilation=sizes, time=st.integers(1, 15))
def test_a_lagged_convolution_answers_the_same_later(kernel, dilation, time):
    torch.manual_seed(0)
    model = Serial(Convolution(2, 3, kernel, dilation), Convolution(3, 2, 2))
    late = Lagged(model)
    x = torch.randn(2, time, 2)
    y, latency = late(x)[0], late.latency
    assert latency == model.receptive_field.future
    # The model's own answers, where they do not depend on the end of the sequence.
    ahead = functional.pad(x, (0, 0, 0, latency))
    expected = model(ahead)[0][:, : time - latency] if latency < time else y[:, :0]
    torch.testing.assert_close(y[:, latency:], expected, atol=1e-5, rtol=0)
    assert not y[:, :latency].any()


def test_a_model_that_looks_ahead_says_how_to_stream_it():
    with pytest.raises(InputError, match="Lagged"):
        Convolution(2, 3, 3).step(torch.randn(1, 2))
    with pytest.raises(InputError, match="whole sequences"):
        Convolution(2, 3, 3, stride=2, padding="causal").step(torch.randn(1, 2))
    for model in (TransposedConvolution(2, 3, 3, 2), Convolution(2, 3, 3, padding="valid")):
        with pytest.raises(InputError, match="as many outputs as inputs"):
            Lagged(model)
    with pytest.raises(InputError, match="counts its steps"):
        Lagged(Serial(Positions(4, "sinusoidal", 20), Convolution(4, 3, 3)))


def test_what_is_added_or_put_side_by_side_is_of_one_length():
    valid = Convolution(2, 2, 3, padding="valid")
    with pytest.raises(InputError, match="as many outputs as inputs"):
        Residual(valid)
    with pytest.raises(InputError, match="Pad them alike"):
        Parallel(valid, Convolution(2, 2, 3))
    both = Parallel(Convolution(2, 2, 3, stride=2), Convolution(2, 1, 5, stride=2))
    assert both.output_lengths(torch.tensor([7, 4])).tolist() == [4, 2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Convolution(2, 3, 0), "kernel_size"),
        (lambda: Convolution(2, 3, 3, stride=0), "stride"),
        (lambda: Convolution(2, 3, 3, padding="sane"), "Did you mean 'same'"),
        (lambda: Convolution(2, 3, 3, groups=2), "groups must divide"),
        (lambda: CausalConvolution(2, 3, 3, dilation=2**40), "fewer levels or a smaller dilation"),
        (lambda: TransposedConvolution(2, 3, 3, stride=-1), "stride"),
    ],
)
def test_sizes_that_cannot_be_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_numbers_of_outputs_are_torchs():
    for kernel, dilation, stride, time in np.ndindex(4, 3, 3, 12):
        layer = Convolution(1, 1, kernel + 1, dilation + 1, stride + 1, "full")
        y = functional.conv1d(
            torch.zeros(1, 1, time + 1),
            layer.weight,
            stride=stride + 1,
            dilation=dilation + 1,
            padding=kernel * (dilation + 1),
        )
        assert layer.taps.length(time + 1) == y.shape[2]
