"""The recurrent nodes of ONNX, held to onnxruntime."""

import numpy as np
import pytest
import torch
from torch import nn

from unrecur._check import InputError
from unrecur.interop.read import read_recurrences
from unrecur.interop.recurrence import run

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import helper, numpy_helper, reference  # noqa: E402

DIRECTIONS = ["forward", "reverse", "bidirectional"]


def saved(model, tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    return path


def by_runtime(path, **inputs):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def held_to(expected, found, x, layout=0):
    """Compare outputs and last states; expected is Y, Y_h and, of an LSTM, Y_c."""
    x = torch.from_numpy(x if layout else x.swapaxes(0, 1).copy())
    y, [states] = run(found, x.to(next(found.cells[0][0].parameters()).dtype))
    outputs = np.concatenate(np.moveaxis(expected[0], 2 if layout else 1, 0), -1)
    outputs = outputs if layout else outputs.swapaxes(0, 1)
    np.testing.assert_allclose(y, outputs, atol=1e-5)
    hidden = [cell.readout(state) for cell, state in zip(found.cells[0], states, strict=True)]
    np.testing.assert_allclose(torch.stack(hidden, layout), expected[1], atol=1e-5)
    if len(expected) == 3:
        kept = [state[:, :4] for state in states]
        np.testing.assert_allclose(torch.stack(kept, layout), expected[2], atol=1e-5)


@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("op", "options", "kind"),
    [
        ("LSTM", {}, "lstm"),
        ("LSTM", {"peepholes": True}, "peephole_lstm"),
        ("GRU", {"linear_before_reset": 1}, "gru"),
        ("GRU", {"linear_before_reset": 0}, "reset_first_gru"),
        ("RNN", {}, "elman"),
        ("RNN", {"activations": "Relu"}, "elman"),
        ("RNN", {"activations": "LeakyRelu", "activation_alpha": 0.01}, "elman"),
    ],
)
def test_a_node_is_read(op, options, kind, direction, bias, initial, one_node, tmp_path):
    peepholes = options.get("peepholes", False)
    directions = 2 if direction == "bidirectional" else 1
    options = {
        key: value if key == "linear_before_reset" else [value] * directions
        for key, value in options.items()
        if key != "peepholes"
    }
    node = one_node(op, direction, options, bias, initial, peepholes)
    path = saved(node.model(), tmp_path)
    [found] = read_recurrences(path)
    assert (found.name, found.kind, found.notes) == ("rnn", kind, ())
    held_to(by_runtime(path, x=node.x), found, node.x)
    if initial:
        with pytest.raises(InputError, match="for 3 rows, got 2"):
            run(found, torch.zeros(3, 6, 3))


@pytest.mark.parametrize(
    ("op", "direction"),
    [*(("LSTM", direction) for direction in DIRECTIONS), ("GRU", "forward")],
)
def test_batch_first_is_read(op, direction, one_node, tmp_path):
    """Onnxruntime has no layout=1; ONNX's own reference has, of a GRU forward only."""
    node = one_node(op, direction, {"layout": 1}, initial=True, peepholes=op == "LSTM")
    path = saved(node.model(), tmp_path)
    expected = reference.ReferenceEvaluator(str(path)).run(None, {"x": node.x})
    held_to(expected, read_recurrences(path)[0], node.x, layout=1)


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_other_widths_are_read(dtype, one_node, tmp_path):
    node = one_node("LSTM", dtype=dtype)
    [found] = read_recurrences(saved(node.model(), tmp_path))
    weight = found.cells[0][0].weight_ih_l0
    assert weight.dtype == (torch.float64 if dtype == np.float64 else torch.float32)
    assert np.array_equal(weight[:4].numpy(), node.weights["W"][0, :4])


def test_several_nodes_are_listed_by_name(one_node, tmp_path):
    node = one_node("GRU")
    model = node.model()
    for name in ("second", "", "rnn"):
        again = model.graph.node.add()
        again.CopyFrom(node.node())
        again.name = name
        again.output[:] = [f"{name}_y" if name != "rnn" else "z", f"{name}_h{len(name)}"]
    path = saved(model, tmp_path)
    assert [one.name for one in read_recurrences(path)] == ["rnn", "second", "_y", "rnn#4"]
    [found] = read_recurrences(path, select="second")
    assert found.name == "second"
    with pytest.raises(InputError, match="Did you mean 'second'"):
        read_recurrences(path, select="secnd")


def constant(name, **value):
    return helper.make_node("Constant", [], [name], **value)


def test_weights_are_followed_through_what_exporters_write(one_node, tmp_path):
    node = one_node("LSTM")
    w, r, b = (node.weights[name][0] for name in "WRB")
    weights = {
        "wide": np.pad(w, [(2, 0), (0, 0)])[None].transpose(0, 2, 1),
        "ri": r[:4],
        "rofc": r[4:],
        "bi": b[:16].astype(np.float64),
        "bh": b[16:].reshape(2, 8)[::-1].copy(),
    }
    before = [
        helper.make_node("Transpose", ["wide"], ["wt"], perm=[0, 2, 1]),
        constant("starts", value_ints=[2]),
        constant("ends", value=numpy_helper.from_array(np.array([2**62]))),
        constant("one", value_ints=[1]),
        constant("zero", value_ints=[0]),
        helper.make_node("Slice", ["wt", "starts", "ends", "one"], ["W"]),
        helper.make_node("Concat", ["ri", "rofc"], ["rr"], axis=0),
        helper.make_node("Identity", ["rr"], ["rrr"]),
        helper.make_node("Unsqueeze", ["rrr", "zero"], ["R"]),
        helper.make_node("Cast", ["bi"], ["bif"], to=onnx.TensorProto.FLOAT),
        constant("order", value_ints=[1, 0]),
        helper.make_node("Gather", ["bh", "order"], ["bg"], axis=0),
        constant("flat", value_ints=[-1]),
        helper.make_node("Reshape", ["bg", "flat"], ["bf"]),
        helper.make_node("Concat", ["bif", "bf"], ["b0"], axis=0),
        constant("twice", value_ints=[1, 1, 32]),
        helper.make_node("Expand", ["b0", "twice"], ["be"]),
        helper.make_node("Squeeze", ["be", "one"], ["B"]),
    ]
    path = saved(node.model(before, weights=weights), tmp_path)
    [found] = read_recurrences(path)
    held_to(by_runtime(path, x=node.x), found, node.x)


def test_weights_in_constant_nodes_are_read(one_node, tmp_path):
    node = one_node("LSTM")
    before = [
        constant(name, value=numpy_helper.from_array(value)) for name, value in node.weights.items()
    ]
    path = saved(node.model(before, weights={}), tmp_path)
    held_to(by_runtime(path, x=node.x), read_recurrences(path)[0], node.x)


def test_weights_are_followed_in_old_opsets(one_node, tmp_path):
    node = one_node("GRU")
    w, r, b = (node.weights[name] for name in "WRB")
    weights = {"wide": np.pad(w, [(0, 0), (2, 0), (0, 0)]), "R": r, "bb": b[None]}
    before = [
        helper.make_node("Slice", ["wide"], ["W"], starts=[2], ends=[1000], axes=[1]),
        helper.make_node("Squeeze", ["bb"], ["b0"], axes=[0]),
        helper.make_node("Squeeze", ["b0"], ["b1"]),
        helper.make_node("Unsqueeze", ["b1"], ["B"], axes=[0]),
    ]
    path = saved(node.model(before, weights=weights, opset=9), tmp_path)
    held_to(by_runtime(path, x=node.x), read_recurrences(path)[0], node.x)


def zeros_like_batch(name):
    """Nodes that make a state of zeros for whatever batch comes, as torch's exporters do."""
    return [
        helper.make_node("Shape", ["x"], ["shape"], start=1, end=2),
        constant("one", value_ints=[1]),
        constant("units", value_ints=[4]),
        helper.make_node("Concat", ["one", "shape", "units"], ["size"], axis=0),
        helper.make_node("ConstantOfShape", ["size"], ["blank"]),
        constant("nothing", value_float=0.0),
        helper.make_node("Expand", ["nothing", "size"], ["blank2"]),
        helper.make_node("Concat", ["blank", "blank2"], ["both"], axis=0),
        constant("from", value_ints=[0]),
        helper.make_node("Slice", ["both", "from", "one", "from"], [name]),
    ]


def test_zeros_to_start_from_are_seen_in_any_shape(one_node, tmp_path):
    node = one_node("LSTM", initial=True)
    weights = {name: node.weights[name] for name in "WRB"}
    before = [*zeros_like_batch("h0"), helper.make_node("Identity", ["h0"], ["c0"])]
    [found] = read_recurrences(saved(node.model(before, weights=weights), tmp_path))
    assert found.initial is None
    assert not found.notes


def test_one_row_to_start_from_serves_every_batch(one_node, tmp_path):
    node = one_node("LSTM", initial=True)
    weights = dict(node.weights)
    weights["c0"] = np.zeros((1, 2, 4), np.float32)
    weights["h0"] = weights["h0"][:, :1]
    zero = [constant("k", value_ints=[0]), helper.make_node("Cast", ["c1"], ["c0"], to=1)]
    weights["c1"] = weights.pop("c0")
    [found] = read_recurrences(saved(node.model(zero, weights=weights), tmp_path))
    [[start]] = found.initial
    assert start.shape == (2, 8)
    assert torch.equal(start[0], start[1])
    assert not start[:, :4].any()


def test_a_state_that_the_graph_computes_is_noted(one_node, tmp_path):
    node = one_node("GRU", initial=True)
    weights = {name: node.weights[name] for name in "WRB"}
    before = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0, 2], keepdims=0),
        constant("shape", value_ints=[1, -1, 1]),
        helper.make_node("Reshape", ["mean", "shape"], ["h1"]),
        helper.make_node("Concat", ["h1"] * 4, ["h0"], axis=2),
    ]
    [found] = read_recurrences(saved(node.model(before, weights=weights), tmp_path))
    assert found.initial is None
    assert "starts the state from 'h0'" in found.notes[0]


def test_lengths_are_noted(one_node, tmp_path):
    node = one_node("GRU")
    model = node.model()
    model.graph.node[0].input[4:] = ["lengths"]
    model.graph.input.append(helper.make_tensor_value_info("lengths", onnx.TensorProto.INT32, [2]))
    [found] = read_recurrences(saved(model, tmp_path))
    assert "length of each row in 'lengths'" in found.notes[0]


class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.decoder = nn.GRU(8, 2, batch_first=True)
        self.last = nn.RNN(2, 2, nonlinearity="relu")
        self.head = nn.Linear(2, 1)

    def forward(self, x):
        x, _ = self.encoder(x)
        x, _ = self.decoder(x)
        x, _ = self.last(x.transpose(0, 1))
        return self.head(x).transpose(0, 1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("folding", [True, False])
def test_what_torch_exports_is_read(folding, tmp_path):
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    model, x = Stack().eval(), torch.randn(2, 5, 3)
    axes = {"x": {0: "batch", 1: "time"}}
    torch.onnx.export(
        model,
        (x,),
        tmp_path / "m.onnx",
        dynamo=False,
        input_names=["x"],
        dynamic_axes=axes,
        do_constant_folding=folding,
    )
    found = read_recurrences(tmp_path / "m.onnx")
    assert [one.kind for one in found] == ["lstm", "lstm", "gru", "elman"]
    assert not any(one.notes or one.initial for one in found)
    x = torch.randn(3, 7, 3)
    expected = model(x)
    for one in found:
        x, _ = run(one, x)
    torch.testing.assert_close(model.head(x), expected, atol=1e-5, rtol=0)
