"""Files that are written run like their models; what cannot be written leaves nothing behind."""

import math
import shutil

import numpy as np
import pytest
import torch

import unrecur
from cases import BLOCK_SPECS, FEATURES, FITTED_SPECS, SPECS, TOKEN_SPECS
from test_contract import filled, fitted
from unrecur._check import InputError
from unrecur.core.equivalence import fold_steps
from unrecur.core.state import leaves
from unrecur.exports.export import export
from unrecur.exports.forms import state_names
from unrecur.exports.onnx_program import session_of
from unrecur.exports.unrolled import RECURRENT
from unrecur.layers.positions import Positions
from unrecur.truncation.window import Window

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
K = 5
# What a runtime for small devices has: products, convolutions, pointwise functions, and moving
# numbers about.
FEED_FORWARD = {
    *("Add", "Sub", "Mul", "Sigmoid", "Tanh", "Relu", "Gemm", "MatMul", "Conv"),
    *("Concat", "Gather", "Slice", "Split", "Transpose", "Shape", "ConstantOfShape"),
}
# One of each kind; the rest of the zoo takes minutes.
QUICK = [
    ("lstm", "block"),
    ("min_gru", "step"),
    ("tcn", "window"),
    ("transformer-tied", "window"),  # of tokens
]
ZOO = {**SPECS, **BLOCK_SPECS, **TOKEN_SPECS, **FITTED_SPECS}
AHEAD = {"transformer_encoder-of-tokens", "hierarchical_attention-of-tokens"}
COUNTED = {"unigram", "trigram"}
# These look ahead, or group the steps of a block by its length, or look up what was counted.
WITHOUT = {
    "step": {*BLOCK_SPECS, *AHEAD, *COUNTED},
    "block": {"hierarchical_attention", "hierarchical_attention-of-tokens", *COUNTED},
    "window": {*BLOCK_SPECS, *AHEAD, *COUNTED},
}
ALL = [(name, form) for name in ZOO for form in WITHOUT]
CASES = [
    *QUICK,
    *(pytest.param(*case, marks=pytest.mark.slow) for case in ALL if case not in QUICK),
]


def made(name):
    """A model of the zoo whose weights are random."""
    torch.manual_seed(0)
    return (fitted if name in FITTED_SPECS else filled)(ZOO[name])().eval()


def inputs_for(model, batch, time):
    generator = torch.Generator().manual_seed(3)
    if model.takes_tokens:
        return torch.randint(model.in_features, (batch, time), generator=generator)
    return torch.rand(batch, time, FEATURES, generator=generator)


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def window_of(model):
    return K if math.isinf(model.receptive_field.past) else None


@pytest.mark.parametrize(("name", "form"), CASES)
def test_a_file_runs_like_its_model(name, form, tmp_path, unchecked):
    model, path = made(name), tmp_path / "m.onnx"
    k = window_of(model) if form == "window" else None
    if name in WITHOUT[form]:
        with pytest.raises(InputError):
            export(model, path, form, k=k)
        assert not list(tmp_path.iterdir())
        return
    written = export(model, path, form, k=k)
    assert len({(check.batch, check.time) for check in written.checks}) >= 3
    onnx.checker.check_model(onnx.load(path), full_check=True)
    run = session(path)
    assert [item.name for item in run.get_inputs()] == [port.name for port in written.inputs]
    for batch in (1, 3):
        for time in (1, 2, 63) if form != "window" else [int(written.metadata["unrecur.k"])]:
            compare(run, model, form, inputs_for(model, batch, time))


def compare(run, model, form, x):
    """Hold a session to the model, by code of its own: not that of the export."""
    names = [f"state.{place}" if place else "state" for place in state_names(model.init_state(1))]
    start = leaves(model.init_state(len(x)))
    feeds = {"x": x.numpy()}
    tables = [m.longest for m in model.modules() if isinstance(m, Positions) and m.table]
    if x.shape[1] > min(tables, default=math.inf):
        return
    with torch.no_grad():
        y, state = fold_steps(model, x) if form == "step" else model(x)
    if form == "window":
        np.testing.assert_allclose(run.run(["y"], feeds)[0], y[:, -1], rtol=0, atol=1e-4)
        return
    feeds |= {name: leaf.numpy() for name, leaf in zip(names, start, strict=True)}
    outputs = []
    for x_t in x.unbind(1) if form == "step" else [x]:
        got = run.run(None, feeds | {"x": x_t.numpy()})
        outputs.append(got[0])
        feeds |= dict(zip(names, got[1:], strict=True))
    got = np.stack(outputs, 1) if form == "step" else outputs[0]
    np.testing.assert_allclose(got, y, rtol=1e-4, atol=1e-4)
    for name, leaf in zip(names, leaves(state), strict=True):
        np.testing.assert_allclose(feeds[name], leaf, rtol=1e-4, atol=1e-4)


def test_a_window_carries_its_bound_and_no_recurrence(tmp_path, unchecked):
    torch.manual_seed(0)
    model = unrecur.build("gru", in_features=FEATURES, out_features=2, hidden=4, layers=2)
    unrecur.project_(model, (-1, 1), rate=0.7)
    short = unrecur.truncate(model, eps=1e-2, input_box=(-1, 1))
    x = 2 * torch.rand(2, 80, FEATURES) - 1
    written = export(short, tmp_path / "m.onnx", "window", samples=x)
    assert not RECURRENT & {*written.operators}
    assert {*written.operators} <= FEED_FORWARD
    kept = {item.key: item.value for item in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert kept == written.metadata
    assert int(kept["unrecur.k"]) == short.k
    assert float(kept["unrecur.bound"]) == short.bound <= 1e-2
    assert kept["unrecur.evidence"] == "proved"
    assert kept["unrecur.version"] == unrecur.__version__
    run, whole = session(tmp_path / "m.onnx"), model.eval()(x)[0]
    for t in range(short.k, 80, 7):
        (y,) = run.run(None, {"x": x[:, t - short.k : t].numpy()})
        assert np.abs(y - whole[:, t - 1].detach().numpy()).max() <= short.bound


@pytest.mark.parametrize("form", ["window", "block", "step"])
def test_a_program_of_torch_runs_like_the_model(form, tmp_path, unchecked):
    torch.manual_seed(0)
    model = unrecur.build("gru", in_features=FEATURES, out_features=2, hidden=4).eval()
    x = torch.rand(3, 2, FEATURES)
    written = export(model, tmp_path / "m.pt2", form, k=2 if form == "window" else None)
    program = torch.export.load(tmp_path / "m.pt2")
    assert any("scan" in node.name for node in program.graph.nodes) == (form == "block")
    module = program.module()
    start = leaves(model.init_state(3))
    y, state = model(x)
    if form == "step":
        y, state = model.step(x[:, 0])
    got = {
        "block": lambda: module(x, *start),
        "step": lambda: module(x[:, 0], *start),
        "window": lambda: module(x),
    }[form]()
    expected = [y[:, -1]] if form == "window" else [y, *leaves(state)]
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    assert (written.opset, written.form) == (None, form)


@needs_compiler
@pytest.mark.parametrize("form", ["window", pytest.param("step", marks=pytest.mark.slow)])
def test_a_program_compiled_ahead_of_time_runs_like_the_model(form, tmp_path, unchecked):
    torch.manual_seed(0)
    model = unrecur.build("elman", in_features=FEATURES, out_features=2, hidden=4).eval()
    written = export(model, tmp_path / "m.pt2", form, k=2 if form == "window" else None, aot=True)
    package = torch._inductor.aoti_load_package(str(written.path))
    assert package.get_metadata().items() >= written.metadata.items()
    x, start = torch.rand(3, 2, FEATURES), leaves(model.init_state(3))
    y, state = model(x) if form == "window" else model.step(x[:, 0])
    got = package(x) if form == "window" else package(x[:, 0], *start)
    expected = [y[:, -1]] if form == "window" else [y, *leaves(state)]
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_what_cannot_be_compiled_leaves_nothing(tmp_path, unchecked, monkeypatch):
    refuse("for .pt2 files", tmp_path, made("elman"), "m.onnx", aot=True)
    # A loop over a free number of steps is what torch cannot compile yet.
    refuse("torch cannot export .* as block", tmp_path, made("lstm"), "m.pt2", "block", aot=True)
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("no-such-compiler",))
    refuse("takes a C\\+\\+ compiler", tmp_path, made("elman"), "m.pt2", aot=True)


def test_float64_is_written_where_onnxruntime_runs_it(tmp_path, unchecked):
    torch.manual_seed(0)
    model = unrecur.build("elman", in_features=2, out_features=1, hidden=3).double()
    written = export(model, tmp_path / "m.onnx", "step")
    assert written.inputs[0].dtype == "float64"
    assert written.largest < 1e-12
    helper = onnx.helper
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, None) for name in "xwy"]
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "convolution", ends[:2], ends[2:])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    with pytest.raises(InputError, match=r"(?s)onnxruntime cannot run the graph.*model\.float"):
        session_of(content.SerializeToString())


def test_samples_are_run_too(tmp_path, unchecked):
    rows = [torch.rand(time, FEATURES) for time in (4, 9)]
    written = export(made("markov"), tmp_path / "m.pt2", "step", samples=rows)
    assert [(c.batch, c.time) for c in written.checks if c.inputs == "samples"] == [(1, 4), (1, 9)]
    assert str(written).startswith(f"{tmp_path / 'm.pt2'}: step form, largest difference")


def refuse(match, tmp_path, model, name="m.onnx", form="step", **options):
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(InputError, match=match):
        export(model, tmp_path / name, form, **options)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_what_cannot_be_written_leaves_nothing(tmp_path, unchecked):
    model = made("gru")
    refuse("unknown form", tmp_path, model, form="blok")
    refuse(r"\.onnx or \.pt2", tmp_path, model, "m.pb")
    refuse("opset from 18", tmp_path, model, opset=9)
    refuse("opset from 18", tmp_path, model, opset=999)
    refuse("needs k", tmp_path, model, form="window")
    refuse("k must be a whole number", tmp_path, model, form="window", k=0)
    refuse("truncated to k=3, got k=4", tmp_path, Window(model, 3), form="window", k=4)
    refuse("k and a certificate are for", tmp_path, model, k=3)
    refuse("cannot answer step by step", tmp_path, made("transformer_encoder"))
    refuse("inputs ahead", tmp_path, made("bidirectional_gru"), form="window", k=3)
    refuse("float16", tmp_path, made("gru").half())
    refuse("samples: expected a block", tmp_path, model, samples=torch.rand(2, 5, FEATURES + 1))
    refuse(
        "samples: expected finite", tmp_path, model, samples=torch.full((1, 2, FEATURES), torch.nan)
    )
    broken = made("gru")
    next(broken.parameters()).data[0, 0] = torch.nan
    refuse("the weight .* must be finite", tmp_path, broken)
    (tmp_path / "there.onnx").write_text("mine")
    refuse("is there already", tmp_path, model, "there.onnx")
    refuse("cannot be written", tmp_path, model, "there.onnx/m.onnx")


def test_a_file_is_replaced_only_on_demand(tmp_path, unchecked):
    path = tmp_path / "m.pt2"
    path.write_text("mine")
    export(made("frequencies"), path, "step", overwrite=True)
    assert path.stat().st_size > 100


def test_a_full_disk_or_a_read_only_folder_leaves_nothing(tmp_path, unchecked, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("unrecur._files.os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        export(made("frequencies"), tmp_path / "m.pt2", "step")
    assert not list(tmp_path.iterdir())
