"""Files truncated end to end: the error stated, what it rests on, and that it is checked."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

import unrecur
from interop.conftest import OneNode
from interop.seeds import seeds
from unrecur._check import InputError
from unrecur.certificates.certificate import Evidence
from unrecur.cli.main import app
from unrecur.exports import source, truncated_file
from unrecur.exports.truncated_file import truncate_file
from unrecur.interop.read import read_recurrences
from unrecur.interop.recurrence import run

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import helper, numpy_helper  # noqa: E402

RECURRENT = {"LSTM", "GRU", "RNN", "Loop", "Scan"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A small file of each format."""
    return {path.suffix: path for path in seeds(tmp_path_factory.mktemp("seeds"))}


@pytest.fixture
def gru(tmp_path):
    torch.manual_seed(0)
    save_file(nn.GRU(3, 4, 2).state_dict(), tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_hand(path, written, x, k):
    """The largest difference of the file from the recurrence run whole, window by window."""
    [found] = read_recurrences(path)
    y, _ = run(found, x)
    session = onnxruntime.InferenceSession(str(written), providers=["CPUExecutionProvider"])
    gaps = []
    for t in range(k - 1, x.shape[1]):
        [got] = session.run(None, {"window": x[:, t + 1 - k : t + 1].numpy()})
        gaps.append(np.abs(got - y[:, t].numpy()).max())
    return max(gaps)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".ts", ".npz", ".nam", ".h5", ".keras"])
def test_every_kind_of_file_is_truncated(suffix, files, tmp_path):
    features = 1 if suffix == ".nam" else 2
    x = noise(3, 40, features)
    out = tmp_path / "out.onnx"
    done = truncate_file(files[suffix], out, k=6, data=x, evidence="measured")
    model = onnx.load(out)
    assert not RECURRENT & {node.op_type for node in model.graph.node}
    found = by_hand(files[suffix], out, x, 6)
    assert found == pytest.approx(done.seen.error, rel=1e-3, abs=1e-6)
    assert done.seen.error <= done.bound <= done.seen.error + 1e-4
    assert (done.form, done.evidence, done.seen.windows) == ("window", Evidence.MEASURED, 105)
    told = {item.key: item.value for item in model.metadata_props}
    assert told["unrecur.k"] == "6"
    assert told["unrecur.evidence"] == "measured"
    assert float(told["unrecur.bound"]) == done.bound
    digest = hashlib.sha256(files[suffix].read_bytes()).hexdigest()
    assert told["unrecur.source_sha256"] == digest == done.sha256


def test_the_least_window_is_found_and_one_less_is_too_short(gru, tmp_path):
    x = noise(4, 60, 3)
    done = truncate_file(gru, tmp_path / "a.onnx", eps=0.01, data=x)  # nothing is proved of it
    assert done.evidence is Evidence.MEASURED
    assert done.seen.error <= done.bound <= 0.01
    assert by_hand(gru, tmp_path / "a.onnx", x, done.k) <= done.bound
    less = truncate_file(gru, tmp_path / "b.onnx", k=done.k - 1, data=x, evidence="measured")
    assert less.bound > 0.01


def test_many_sequences_speak_of_new_ones(gru, tmp_path):
    x = noise(140, 16, 3)
    done = truncate_file(gru, tmp_path / "a.onnx", eps=0.1, data=x, evidence="statistical")
    assert done.evidence is Evidence.STATISTICAL
    assert done.k in (1, 2, 4, 8)
    assert by_hand(gru, tmp_path / "a.onnx", x, done.k) <= done.bound <= 0.1
    seen = truncate_file(gru, tmp_path / "b.onnx", eps=0.1, data=x, evidence="measured")
    assert seen.evidence is Evidence.MEASURED
    assert seen.k <= done.k
    given = truncate_file(gru, tmp_path / "c.onnx", k=3, data=x[:19], evidence="statistical")
    assert given.evidence is Evidence.STATISTICAL
    assert "probability 0.95" in given.window.holds_for[0]
    with pytest.raises(InputError, match="takes 19 sequences, got 18"):
        truncate_file(gru, tmp_path / "d.onnx", k=3, data=x[:18], evidence="statistical")


@pytest.fixture
def stable(tmp_path):
    torch.manual_seed(0)
    lstm = nn.LSTM(3, 2)
    unrecur.project_(lstm, 1.0, rate=0.5)
    save_file(lstm.state_dict(), tmp_path / "s.safetensors")
    return tmp_path / "s.safetensors"


def test_a_proof_comes_first(stable, tmp_path):
    x = noise(2, 80, 3).clamp(-1, 1)
    done = truncate_file(stable, tmp_path / "a.onnx", eps=1e-3, data=x, input_box=1.0)
    assert done.evidence is Evidence.PROVED
    assert done.seen.error <= done.bound <= 1e-3
    assert "every input in [-1, 1]" in " ".join(done.window.holds_for)
    alone = truncate_file(stable, tmp_path / "b.onnx", eps=1e-3, input_box=1.0)
    assert (alone.k, alone.bound, alone.drawn) == (done.k, done.bound, True)
    assert alone.seen.windows == 8 * (64 + 1)
    # Of what a user makes of the outputs nothing is proved.
    more = truncate_file(stable, tmp_path / "d.onnx", k=5, data=x, output=lambda y: 3 * y)
    assert more.evidence is Evidence.MEASURED
    assert "made of the recurrence's" in more.of


def whole_graph(tmp_path):
    """A scale, a recurrence, and a linear map of every step."""
    node = OneNode("LSTM")
    node.x = noise(40, 2, 3).numpy()
    weights = node.weights | {
        "scale": np.array(1.7, np.float32),
        "axis": np.array([1]),
        "head": noise(4, 2).numpy(),
    }
    before = [helper.make_node("Mul", ["x", "scale"], ["scaled"])]
    after = [
        helper.make_node("Squeeze", ["y", "axis"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["out"]),
    ]
    onnx.save(node.model(before, after, "scaled", ["out"], weights), tmp_path / "g.onnx")
    return tmp_path / "g.onnx", node


def test_a_whole_graph_keeps_what_is_around_the_recurrence(tmp_path):
    path, node = whole_graph(tmp_path)
    done = truncate_file(path, tmp_path / "a.onnx", eps=0.02, data={"x": node.x})
    assert (done.form, done.of) == ("graph", "the graph's output 'out'")
    written = onnx.load(tmp_path / "a.onnx")
    assert not RECURRENT & {each.op_type for each in written.graph.node}
    first, second = (
        onnxruntime.InferenceSession(str(p), providers=["CPUExecutionProvider"]).run(
            None, {"x": node.x}
        )[0]
        for p in (path, tmp_path / "a.onnx")
    )
    assert np.abs(first - second).max() == pytest.approx(done.seen.error)
    assert done.seen.error <= done.bound <= 0.02


class Stacked(nn.Module):
    """Two layers, and what becomes of the last step and of the states."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 4, 2, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        y, (h, c) = self.lstm(x)
        return self.head(y), h, c


@pytest.mark.filterwarnings("ignore")
def test_a_stack_that_torch_exports_is_one_recurrence(tmp_path):
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    model, x = Stacked().eval(), noise(2, 30, 3)
    names = {"input_names": ["x"], "output_names": ["y", "h", "c"]}
    axes = {"x": {0: "batch", 1: "time"}}
    path, out = tmp_path / "m.onnx", tmp_path / "a.onnx"
    torch.onnx.export(model, (x,), path, dynamo=False, dynamic_axes=axes, **names)
    done = truncate_file(path, out, k=6, data={"x": x.numpy()})
    assert (done.form, done.kind) == ("graph", "lstm")
    assert not RECURRENT & {each.op_type for each in onnx.load(out).graph.node}
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    y, *states = session.run(None, {"x": x.numpy()})
    with torch.no_grad():
        expected = [model(x[:, max(0, t - 5) : t + 1]) for t in range(30)]
    windows = torch.cat([step[0][:, -1:] for step in expected], 1)
    torch.testing.assert_close(torch.from_numpy(y), windows, atol=1e-5, rtol=0)
    for got, state in zip(states, expected[-1][1:], strict=True):
        torch.testing.assert_close(torch.from_numpy(got), state, atol=1e-5, rtol=0)
    own = truncate_file(path, tmp_path / "b.onnx", k=6, data=x, evidence="measured")
    assert (own.form, own.seen.original) == ("window", "onnxruntime")


def test_a_recurrence_is_written_alone_where_its_graph_cannot_be_kept(tmp_path):
    path, node = whole_graph(tmp_path)
    model = onnx.load(path)
    model.opset_import[0].version = 12
    model.graph.node[2].op_type = "Flatten"  # takes no axes
    model.graph.node[2].ClearField("input")
    model.graph.node[2].input.append("y")
    model.graph.node[3].input[1] = "wide"
    wide = numpy_helper.from_array(np.ones((8, 2), np.float32), "wide")
    model.graph.initializer.append(wide)
    onnx.save(model, path)
    done = truncate_file(path, tmp_path / "a.onnx", k=9, data={"x": node.x})
    assert done.form == "window"
    assert "recurrence alone was written: the graph is of opset [12]" in done.notes[0]
    x = torch.from_numpy(1.7 * node.x.swapaxes(0, 1))
    assert by_hand(path, tmp_path / "a.onnx", x, 9) <= done.bound
    assert done.seen.original == "onnxruntime"
    own = truncate_file(path, tmp_path / "b.onnx", k=9, data=x)
    assert own.bound == pytest.approx(done.bound)
    assert "not the graph's inputs by name" in own.notes[0]


@pytest.mark.parametrize("form", ["window", "graph"])
def test_a_wrong_graph_is_found_out_and_nothing_is_left(form, gru, tmp_path, monkeypatch):
    path, node = whole_graph(tmp_path)
    data = {"x": node.x} if form == "graph" else noise(4, 40, 3)
    name = f"window_{'graph' if form == 'graph' else 'model'}"
    right = getattr(source, name)

    def wrong(*arguments):
        model = right(*arguments)
        held = [t for t in model.graph.initializer if len(t.dims) == 2 and t.name != "head"]
        value = numpy_helper.to_array(held[-1]).copy()
        value[0, 0] += 0.3
        held[-1].CopyFrom(numpy_helper.from_array(value, held[-1].name))
        return model

    monkeypatch.setattr(source, name, wrong)
    out = tmp_path / "out" / "a.onnx"
    with pytest.raises(InputError, match="was not written: in onnxruntime it differs"):
        truncate_file(path if form == "graph" else gru, out, k=15, data=data, evidence="measured")
    assert list(out.parent.iterdir()) == []


X = noise(3, 40, 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "either k"),
        ({"k": 3, "eps": 0.1, "data": X}, "either k"),
        ({"k": 3}, "give data to measure"),
        ({"k": 0, "data": X}, "at least 1"),
        ({"eps": -1.0, "data": X}, "above 0"),
        ({"k": 40, "data": X}, "k=40 is not shorter than the data, .* 40 steps"),
        ({"k": 5000, "data": X}, "at most 2048 inputs"),
        (
            {"eps": 1e-9, "data": X, "evidence": "measured"},
            "the least error on these data is .*, with 20 inputs",
        ),
        ({"eps": 0.1, "data": X, "evidence": "proved"}, "proved: .* not below 1"),
        ({"eps": 0.1, "data": X, "evidence": "statistical"}, "takes 119 sequences, got 3"),
        ({"k": 3, "data": X, "evidence": "statistical"}, "takes 19 sequences, got 3"),
        ({"k": 3, "data": X, "evidence": "proved"}, "nothing is proved"),
        ({"k": 3, "data": X, "evidence": "guessed"}, "unknown evidence 'guessed'"),
        ({"k": 3, "input_box": 1.0, "evidence": "measured"}, "takes data"),
        ({"k": 3, "input_box": 1.0}, "nothing is proved"),
        ({"k": 3, "data": X[..., :2]}, "sequences of 3 features"),
        ({"k": 3, "data": X, "select": "gruu"}, "unknown recurrence"),
        ({"k": 3, "data": X, "out": "a.pt"}, "ending in .onnx"),
        ({"k": 3, "data": {"x": X.numpy()}}, "own inputs"),
    ],
)
def test_bad_input_is_refused(given, message, gru, tmp_path):
    given = dict(given)
    out = tmp_path / given.pop("out", "a.onnx")
    with pytest.raises(InputError, match=message):
        truncate_file(gru, out, **given)
    assert not out.exists()


def test_what_reads_from_the_end_is_refused(tmp_path):
    save_file(nn.LSTM(3, 4, bidirectional=True).state_dict(), tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="also reads from the end"):
        truncate_file(tmp_path / "m.safetensors", tmp_path / "a.onnx", k=3, data=X)


def test_a_file_without_recurrence_and_one_with_several_are_refused(tmp_path):
    save_file(nn.Linear(3, 4).state_dict(), tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="expected a recurrence"):
        truncate_file(tmp_path / "m.safetensors", tmp_path / "a.onnx", k=3, data=X)
    both = nn.ModuleDict({"a": nn.GRU(3, 4), "b": nn.GRU(3, 4)})
    save_file(both.state_dict(), tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="got 2: a, b"):
        truncate_file(tmp_path / "m.safetensors", tmp_path / "a.onnx", k=3, data=X)


def test_a_place_that_cannot_be_written_is_refused_before_any_work(gru, tmp_path, monkeypatch):
    (tmp_path / "a.onnx").write_text("mine")
    monkeypatch.setattr(truncated_file, "read_source", None)  # not reached
    with pytest.raises(InputError, match="is there already"):
        truncate_file(gru, tmp_path / "a.onnx", k=3, data=X)
    assert (tmp_path / "a.onnx").read_text() == "mine"
    with pytest.raises(InputError, match="cannot be written"):
        truncate_file(gru, tmp_path / "a.onnx" / "b.onnx", k=3, data=X)
    with pytest.raises(InputError, match="is the model itself"):
        truncate_file(gru, gru, k=3, data=X, overwrite=True)


def test_states_that_are_not_zero_are_refused(tmp_path):
    node = OneNode("GRU", initial=True)
    weights = {name: value for name, value in node.weights.items() if name != "h0"}
    after = [helper.make_node("Squeeze", ["y", "axis"], ["out"])]
    weights["axis"] = np.array([1])
    model = node.model(after=after, outputs=["out"], weights=weights)
    info = helper.make_tensor_value_info("h0", onnx.TensorProto.FLOAT, [1, None, 4])
    model.graph.input.append(info)
    onnx.save(model, tmp_path / "m.onnx")
    state = np.ones((1, 2, 4), np.float32)
    given = {"x": node.x, "h0": 0 * state}
    with pytest.raises(InputError, match="Give zeros"):
        truncate_file(tmp_path / "m.onnx", tmp_path / "a.onnx", k=2, data=given | {"h0": state})
    step = {"x": node.x[:1], "h0": 0 * state}
    with pytest.raises(InputError, match="reads one step of the recurrence at a time"):
        truncate_file(tmp_path / "m.onnx", tmp_path / "a.onnx", k=2, data=step)
    done = truncate_file(tmp_path / "m.onnx", tmp_path / "a.onnx", k=2, data=given)
    assert (done.form, done.notes) == (
        "graph",
        ("the inputs h0 are gone: windows start from zeros",),
    )


def ran(*arguments, code=0):
    result = CliRunner().invoke(app, ["truncate", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_the_command_line_says_what_it_found(files, tmp_path):
    np.save(tmp_path / "x.npy", X[..., :2].numpy())
    given = (files[".pt"], "--data", tmp_path / "x.npy", "--out", tmp_path / "a.onnx")
    output = ran(*given, "--eps", "0.01", "--evidence", "measured")
    for said in ("k = ", "measured, in the recurrence's outputs", "error seen", "KiB", "ms"):
        assert said in output
    assert "is there already" in ran(*given, "-k", "3", code=2)
    assert "k = 3 inputs" in ran(*given, "-k", "3", "--overwrite")
    assert "give data" in ran(files[".pt"], "-k", "3", "--out", tmp_path / "b.onnx", code=2)


def test_the_command_line_times_a_whole_graph(tmp_path):
    path, node = whole_graph(tmp_path)
    np.savez(tmp_path / "x.npz", x=node.x)
    output = ran(path, "--data", tmp_path / "x.npz", "--out", tmp_path / "a.onnx", "-k", "4")
    assert "graph's output 'out'" in output
    assert "both in onnxruntime" in output
