"""Piano rolls: the chorales that come with the package, and the classical `.mat` files."""

import io
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from unrecur._check import CorruptFileError, InputError
from unrecur.data.matlab import cell_arrays
from unrecur.data.sequences import SPLITS

KEYS = 88
MAT_KEYS = {"train": "traindata", "valid": "validdata", "test": "testdata"}
LARGEST_FILE = 2**28  # bytes on disk


def read_chorales() -> dict[str, list[np.ndarray]]:
    """Read the Bach chorales that come with the package; docs/chorales.md says where they are from.

    Returns:
        For "train", "valid" and "test" the rolls [time, 88], uint8, zeros and ones.

    Raises:
        CorruptFileError: The file is missing or damaged.
    """
    try:
        content = resources.files("unrecur.data").joinpath("chorales.npz").read_bytes()
        return _unpack(content)
    # A damaged file makes zip, zlib and numpy raise a dozen kinds of errors; all mean the same.
    except Exception as error:
        raise CorruptFileError(
            "expected chorales.npz, the chorales that come with unrecur, whole; got a file that "
            f"cannot be read ({_summary(error)}). Reinstall unrecur."
        ) from error


def _unpack(content: bytes) -> dict[str, list[np.ndarray]]:
    """Give the rolls of a file that tools/build_chorales.py wrote.

    Args:
        content: The file.

    Returns:
        The rolls of each split.

    Raises:
        CorruptFileError: The arrays do not fit together.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        rolls, offsets, split = arrays["rolls"], arrays["offsets"], arrays["split"]
    frames = np.unpackbits(rolls, axis=1)
    lengths = np.diff(offsets)
    whole = frames.shape[1] == KEYS and len(offsets) == len(split) + 1
    if not whole or offsets[0] != 0 or offsets[-1] != len(frames) or lengths.min() < 2:
        raise CorruptFileError("its arrays do not fit together")
    if set(split.tolist()) != set(range(len(SPLITS))):
        raise CorruptFileError("its splits are not three")
    pieces = np.split(frames, offsets[1:-1])
    return {
        name: [piece for piece, at in zip(pieces, split, strict=True) if at == number]
        for number, name in enumerate(SPLITS)
    }


def read_mat(path: Path) -> dict[str, list[np.ndarray]]:
    """Read one of the classical sets of piano rolls (Boulanger-Lewandowski et al. 2012).

    These are MATLAB 5 files with three cell arrays, `traindata`, `validdata` and `testdata`, of
    matrices [time, 88]. The file is not trusted.

    Args:
        path: The file.

    Returns:
        For "train", "valid" and "test" the rolls [time, 88], uint8, zeros and ones.

    Raises:
        CorruptFileError: The file is truncated, damaged, too large or of another format.
        InputError: A cell array is missing or empty, or a roll is not [time >= 2, 88] of zeros and
            ones.
    """
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise CorruptFileError(
            f"{path}: expected piano rolls in at most {LARGEST_FILE} bytes, got {size}. Download "
            "the file again."
        )
    content = path.read_bytes()
    try:
        cells = dict(cell_arrays(content, MAT_KEYS.values()))
    # A damaged file makes zlib, struct and numpy raise a dozen kinds of errors.
    except Exception as error:
        raise CorruptFileError(
            f"{path}: expected a MATLAB 5 file of piano rolls, whole; got a file that cannot be "
            f"read ({_summary(error)}). Download it again, or save it with '-v7'."
        ) from error
    return {
        split: _rolls(cells.get(key, []), f"{path.name}, {key}") for split, key in MAT_KEYS.items()
    }


def _rolls(cells: Sequence[np.ndarray], name: str) -> list[np.ndarray]:
    """Check and convert the rolls of one cell array.

    Args:
        cells: The matrices of the cells.
        name: What it is, for the message.

    Returns:
        The rolls.

    Raises:
        InputError: There are none, or one is malformed.
    """
    if not cells:
        raise InputError(
            f"{name}: expected a cell array with a roll in each cell; it is missing or empty. The "
            f"file needs {', '.join(MAT_KEYS.values())}."
        )
    return [_roll(cell, f"{name}, sequence {number}") for number, cell in enumerate(cells)]


def _roll(cell: np.ndarray, name: str) -> np.ndarray:
    """Check and convert one roll.

    Args:
        cell: The matrix of a cell.
        name: What it is, for the message.

    Returns:
        The roll, [time, 88] of uint8.

    Raises:
        InputError: It is not [time >= 2, 88] of zeros and ones.
    """
    if cell.ndim != 2 or cell.shape[1] != KEYS or len(cell) < 2:
        raise InputError(
            f"{name}: expected a roll [time >= 2, {KEYS}], got {list(cell.shape)}. "
            "Time goes down the rows; drop sequences of one frame."
        )
    wrong = ~((cell == 0) | (cell == 1))  # NaN is neither
    if wrong.any():
        raise InputError(
            f"{name}: expected zeros and ones, got {cell[wrong][0]}. Binarise the roll first."
        )
    return np.ascontiguousarray(cell, dtype=np.uint8)


def _summary(error: Exception) -> str:
    """Put an error in one line."""
    if isinstance(error, CorruptFileError):
        return str(error)
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
