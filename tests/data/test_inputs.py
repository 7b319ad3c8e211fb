"""Inputs for an audit out of files, good and bad."""

import zipfile

import numpy as np
import polars
import pytest
import torch
from scipy.io import wavfile

from unrecur import CorruptFileError, InputError
from unrecur.data.inputs import read_inputs


@pytest.mark.parametrize("shape", [(5,), (5, 3), (2, 5, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, bool])
def test_arrays_become_sequences(shape, dtype, tmp_path):
    array = (10 * np.random.default_rng(0).random(shape)).astype(dtype)
    np.save(tmp_path / "x.npy", array)
    found = read_inputs(tmp_path / "x.npy")
    features = shape[-1] if len(shape) > 1 else 1
    assert [part.shape for part in found] == [(5, features)] * (shape[0] if len(shape) == 3 else 1)
    assert all(part.dtype is torch.float32 for part in found)
    expected = array.astype(np.float32).reshape(-1)
    assert torch.cat(found).flatten().tolist() == expected.tolist()


def test_several_arrays_keep_their_names(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.ones((4, 2)), state=np.zeros((1, 1, 8)))
    found = read_inputs(tmp_path / "x.npz")
    assert {name: array.shape for name, array in found.items()} == {"a": (4, 2), "state": (1, 1, 8)}


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.array([0, 16384, -32768], np.int16), [0, 0.5, -1]),
        (np.array([0, 2**30, -(2**31)], np.int32), [0, 0.5, -1]),
        (np.array([128, 192, 0], np.uint8), [0, 0.5, -1]),
        (np.array([0, 0.25, -1], np.float32), [0, 0.25, -1]),
    ],
)
def test_sound_is_scaled_to_one(samples, expected, tmp_path):
    wavfile.write(tmp_path / "x.wav", 8000, samples)
    [found] = read_inputs(tmp_path / "x.wav")
    assert found[:, 0].tolist() == expected


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_columns_of_numbers_are_features(suffix, tmp_path):
    table = polars.DataFrame({"when": ["a", "b"], "load": [1.5, 2.0], "day": [1, 2]})
    path = tmp_path / f"x.{suffix}"
    (table.write_csv if suffix == "csv" else table.write_parquet)(path)
    [found] = read_inputs(path)
    assert found.tolist() == [[1.5, 1.0], [2.0, 2.0]]


def write(path, content):
    path.write_bytes(content)
    return path


def bad_files(folder):
    np.save(folder / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(folder / "s.npy", np.array(["text"]))
    np.save(folder / "e.npy", np.ones((0, 3)))
    np.save(folder / "d.npy", np.ones((1, 2, 3, 4)))
    np.save(folder / "c.npy", np.ones(3, complex))
    polars.DataFrame({"a": ["x"]}).write_csv(folder / "w.csv")
    with zipfile.ZipFile(folder / "b.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", b"no array")
    whole = (folder / "d.npy").read_bytes()
    return {
        "pickled": (folder / "o.npy", CorruptFileError, "holds? numbers only"),
        "texts": (folder / "s.npy", InputError, "expected real numbers"),
        "empty": (folder / "e.npy", InputError, r"got the shape \[0, 3\]"),
        "four axes": (folder / "d.npy", InputError, r"got the shape \[1, 2, 3, 4\]"),
        "complex": (folder / "c.npy", InputError, "expected real numbers"),
        "no numbers": (folder / "w.csv", InputError, "columns of numbers"),
        "half": (write(folder / "h.npy", whole[:100]), CorruptFileError, "cannot be read"),
        "no zip": (write(folder / "z.npz", b"PK nothing"), CorruptFileError, "cannot be read"),
        "no array": (folder / "b.npz", CorruptFileError, "cannot be read"),
        "no sound": (write(folder / "n.wav", b"RIFFnothing"), CorruptFileError, "cannot be read"),
        "no table": (write(folder / "t.parquet", b"PAR1"), CorruptFileError, "cannot be read"),
        "text": (write(folder / "t.txt", b"words"), InputError, "write a hook"),
    }


@pytest.mark.parametrize(
    "case",
    [
        "pickled", "texts", "empty", "four axes", "complex", "no numbers", "half", "no zip",
        "no array", "no sound", "no table", "text",
    ],
)  # fmt: skip
def test_bad_files_are_one_clear_error(case, tmp_path):
    path, kind, message = bad_files(tmp_path)[case]
    with pytest.raises(kind, match=message):
        read_inputs(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_inputs(tmp_path / "x.npy")
