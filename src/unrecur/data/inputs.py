"""Inputs for a model out of a file: arrays, sound, tables. Nothing in a file is run."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrecur._check import CorruptFileError, InputError, extra
from unrecur.data.lines import check_file

LARGEST = 2**34  # bytes of an array that is read
KINDS = (".npy", ".npz", ".wav", ".csv", ".parquet")


def read_inputs(path: Path) -> list[Tensor] | dict[str, np.ndarray]:
    """Read the inputs of a model from a file.

    `.npy` holds a block [batch, time, features], a sequence [time, features], or one of a single
    feature [time]; `.wav` sound, [time, channels], whole numbers scaled to [-1, 1]; `.csv` and
    `.parquet` a table whose columns of numbers are the features and whose rows are the steps.
    `.npz` holds several arrays: they are given by name, for a graph with inputs of these names, or
    as sequences.

    Args:
        path: The file.

    Returns:
        The sequences, [time, features] each, in float32; of an `.npz` the arrays by name.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is of another kind, empty, or holds something else than numbers.
        CorruptFileError: It is damaged.
    """
    check_file(path)
    with path.open("rb"):
        pass
    suffix = path.suffix.lower()
    if suffix not in KINDS:
        raise InputError(
            f"{path}: expected inputs in one of {', '.join(KINDS)}, got '{suffix}'. For others, "
            "text and MIDI among them, write a hook (--hook): its inputs(path, model) makes them."
        )
    try:
        if suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                _check_size(sum(info.file_size for info in zipfile.ZipFile(path).infolist()), path)
                return {name: _numbers(file[name], path) for name in file.files}
        if suffix == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            _check_size(array.nbytes, path)
        elif suffix == ".wav":
            array = _read_sound(path)
        else:
            array = _read_table(path)
    except InputError:
        raise
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise CorruptFileError(
            f"{path} cannot be read as {suffix} ({error}). Is it whole, and does it hold numbers "
            "only?"
        ) from error
    return sequences_in(_numbers(array, path), path)


def sequences_in(array: np.ndarray, path: Path) -> list[Tensor]:
    """Read an array as sequences.

    Args:
        array: [batch, time, features], [time, features] or [time].
        path: Where it comes from, for the message.

    Returns:
        The sequences, [time, features] each.

    Raises:
        InputError: It has another number of dimensions, or is empty.
    """
    if array.ndim not in (1, 2, 3) or array.size == 0:
        raise InputError(
            f"{path}: expected a block [batch, time, features], a sequence [time, features] or "
            f"[time], got the shape {list(array.shape)}."
        )
    block = array[:, None] if array.ndim == 1 else array
    whole = torch.from_numpy(np.array(block, dtype=np.float32))  # a copy: files are mapped
    return list(whole if whole.dim() == 3 else whole[None])


def _check_size(size: int, path: Path) -> None:
    """Check that an array is not too large to be read."""
    if size > LARGEST:
        raise InputError(f"{path}: expected at most {LARGEST:,} bytes, got {size:,}.")


def _numbers(array: Any, path: Path) -> np.ndarray:
    """Check that an array holds real numbers; numpy hands out what is no array as bytes."""
    if not isinstance(array, np.ndarray):
        raise CorruptFileError(f"{path} cannot be read: it holds something else than arrays.")
    if array.dtype.kind not in "fiub":
        raise InputError(f"{path}: expected real numbers, got an array of {array.dtype}.")
    return array


def _read_sound(path: Path) -> np.ndarray:
    """Read a sound file; samples of whole numbers are scaled to [-1, 1]."""
    from scipy.io import wavfile

    _, samples = wavfile.read(path)
    if samples.dtype.kind == "u":  # 8 bits have their zero in the middle
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    return samples


def _read_table(path: Path) -> np.ndarray:
    """Read the columns of numbers of a table."""
    polars = extra("polars", "tables")
    read = polars.read_csv if path.suffix.lower() == ".csv" else polars.read_parquet
    try:
        table = read(path).select(polars.selectors.numeric() | polars.selectors.boolean())
    except polars.exceptions.PolarsError as error:
        raise CorruptFileError(f"{path} cannot be read as a table ({error}).") from error
    if not table.width or not table.height:
        raise InputError(f"{path}: expected columns of numbers with rows, got {table.shape}.")
    return table.to_numpy().astype(np.float32)
