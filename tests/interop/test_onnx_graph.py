"""ONNX graphs cut at a recurrence: the rest runs in onnxruntime."""

import numpy as np
import pytest
import torch

from unrecur._check import InputError
from unrecur.interop.onnx_graph import cut_at, run_rest
from unrecur.interop.read import read_recurrences
from unrecur.interop.recurrence import run

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import helper, numpy_helper, reference  # noqa: E402

DIRECTIONS = ["forward", "reverse", "bidirectional"]


def whole_graph(one_node, tmp_path, **kwargs):
    """A graph that scales its input, runs a recurrence, and mixes all its outputs with the input.

    Beside it goes an If that reads a value from outside its branches.
    """
    node = one_node(**kwargs)
    units = 8 if node.direction == "bidirectional" else 4
    weights = node.weights | {
        "scale": np.array(1.7, node.dtype),
        "head": np.ones((units, 1), node.dtype),
        "yes": np.array(True),
    }
    value = helper.make_tensor_value_info("branch", onnx.TensorProto.FLOAT, None)
    branches = {
        name: helper.make_graph(
            [helper.make_node("Mul", ["x", factor], ["branch"])], name, [], [value]
        )
        for name, factor in (("then_branch", "scale"), ("else_branch", "x"))
    }
    before = [helper.make_node("If", ["yes"], ["scaled"], **branches)]
    perm = [0, 1, 2, 3] if node.options.get("layout") else [0, 2, 1, 3]
    after = [
        helper.make_node("Transpose", ["y"], ["yt"], perm=perm),
        helper.make_node("Constant", [], ["shape"], value_ints=[0, 0, -1]),
        helper.make_node("Reshape", ["yt", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["out"]),
        helper.make_node("ReduceSum", ["y_h"], ["sum_h"], keepdims=0),
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Add", ["sum_h", "most"], ["mixed"]),
    ]
    outputs = ["out", "mixed"]
    if node.op == "LSTM":
        after.append(helper.make_node("Exp", ["y_c"], ["kept"]))
        outputs.append("kept")
    path = tmp_path / "m.onnx"
    onnx.save(node.model(before, after, "scaled", outputs, weights), path)
    return path, node


@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("op", ["RNN", "GRU", "LSTM"])
def test_the_cut_graph_gives_the_whole_graphs_outputs(op, direction, initial, one_node, tmp_path):
    path, node = whole_graph(one_node, tmp_path, op=op, direction=direction, initial=initial)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    got = run_rest(path, {"x": node.x})
    assert list(got) == names
    for name, expected in zip(names, session.run(names, {"x": node.x}), strict=True):
        np.testing.assert_allclose(got[name], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_batch_first_runs_too_since_the_node_itself_is_cut_out(direction, one_node, tmp_path):
    path, node = whole_graph(
        one_node, tmp_path, op="LSTM", direction=direction, initial=True, options={"layout": 1}
    )
    got = run_rest(path, {"x": node.x})
    expected = reference.ReferenceEvaluator(str(path)).run(None, {"x": node.x})
    for mine, theirs in zip(got.values(), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5, rtol=1e-5)


def test_the_recurrences_true_inputs_and_start_are_seen(one_node, tmp_path):
    path, node = whole_graph(one_node, tmp_path, op="LSTM", initial=True)
    x, [[start]] = cut_at(path).before({"x": node.x})
    np.testing.assert_allclose(x, 1.7 * node.x.swapaxes(0, 1), rtol=1e-6)
    expected = np.concatenate([node.weights["c0"][0], node.weights["h0"][0]], -1)
    np.testing.assert_array_equal(start, expected)


def test_something_else_runs_in_the_recurrences_place(one_node, tmp_path):
    path, node = whole_graph(one_node, tmp_path, op="GRU")
    [found] = read_recurrences(path)
    seen = []

    def forgetful(x, initial):
        seen.append((x.shape, initial))
        y, last = run(found, x, initial)
        return torch.zeros_like(y), last

    got = run_rest(path, {"x": node.x}, runner=forgetful)
    assert not got["out"].any()
    assert seen == [((2, 6, 3), None)]


def test_a_single_precision_cell_serves_a_half_precision_graph(one_node, tmp_path):
    node = one_node("LSTM", dtype=np.float16)
    after = [helper.make_node("Neg", ["y_h"], ["out"])]
    onnx.save(node.model(after=after, outputs=["out"]), tmp_path / "m.onnx")
    got = run_rest(tmp_path / "m.onnx", {"x": node.x})
    x = torch.from_numpy(node.x.swapaxes(0, 1).copy()).float()
    y, _ = run(read_recurrences(tmp_path / "m.onnx")[0], x)
    assert got["out"].dtype == np.float16
    np.testing.assert_allclose(got["out"][0], -y[:, -1], atol=2e-3)


def test_one_of_several_is_chosen(one_node, tmp_path):
    node = one_node("GRU")
    model = node.model(outputs=["z"])
    again = model.graph.node.add()
    again.CopyFrom(helper.make_node("RNN", ["y2", "W2", "R2"], ["z"], name="top", hidden_size=2))
    model.graph.node.insert(1, helper.make_node("Squeeze", ["y", "axis"], ["y2"]))
    for name, value in {
        "W2": np.ones((1, 2, 4), np.float32),
        "R2": np.eye(2, dtype=np.float32)[None],
        "axis": np.array([1]),
    }.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    [expected] = session.run(None, {"x": node.x})
    for name in ("rnn", "top"):
        got = run_rest(path, {"x": node.x}, select=name)
        np.testing.assert_allclose(got["z"], expected, atol=1e-5)
    with pytest.raises(InputError, match=r"got 2: rnn, top\. Choose one"):
        run_rest(path, {"x": node.x})
    with pytest.raises(InputError, match="Did you mean 'top'"):
        cut_at(path, "tpo")


def test_wrong_inputs_are_refused(one_node, tmp_path):
    path, node = whole_graph(one_node, tmp_path, op="GRU")
    with pytest.raises(InputError, match="expected the inputs x, got none for x"):
        run_rest(path, {"y": node.x})
    with pytest.raises(InputError, match="that onnxruntime can run"):
        run_rest(path, {"x": node.x[0]})
    with pytest.raises(InputError, match="that onnxruntime can run"):
        run_rest(path, {"x": node.x.astype(np.float64)})


def test_a_graph_without_recurrence_is_refused(one_node, tmp_path):
    model = one_node("GRU").model()
    model.graph.node[0].op_type = "Other"
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(InputError, match="node to cut at, got none"):
        cut_at(tmp_path / "m.onnx")


def test_rows_with_lengths_of_their_own_are_refused(one_node, tmp_path):
    model = one_node("GRU").model()
    model.graph.node[0].input[4:] = ["lengths"]
    model.graph.initializer.append(numpy_helper.from_array(np.ones(2, np.int32), "lengths"))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(InputError, match="lengths of their own"):
        cut_at(tmp_path / "m.onnx")


def test_external_data_are_loaded_from_the_folder_only(one_node, tmp_path):
    path, node = whole_graph(one_node, tmp_path, op="LSTM")
    expected = run_rest(path, {"x": node.x})
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="m.bin", size_threshold=0)
    assert (tmp_path / "m.bin").exists()
    got = run_rest(path, {"x": node.x})
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], value)
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        if tensor.name == "head":  # read by onnxruntime only, were it not for our own check
            tensor.external_data[0].value = "../outside.bin"
    onnx.save(model, path)
    (tmp_path.parent / "outside.bin").write_bytes(bytes(10**4))
    with pytest.raises(InputError, match="external data inside the model's folder"):
        run_rest(path, {"x": node.x})
