"""What holds for all formats: how a reader is chosen, and what is imported when."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from unrecur import InputError, _check
from unrecur.interop.read import READERS, read_recurrences
from unrecur.interop.recurrence import Recurrence, add


def test_a_missing_file_is_told_as_such(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_recurrences(tmp_path / "m.onnx")
    (tmp_path / "m.onnx").mkdir()
    with pytest.raises(OSError, match="directory"):
        read_recurrences(tmp_path / "m.onnx")


@pytest.mark.parametrize("name", ["m.tflite", "m", "m.pt.gz"])
def test_an_unknown_ending_is_refused(name, tmp_path):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=r"ending in one of \.safetensors, \.pt.*Rename"):
        read_recurrences(tmp_path / name)


def test_endings_are_read_in_any_case_and_paths_as_text(tmp_path):
    torch.save(nn.GRU(2, 3).state_dict(), tmp_path / "M.PT")
    [found] = read_recurrences(str(tmp_path / "M.PT"))
    assert found.source == str(tmp_path / "M.PT")


@pytest.mark.parametrize("suffix", READERS)
def test_an_empty_or_foreign_file_is_refused_by_every_reader(suffix, tmp_path):
    for content in (b"", b"\0" * 1000, b"PK\x03\x04" + bytes(30), b"<html>not found</html>"):
        (tmp_path / f"m{suffix}").write_bytes(content)
        with pytest.raises(InputError, match=rf"m\{suffix}: "):
            read_recurrences(tmp_path / f"m{suffix}")


def test_importing_is_cheap_and_bare_formats_need_no_extra():
    code = (
        "import sys, unrecur.interop.read\n"
        "import unrecur.interop.onnx_graph\n"
        "print(sorted({'onnx', 'onnxruntime', 'h5py', 'keras'} & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr
    code = "import sys, unrecur.interop; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr


@pytest.mark.parametrize(("name", "module"), [("m.onnx", "onnx"), ("m.h5", "h5py")])
def test_a_missing_extra_is_named_with_the_cure(name, module, tmp_path, monkeypatch):
    (tmp_path / name).write_bytes(b"x")
    monkeypatch.setitem(sys.modules, module, None)
    message = rf"needs the package {module}.*pip install 'unrecur\[interop\]'"
    with pytest.raises(InputError, match=message):
        read_recurrences(tmp_path / name)
    with pytest.raises(InputError, match=message):
        _check.extra(f"{module}.inner", "interop")


def test_names_are_unique():
    found = {}
    for _ in range(3):
        add(found, "a", lambda: Recurrence("", []))
    assert list(found) == ["a", "a#2", "a#3"]
