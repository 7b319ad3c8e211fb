"""ONNX files that are damaged, hostile, or beyond what our cells can represent."""

import contextlib

import numpy as np
import pytest

from unrecur import CorruptFileError, InputError
from unrecur.interop import onnx_constants, onnx_file
from unrecur.interop.read import read_recurrences

onnx = pytest.importorskip("onnx")
from onnx import helper, numpy_helper  # noqa: E402


def saved(model, tmp_path):
    onnx.save(model, tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.mark.parametrize(
    ("op", "options", "message"),
    [
        ("LSTM", {"clip": 3.0}, "clip=3.0"),
        ("LSTM", {"input_forget": 1}, "input_forget"),
        ("LSTM", {"activations": ["HardSigmoid", "Tanh", "Tanh"]}, "hardsigmoid"),
        ("GRU", {"activations": ["Sigmoid", "Relu"]}, "sigmoid, relu"),
        ("RNN", {"activations": ["Elu"]}, "elu"),
        ("RNN", {"activations": ["Tanh", "Tanh"]}, "tanh, tanh"),
        ("RNN", {"activations": ["LeakyRelu"], "activation_alpha": [0.3]}, "activation_alpha"),
        ("GRU", {"hidden_size": 5}, "expected weights for hidden_size=5"),
        ("GRU", {"direction": "sideways"}, "expected a direction"),
        ("GRU", {"direction": "bidirectional"}, "2 direction"),
    ],
)
def test_what_cannot_be_represented_is_named(op, options, message, one_node, tmp_path):
    model = one_node(op).model()
    node = model.graph.node[0]
    kept = [item for item in node.attribute if item.name not in options]
    node.ClearField("attribute")
    node.attribute.extend(kept)
    node.attribute.extend(helper.make_attribute(key, value) for key, value in options.items())
    with pytest.raises(InputError, match=message):
        read_recurrences(saved(model, tmp_path))


CHANGES = {
    "rows": lambda w: w[:, :-1],
    "rank": lambda w: w[0],
    "directions": lambda w: np.concatenate([w, w]),
    "nan": lambda w: w * np.nan,
}


@pytest.mark.parametrize("name", ["W", "R", "B", "P"])
@pytest.mark.parametrize("change", CHANGES)
def test_weights_that_do_not_fit_are_refused(name, change, one_node, tmp_path):
    node = one_node("LSTM", peepholes=True)
    weights = node.weights | {name: CHANGES[change](node.weights[name])}
    path = saved(node.model(weights=weights), tmp_path)
    with pytest.raises(InputError, match=r"recurrence 'rnn': expected .*, got"):
        read_recurrences(path)


def test_weights_that_are_computed_or_missing_are_refused(one_node, tmp_path):
    node = one_node("GRU")
    model = node.model(weights={key: node.weights[key] for key in "RB"})
    model.graph.input.append(helper.make_tensor_value_info("W", 1, [1, 12, 3]))
    with pytest.raises(InputError, match="expected constant weights, got 'W'"):
        read_recurrences(saved(model, tmp_path))
    model.graph.node[0].input[1] = ""
    with pytest.raises(InputError, match="weights W and R"):
        read_recurrences(saved(model, tmp_path))


def test_quantized_weights_are_refused(one_node, tmp_path):
    node = one_node("GRU")
    weights = node.weights | {"R": node.weights["R"].astype(np.int8)}
    with pytest.raises(InputError, match="Quantized"):
        read_recurrences(saved(node.model(weights=weights), tmp_path))


def test_a_state_that_does_not_fit_is_refused(one_node, tmp_path):
    node = one_node("GRU", initial=True)
    weights = node.weights | {"h0": np.ones((1, 2, 3), np.float32)}
    with pytest.raises(InputError, match="initial state 'h0'"):
        read_recurrences(saved(node.model(weights=weights), tmp_path))


@pytest.mark.parametrize("keep", [0, 5, 60, 300, -200, -1])
def test_a_half_downloaded_file_is_refused(keep, one_node, tmp_path):
    path = saved(one_node("LSTM").model(), tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptFileError, match=r"m\.onnx: "):
        read_recurrences(path)


def test_flipped_bytes_give_weights_or_a_clear_error(one_node, tmp_path):
    path = saved(one_node("LSTM", initial=True).model(), tmp_path)
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        with contextlib.suppress(InputError):
            read_recurrences(path)


def test_a_cyclic_graph_is_refused(one_node, tmp_path):
    before = [helper.make_node("Add", ["x", "y_h"], ["z"]), helper.make_node("Neg", ["z"], ["w"])]
    with pytest.raises(CorruptFileError, match=r"reads 'y_h', .* the graph is cyclic"):
        read_recurrences(saved(one_node("GRU").model(before, x="w"), tmp_path))


def test_an_incomplete_graph_is_refused(one_node, tmp_path):
    model = one_node("GRU").model(x="nowhere")
    with pytest.raises(CorruptFileError, match=r"reads 'nowhere', .* the graph is incomplete"):
        read_recurrences(saved(model, tmp_path))
    model = one_node("GRU").model(outputs=["y", "nothing"])
    with pytest.raises(CorruptFileError, match=r"none for \['nothing'\]"):
        read_recurrences(saved(model, tmp_path))


def test_a_huge_graph_is_refused(one_node, tmp_path, monkeypatch):
    after = [helper.make_node("Neg", ["y"], [f"n{place}"]) for place in range(20)]
    path = saved(one_node("GRU").model(after=after), tmp_path)
    monkeypatch.setattr(onnx_file, "MOST_NODES", 20)
    with pytest.raises(InputError, match="at most 20 nodes"):
        read_recurrences(path)


def test_constants_that_double_without_end_are_refused(one_node, tmp_path, monkeypatch):
    """Forty small nodes would make 2^40 weights."""
    monkeypatch.setattr(onnx_constants, "LARGEST", 2**16)
    node = one_node("GRU")
    before = [
        helper.make_node("Concat", [f"w{place}"] * 2, [f"w{place + 1}"], axis=1)
        for place in range(40)
    ]
    weights = {"w0": node.weights["W"], "R": node.weights["R"], "B": node.weights["B"]}
    before.append(helper.make_node("Identity", ["w40"], ["W"]))
    with pytest.raises(InputError, match="at most 65536 numbers"):
        read_recurrences(saved(node.model(before, weights=weights), tmp_path))


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("Transpose", ["w"], ["W"], perm=[0, 5, 1]),
        helper.make_node("Reshape", ["w", "k"], ["W"]),
        helper.make_node("Concat", ["w", "k"], ["W"], axis=9),
        helper.make_node("Concat", ["w"], ["W"]),
        helper.make_node("Slice", ["w", "k", "k", "k", "k", "k"], ["W"]),
        helper.make_node("Gather", ["w", "w"], ["W"]),
        helper.make_node("Cast", ["w"], ["W"], to=99),
        helper.make_node("Squeeze", ["w", "k"], ["W"]),
        helper.make_node("Unsqueeze", ["w"], ["W"], axes=[70]),
        helper.make_node("Constant", [], ["W"], value_string="text"),
        helper.make_node("Constant", [], ["W"]),
    ],
    ids=lambda node: f"{node.op_type}-{len(node.input)}",
)
def test_a_node_that_does_not_fit_its_inputs_is_refused(node, one_node, tmp_path):
    model = one_node("GRU")
    weights = {"w": model.weights["W"], "k": np.array([7, 7]), "R": model.weights["R"]}
    with pytest.raises(InputError, match="expected"):
        read_recurrences(
            saved(model.model([node], weights=weights | {"B": weights["R"]}), tmp_path)
        )


def inside_a_loop(node):
    body = helper.make_graph([node.node()], "body", [], [])
    return helper.make_node("Loop", ["", ""], ["loop"], name="loop", body=body)


def test_a_node_inside_a_loop_is_refused_and_does_not_hide_the_rest(one_node, tmp_path):
    inner = one_node("GRU", name="inner")
    model = one_node("LSTM").model([inside_a_loop(inner)])
    path = saved(model, tmp_path)
    with pytest.raises(InputError, match=r"'inner': .*inside the body.*select=\['rnn'\]"):
        read_recurrences(path)
    assert len(read_recurrences(path, select="rnn")) == 1


def test_a_recurrence_written_as_a_loop_is_named(tmp_path):
    body = helper.make_graph([helper.make_node("Neg", ["h"], ["g"])], "body", [], [])
    loop = helper.make_node("Scan", [], ["y"], body=body, num_scan_inputs=1)
    value = helper.make_tensor_value_info("y", 1, None)
    model = helper.make_model(helper.make_graph([loop], "g", [], [value]))
    with pytest.raises(InputError, match="a recurrence written as Scan"):
        read_recurrences(saved(model, tmp_path))
    model.graph.node[0].op_type = "Neg"
    with pytest.raises(InputError, match=r"expected a recurrence .*, got none"):
        read_recurrences(saved(model, tmp_path))


def external(node, tmp_path, **entry):
    """A model whose recurrent weights are in another file."""
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    content = node.weights["R"].tobytes()
    for place in (folder, tmp_path):
        (place / "data.bin").write_bytes(bytes(8) + content)
    tensor = onnx.TensorProto(name="R", data_type=1, dims=node.weights["R"].shape)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = {"location": "data.bin", "offset": 8, "length": len(content)} | entry
    for key, value in entry.items():
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    model = node.model()
    del model.graph.initializer[1]
    model.graph.initializer.append(tensor)
    return saved(model, folder)


def test_external_data_in_the_folder_are_read(one_node, tmp_path):
    node = one_node("RNN")
    for entry in ({}, {"length": None}):
        [found] = read_recurrences(external(node, tmp_path, **entry))
        np.testing.assert_array_equal(found.cells[0][0].weight_hh_l0, node.weights["R"][0])


@pytest.mark.parametrize(
    "location",
    [
        "../data.bin",
        "/etc/passwd",
        "sub/../../data.bin",
        "link.bin",
        ".",
        "",
        "..\0/data.bin",
        "data.bin/..",
    ],
)
def test_external_data_outside_the_folder_are_refused(location, one_node, tmp_path):
    path = external(one_node("RNN"), tmp_path, location=location)
    (path.parent / "link.bin").symlink_to(tmp_path / "data.bin")
    with pytest.raises(InputError, match="inside the model's folder"):
        read_recurrences(path)


@pytest.mark.parametrize(
    "entry",
    [
        {"location": "missing.bin"},
        {"offset": 9},
        {"offset": -8},
        {"offset": "x"},
        {"length": 8},
        {"length": 10**12},
        {"length": -1},
    ],
)
def test_external_data_that_are_not_all_there_are_refused(entry, one_node, tmp_path):
    with pytest.raises(CorruptFileError, match="'R'"):
        read_recurrences(external(one_node("RNN"), tmp_path, **entry))


@pytest.mark.parametrize("dims", [[2**31, 2**31], [-1, 4], [3, 3, 3]])
def test_a_tensor_that_lies_about_its_shape_is_refused(dims, one_node, tmp_path):
    model = one_node("RNN").model()
    tensor = numpy_helper.from_array(np.ones((1, 4, 4), np.float32), "R")
    tensor.dims[:] = dims
    del model.graph.initializer[1]
    model.graph.initializer.append(tensor)
    with pytest.raises(CorruptFileError, match="'R'"):
        read_recurrences(saved(model, tmp_path))
