"""Streams over exported step graphs, against the model."""

import json

import pytest
import torch

import unrecur
from unrecur import InputError
from unrecur._check import CorruptFileError
from unrecur.cells import Elman
from unrecur.layers.recurrent import Recurrent

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def layer():
    torch.manual_seed(0)
    return Recurrent([Elman(3, 4)]).eval()


@pytest.fixture(scope="module")
def path(layer, tmp_path_factory):
    """A step of the layer as a graph, its names like those of `unrecur.export`."""
    (cell,) = layer.cells
    weights = {
        "w": cell.weight_ih_l0.T,
        "r": cell.weight_hh_l0.T,
        "b": cell.bias_ih_l0 + cell.bias_hh_l0,
    }
    arrays = {name: value.detach().contiguous().numpy() for name, value in weights.items()}
    nodes = [
        ("MatMul", ["x", "w"], ["wx"]),
        ("MatMul", ["state.0", "r"], ["rh"]),
        ("Sum", ["wx", "rh", "b"], ["z"]),
        ("Tanh", ["z"], ["next_state.0"]),
        ("Identity", ["next_state.0"], ["y"]),
    ]

    def port(name, features):
        return onnx.helper.make_tensor_value_info(name, 1, ["batch", features])

    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(*node) for node in nodes],
        "step",
        [port("x", 3), port("state.0", 4)],
        [port("y", 4), port("next_state.0", 4)],
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    path = tmp_path_factory.mktemp("graph") / "Schritt ü.onnx"
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return path


def changed(path, tmp_path, change):
    """The same file, but for a change of its contents."""
    model = onnx.load(path)
    change(model)
    onnx.save(model, tmp_path / "changed.onnx")
    return tmp_path / "changed.onnx"


def test_the_graph_gives_the_models_answer(layer, path, tmp_path):
    x = torch.randn(2, 11, 3)
    whole = layer(x)[0].detach()
    stream = unrecur.stream(path, batch=2)
    assert (stream.in_features, stream.out_features, stream.latency) == (3, 4, 0)
    pieces = [stream.feed(x[:, :1]), stream.feed(x[:, 1:5]), stream.feed(x[:, 5:5])]
    stream.save(tmp_path / "state")
    other = unrecur.stream(path, batch=2)
    other.restore(tmp_path / "state")
    pieces.append(stream.feed(x[:, 5:]))
    assert torch.equal(pieces[-1], other.feed(x[:, 5:]))
    torch.testing.assert_close(torch.cat([*pieces, stream.close()], 1), whole)
    with pytest.raises(InputError, match="another model"):
        unrecur.stream(layer, batch=2).restore(tmp_path / "state")


def test_many_streams_over_a_graph(layer, path):
    streams, x = unrecur.StreamBatch(path), torch.randn(3, 4, 3)
    for name in range(3):
        streams.join(name)
    first = streams.feed({0: x[0, :2], 1: x[1, :1], 2: x[2, :2]})
    rest = streams.feed({name: x[name, len(first[name]) :] for name in (2, 1, 0)})
    got = torch.stack([torch.cat([first[name], rest[name]]) for name in range(3)])
    torch.testing.assert_close(got, layer(x)[0].detach())


def test_the_first_state_is_the_files(layer, path, tmp_path):
    row = torch.rand(4)

    def start(model):
        model.metadata_props.add(key="unrecur.state", value=json.dumps({"state.0": row.tolist()}))

    x = torch.randn(1, 5, 3)
    y = unrecur.stream(changed(path, tmp_path, start)).feed(x[0])
    torch.testing.assert_close(y, layer(x, (row[None],))[0][0].detach())
    bad = changed(
        path,
        tmp_path,
        lambda model: model.metadata_props.add(key="unrecur.state", value='{"state.0": [1, 2]}'),
    )
    with pytest.raises(CorruptFileError, match="first state does not fit"):
        unrecur.stream(bad)


def test_other_files_are_refused(path, tmp_path):
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CorruptFileError, match="expected an ONNX file"):
        unrecur.stream(damaged)
    with pytest.raises(FileNotFoundError):
        unrecur.stream(tmp_path / "nowhere.onnx")
    windows = changed(
        path,
        tmp_path,
        lambda model: model.metadata_props.add(key="unrecur.form", value="window"),
    )
    with pytest.raises(InputError, match="got a window of x"):
        unrecur.stream(windows)

    def lose(model):
        del model.graph.output[1]

    with pytest.raises(InputError, match="what becomes of the state 0 is no output"):
        unrecur.stream(changed(path, tmp_path, lose))

    def fix(model):
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = 2

    with pytest.raises(InputError, match="exported for 2 rows, got 1"):
        unrecur.stream(changed(path, tmp_path, fix))
