"""Quantised graphs: smaller, and their stated error is the one that is there."""

import numpy as np
import pytest
import torch

import unrecur
from small import small_task
from unrecur._check import CorruptFileError, InputError
from unrecur.exports.export import export
from unrecur.exports.graph import Graph
from unrecur.exports.quantize import quantize

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A step graph, and what feeds it."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("graphs")
    model = unrecur.build("elman", in_features=5, out_features=4, hidden=64)
    return model.eval(), export(model, folder / "step.onnx", "step").path


@pytest.mark.parametrize("method", ["dynamic", "static"])
def test_the_error_stated_is_the_error(files, method, tmp_path):
    model, path = files
    x = torch.rand(2, 20, 5)
    found = quantize(path, tmp_path / "q.onnx", x, method)
    with torch.no_grad():
        expected = model(x)[0].numpy()
    content = (tmp_path / "q.onnx").read_bytes()
    gap = np.abs(Graph(content).run(x.numpy())[0] - expected)
    assert found.largest == pytest.approx(gap.max(), abs=1e-5)
    assert found.mean == pytest.approx(gap.mean(), abs=1e-5)
    assert 0 < found.mean < found.largest < 0.1
    assert found.bytes_after == len(content) < 0.6 * found.bytes_before
    assert found.bytes_before == path.stat().st_size
    assert min(found.seconds_before, found.seconds_after) > 0
    kept = {item.key: item.value for item in onnx.load_from_string(content).metadata_props}
    assert kept["unrecur.quantized"] == f"{method} int8"
    assert kept["unrecur.sha256"]
    assert f"{method} int8" in str(found)


def test_a_quantised_window_is_the_quantised_step_folded(files, tmp_path):
    model, path = files
    # Its steps share their weights; a square one that each of four transposes would be itself.
    window = export(model, tmp_path / "w.onnx", "window", k=4).path
    x = torch.rand(3, 4, 5)
    for source, out in ((window, "wq.onnx"), (path, "sq.onnx")):
        quantize(source, tmp_path / out, x)
    y, _ = Graph((tmp_path / "wq.onnx").read_bytes()).run(x.numpy())
    folded, _ = Graph((tmp_path / "sq.onnx").read_bytes()).run(x.numpy())
    np.testing.assert_allclose(y, folded[:, -1], rtol=0, atol=1e-5)
    with torch.no_grad():
        assert np.abs(y - model(x)[0][:, -1].numpy()).max() > 1e-4  # it is quantised


def test_a_task_calibrates(files, tmp_path):
    _, path = files
    task = small_task()
    found = quantize(path, tmp_path / "q.onnx", task, "static")
    rows = [task.pair("train", number)[0] for number in range(len(task.splits["train"]))]
    again = quantize(path, tmp_path / "r.onnx", rows, "static")
    assert (found.largest, found.mean) == (again.largest, again.mean)


@pytest.mark.parametrize(("form", "k"), [("step", None), ("block", None), ("window", 4)])
def test_both_graphs_are_scored_on_a_task(form, k, tmp_path, unchecked):
    """The test split is small enough to be scored whole; a window is, from its k-th step on."""
    torch.manual_seed(0)
    task = small_task()
    model = unrecur.build("elman", in_features=5, out_features=5, hidden=64).eval()
    export(model, tmp_path / "m.onnx", form, k=k)
    before = Graph((tmp_path / "m.onnx").read_bytes()).metric(task)
    seen = unrecur.truncate(model, k=k) if k else model
    losses = []
    for number in range(len(task.splits["test"])):
        x, target = task.pair("test", number)
        with torch.no_grad():
            losses += task.step_loss(seen(x[None])[0], target[None])[0, (k or 1) - 1 :].tolist()
    assert before == pytest.approx(np.mean(losses), rel=1e-5)
    if form != "block":  # a recurrent node is not quantised
        found = quantize(tmp_path / "m.onnx", tmp_path / "q.onnx", task)
        assert found.metric_before == before
        assert found.metric_after == pytest.approx(before, rel=0.05)
        assert found.metric_after != before
        assert "metric" in str(found)


def test_what_cannot_be_quantised_leaves_nothing(files, tmp_path, unchecked):
    _, path = files
    out = tmp_path / "q.onnx"
    with pytest.raises(InputError, match="unknown method"):
        quantize(path, out, method="int4")
    with pytest.raises(InputError, match="expected samples"):
        quantize(path, out, method="static")
    with pytest.raises(InputError, match="samples: expected"):
        quantize(path, out, torch.rand(2, 3))
    with pytest.raises(FileNotFoundError):
        quantize(tmp_path / "none.onnx", out)
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    with pytest.raises(CorruptFileError, match=r"unrecur\.export"):
        quantize(tmp_path / "bad.onnx", out)
    out.write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        quantize(path, out)
    assert out.read_text() == "mine"


def test_a_graph_without_products_is_refused(tmp_path):
    helper = onnx.helper
    info = helper.make_tensor_value_info
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Tanh", ["x"], ["y"])],
        "tanh",
        [info("x", float32, ["batch", "time", 2])],
        [info("y", float32, ["batch", "time", 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {"unrecur.form": "block"})
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(InputError, match="no node of the graph can be quantised"):
        quantize(tmp_path / "m.onnx", tmp_path / "q.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
