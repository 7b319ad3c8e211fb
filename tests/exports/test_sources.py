"""Models that start from a source: an encode file and a step or block file run like the model."""

import numpy as np
import pytest
import torch

import unrecur
from cases import FEATURES, TRANSLATION_SPECS
from unrecur._check import InputError
from unrecur.core.state import leaves
from unrecur.exports.export import export
from unrecur.exports.quantize import quantize
from unrecur.streams.stream import stream

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

READER = "dgcnn"
QUICK = [("convs2s", "step"), ("transformer_pair", "block")]
ALL = [(name, form) for name in TRANSLATION_SPECS for form in ("step", "block")]
CASES = [
    *QUICK,
    *(
        pytest.param(*case, marks=pytest.mark.slow)
        for case in [*ALL, (READER, "block")]
        if case not in QUICK
    ),
]


def made(name):
    torch.manual_seed(0)
    if name == READER:
        return unrecur.build("dgcnn", in_features=9, out_features=2, hidden=8).eval()
    return TRANSLATION_SPECS[name].build().eval()


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(("name", "form"), CASES)
def test_two_files_run_like_the_model(name, form, tmp_path, unchecked):
    model = made(name)
    first = export(model, tmp_path / "encode.onnx", "encode")
    then = export(model, tmp_path / "then.onnx", form)
    assert [port.name for port in first.outputs] == [port.name for port in then.inputs[1:]]
    assert first.metadata["unrecur.source"] == str(model.source_features)
    encode, go_on = session(first.path), session(then.path)
    names = [port.name for port in first.outputs]
    for batch, steps, time in ((1, 1, 1), (2, 3, 2), (3, 4, 4)):
        generator = torch.Generator().manual_seed(time)
        source = torch.randint(model.source_features, (batch, steps), generator=generator)
        x = torch.randint(model.in_features, (batch, time), generator=generator)
        with torch.no_grad():
            y, state = model(x, model.encode(source))
        held = encode.run(names, {"source": source.numpy()})
        fed = [x] if form == "block" else x.unbind(1)
        found = []
        for part in fed:
            out, *held = go_on.run(None, {"x": part.numpy(), **dict(zip(names, held, strict=True))})
            found.append(out if form == "block" else out[:, None])
        np.testing.assert_allclose(np.concatenate(found, 1), y, rtol=0, atol=1e-5)
        for got, wanted in zip(held, leaves(state), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5)


def test_a_pt2_file_encodes_too(tmp_path, unchecked):
    written = export(made("convs2s"), tmp_path / "encode.pt2", "encode")
    assert written.largest < 1e-5


def test_forms_that_a_source_rules_out_are_refused(tmp_path, unchecked):
    model = made("convs2s")
    path = tmp_path / "m.onnx"
    with pytest.raises(InputError, match="a window of inputs does not hold"):
        export(model, path, "window", k=3)
    plain = unrecur.build("gru", in_features=FEATURES, out_features=2, hidden=4)
    with pytest.raises(InputError, match="starts from no source"):
        export(plain, path, "encode")
    assert not path.exists()
    export(model, path, "step")
    with pytest.raises(InputError, match="starts from a source"):
        stream(path)
    with pytest.raises(InputError, match="starts from a source"):
        quantize(path, tmp_path / "small.onnx")
