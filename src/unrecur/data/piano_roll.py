"""Piano rolls: the chorales that come with the package, and the classical `.mat` files."""

import hashlib
import io
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from unrecur._check import CorruptFileError, InputError
from unrecur.data.task import SPLITS

KEYS = 88
MAT_KEYS = {"train": "traindata", "valid": "validdata", "test": "testdata"}
LARGEST_FILE = 2**28  # bytes on disk
LARGEST_CONTENT = 2**29  # bytes once inflated
MOST_SEQUENCES = 100_000

# Numbers of the MATLAB 5 format: kinds of elements, classes of matrices, a flag.
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_CELL, _NUMERIC = 1, range(6, 16)
_COMPLEX = 0x0800


def read_chorales() -> dict[str, list[np.ndarray]]:
    """Read the Bach chorales that come with the package; docs/data.md says where they are from.

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
    matrices [time, 88]. The file is not trusted, so scipy does not read it: one changed byte can
    make `scipy.io.loadmat` (1.17) crash the process or allocate what the file merely claims.

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
        cells = dict(_cell_arrays(content))
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


def _cell_arrays(content: bytes) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Read the three cell arrays of a MATLAB 5 file ("MAT-File Format", MathWorks, chapter 1).

    Nothing is allocated but what the file holds, and what it inflates to up to a limit.

    Args:
        content: The file.

    Yields:
        The name of each array and the matrices of its cells.

    Raises:
        CorruptFileError: It is no such file, or one of its elements is malformed.
    """
    if not content.startswith(b"MATLAB 5.0 MAT-file") or len(content) < 128:
        raise CorruptFileError("no header of a MATLAB 5 file")
    order = {b"IM": "<", b"MI": ">"}[content[126:128]]
    left = LARGEST_CONTENT
    for kind, body in _elements(memoryview(content)[128:], order):
        if kind == _COMPRESSED:
            inflated = _inflate(body, left)
            left -= len(inflated)
            [(kind, body)] = _elements(inflated, order)
        if kind != _MATRIX:
            raise CorruptFileError(f"an element of kind {kind} in the place of a matrix")
        name = bytes([part for _, part in _elements(body, order)][2]).decode("latin-1")
        if name in MAT_KEYS.values():
            yield name, _cells(body, order)


def _inflate(body: memoryview, limit: int) -> memoryview:
    """Inflate an element, and stop at the limit.

    Args:
        body: The deflated bytes.
        limit: The most bytes allowed.

    Returns:
        The inflated bytes.

    Raises:
        CorruptFileError: They are more, or the stream does not end.
    """
    inflater = zlib.decompressobj()
    inflated = inflater.decompress(body, limit + 1)  # 0 would mean no limit
    if not inflater.eof or len(inflated) > limit:
        raise CorruptFileError(f"truncated, or more than {LARGEST_CONTENT} bytes once inflated")
    return memoryview(inflated)


def _cells(body: memoryview, order: str) -> list[np.ndarray]:
    """Read the matrices of a cell array.

    Args:
        body: The element of the array.
        order: The byte order, "<" or ">".

    Returns:
        The matrices.

    Raises:
        CorruptFileError: It is no cell array, or claims another number of cells than it has.
    """
    flags, shape, _, *cells = (part for _, part in _elements(body, order))
    if _unsigned(flags, order) & 0xFF != _CELL:
        raise CorruptFileError("a variable is no cell array")
    claimed = math.prod(_shape(shape, order))
    if claimed != len(cells):
        raise CorruptFileError(f"{claimed} cells claimed, {len(cells)} there")
    return [_matrix(cell, order) for cell in cells]


def _matrix(body: memoryview, order: str) -> np.ndarray:
    """Read a full matrix of real numbers.

    Args:
        body: The element; empty for an empty matrix.
        order: The byte order.

    Returns:
        The matrix, a view of the bytes.

    Raises:
        CorruptFileError: It is something else (text, a structure, a sparse matrix, ...).
    """
    if not body:
        return np.zeros((0, 0), np.uint8)
    (_, flags), (_, shape), _, *data = _elements(body, order)
    bits = _unsigned(flags, order)
    if bits & 0xFF not in _NUMERIC or bits & _COMPLEX or len(data) != 1:
        raise CorruptFileError(f"no full matrix of real numbers (class {bits & 0xFF})")
    [(kind, numbers)] = data
    return np.frombuffer(numbers, order + _NUMBERS[kind]).reshape(_shape(shape, order), order="F")


def _shape(part: memoryview, order: str) -> tuple[int, ...]:
    """Read the sizes of a matrix; as unsigned numbers, none of which numpy takes for "the rest"."""
    return struct.unpack(f"{order}{len(part) // 4}I", part)


def _unsigned(part: memoryview, order: str) -> int:
    """Read the first four bytes as a number."""
    return struct.unpack(f"{order}I", part[:4])[0]


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Cut the content of a MATLAB 5 file, or of one of its elements, into elements.

    Args:
        data: The bytes.
        order: The byte order.

    Yields:
        The kind and the content of each element.

    Raises:
        CorruptFileError: The last one is truncated, or there are too many.
    """
    at = 0
    for _ in range(MOST_SEQUENCES):
        if at == len(data):
            return
        kind, size = struct.unpack_from(f"{order}II", data, at)
        at += 8
        if kind >> 16:  # a small element: its size beside its kind, its content in the tag
            yield kind & 0xFFFF, data[at - 4 : at - 4 + (kind >> 16)]
            continue
        body = data[at : at + size]
        if len(body) < size:
            raise CorruptFileError(f"truncated: {size} bytes expected, {len(body)} there")
        yield kind, body
        at += size if kind in {_MATRIX, _COMPRESSED} else size + -size % 8
    raise CorruptFileError(f"more than {MOST_SEQUENCES} elements")


def _summary(error: Exception) -> str:
    """Put an error in one line."""
    if isinstance(error, CorruptFileError):
        return str(error)
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def split_hash(sequences: Sequence[np.ndarray]) -> str:
    """Give the SHA-256 of sequences: of their number types, shapes and values, in order.

    Args:
        sequences: Arrays of numbers.

    Returns:
        64 hexadecimal digits; they change with any value, any boundary and the order.

    Example:
        >>> rolls = [np.eye(88, dtype=np.uint8)]
        >>> split_hash(rolls) == split_hash([rolls[0][:40], rolls[0][40:]])
        False
    """
    digest = hashlib.sha256()
    for sequence in sequences:
        # The shape says how many bytes follow, so no two lists of arrays give the same bytes.
        digest.update(f"{sequence.dtype.str}{sequence.shape};".encode())
        digest.update(sequence.tobytes())
    return digest.hexdigest()
