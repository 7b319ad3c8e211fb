"""Windows unrolled as ONNX graphs, held to onnxruntime's own recurrent nodes and to torch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from interop.conftest import OneNode
from unrecur._check import InputError
from unrecur.cells import MGU
from unrecur.exports.graph_window import window_graph
from unrecur.exports.window_graph import window_model
from unrecur.interop.onnx_graph import cut_at
from unrecur.interop.read import read_recurrences
from unrecur.interop.recurrence import Recurrence

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import helper, numpy_helper  # noqa: E402

PLAIN = {"MatMul", "Add", "Sub", "Mul", "Sigmoid", "Tanh", "Relu", "LeakyRelu", "Slice", "Split"}
SHAPES = {"Squeeze", "Unsqueeze", "Pad", "Shape", "Concat", "ConstantOfShape", "Where", "Identity"}
NODES = [
    ("LSTM", {}),
    ("LSTM", {"peepholes": True}),
    ("LSTM", {"initial": True, "bias": False}),
    ("GRU", {"options": {"linear_before_reset": 1}}),
    ("GRU", {"options": {"linear_before_reset": 1}, "bias": False, "initial": True}),
    ("GRU", {"options": {"linear_before_reset": 0}}),
    ("GRU", {"bias": False, "initial": True}),
    ("RNN", {}),
    ("RNN", {"options": {"activations": ["Relu"]}}),
    ("RNN", {"options": {"activations": ["LeakyRelu"], "activation_alpha": [0.01]}}),
]


def node_of(op, options):
    """A node that starts all its rows from one state."""
    node = OneNode(op, **options)
    for name in ("h0", "c0"):
        if name in node.weights:
            node.weights[name][:] = node.weights[name][:, :1]
    return node


def loaded(model):
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def ran(model, **inputs):
    return loaded(model).run(None, inputs)


def saved(model, tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(("op", "options"), NODES)
def test_a_window_is_onnxruntimes_own_node_on_k_inputs(op, options, tmp_path):
    node = node_of(op, options)
    path = saved(node.model(), tmp_path)
    [found] = read_recurrences(path)
    original = loaded(path)
    for k in (1, 2, 6):
        model = window_model(found, k)
        assert {n.op_type for n in model.graph.node} <= PLAIN | {"Squeeze"}
        y, *_ = original.run(None, {"x": node.x[:k]})
        [got] = ran(model, window=node.x[:k].swapaxes(0, 1))
        np.testing.assert_allclose(got, y[-1, 0], atol=1e-6)


@pytest.mark.parametrize(("op", "options"), NODES)
def test_a_replaced_node_gives_every_window_of_the_block(op, options, tmp_path):
    """Held to the node run afresh on the last k inputs of every step."""
    node = node_of(op, options)
    path = saved(node.model(), tmp_path)
    original, cut = loaded(path), cut_at(path)
    for k in (1, 3, 6, 9):
        model = window_graph(cut, k)
        assert {n.op_type for n in model.graph.node} <= PLAIN | SHAPES
        starts = [max(0, t + 1 - k) for t in range(len(node.x))]
        windows = [original.run(None, {"x": node.x[s : t + 1]}) for t, s in enumerate(starts)]
        y, *states = ran(model, x=node.x)
        np.testing.assert_allclose(y, np.concatenate([w[0][-1:] for w in windows]), atol=1e-6)
        for got, expected in zip(states, windows[-1][1:], strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
@pytest.mark.parametrize("k", [1, 4, 9])
def test_only_the_last_window_is_run_where_only_last_states_are_read(op, k, tmp_path):
    node = OneNode(op)
    path = saved(node.model(outputs=["y_h"]), tmp_path)
    model = window_graph(cut_at(path), k)
    assert "Unsqueeze" not in {n.op_type for n in model.graph.node}
    [got], [expected] = ran(model, x=node.x), ran(path, x=node.x[-k:])
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("module", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_stack_is_torchs(module, dtype):
    torch.manual_seed(0)
    stack = module(3, 4, num_layers=3, batch_first=True, dtype=dtype)
    [found] = read_recurrences(stack)
    x = torch.randn(2, 7, 3, dtype=dtype)
    [got] = ran(window_model(found, 7), window=x.numpy())
    assert got.dtype == x.numpy().dtype
    torch.testing.assert_close(torch.from_numpy(got), stack(x)[0][:, -1].detach())


def test_the_states_given_to_a_graph_are_gone(tmp_path):
    node = OneNode("LSTM", initial=True)
    weights = {name: value for name, value in node.weights.items() if name not in ("h0", "c0")}
    model = node.model(outputs=["y"], weights=weights)
    for name in ("h0", "c0"):
        info = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, None, 4])
        model.graph.input.append(info)
    replaced = window_graph(cut_at(saved(model, tmp_path)), 3)
    assert [item.name for item in replaced.graph.input] == ["x"]
    zero = np.zeros((1, 2, 4), np.float32)
    [got] = ran(replaced, x=node.x)
    [expected] = ran(tmp_path / "m.onnx", x=node.x[-3:], h0=zero, c0=zero)
    np.testing.assert_allclose(got[-1], expected[-1], atol=1e-6)


def computed_state(node):
    """A graph that makes the state to start from of its inputs."""
    node.weights.pop("h0")
    node.weights["ends"] = np.array([0, 2, 1])
    before = [
        helper.make_node("ReduceMax", ["x"], ["most"], axes=[0, 2], keepdims=1),
        helper.make_node("Constant", [], ["shape"], value_ints=[1, 2, 4]),
        helper.make_node("Expand", ["most", "shape"], ["h0"]),
    ]
    made = node.model(before)
    made.graph.node[-1].input.extend(["", "h0"])
    return made


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: OneNode("GRU").model(opset=12), "of opset"),
        (lambda: OneNode("GRU", dtype=np.float16).model(), "computes in float16"),
        (lambda: OneNode("LSTM", options={"layout": 1}).model(), "layout 1"),
        (lambda: OneNode("GRU", "bidirectional").model(), "also reads from the end"),
        (lambda: OneNode("GRU", "reverse").model(), "only reads from the end"),
        (lambda: OneNode("GRU", initial=True).model(), "a state of its own"),
        (lambda: computed_state(OneNode("GRU", initial=True)), "computes the state"),
        (lambda: two_nodes(), "other recurrences: top"),
    ],
)
def test_a_node_that_cannot_be_replaced_is_refused(make, reason, tmp_path):
    path = saved(make(), tmp_path)
    cut = cut_at(path, "rnn")
    with pytest.raises(InputError, match=reason):
        window_graph(cut, 3)


def two_nodes():
    model = OneNode("GRU").model(outputs=["z"])
    model.graph.node.insert(1, helper.make_node("Squeeze", ["y", "axis"], ["y2"]))
    top = helper.make_node("RNN", ["y2", "W2", "R2"], ["z"], name="top", hidden_size=2)
    model.graph.node.append(top)
    for name, value in {
        "W2": np.ones((1, 2, 4), np.float32),
        "R2": np.eye(2, dtype=np.float32)[None],
        "axis": np.array([1]),
    }.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    return model


def test_windows_without_sense_are_refused():
    [found] = read_recurrences(nn.GRU(3, 4, 2))
    with pytest.raises(InputError, match="at most 2048 inputs to unroll 2"):
        window_model(found, 2049)
    with pytest.raises(InputError, match="at least 1"):
        window_model(found, 0)
    with pytest.raises(InputError, match="to unroll, got MGU"):
        window_model(Recurrence("own", [[MGU(3, 4)]]), 2)
