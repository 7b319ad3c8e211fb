"""MATLAB 5 files: their cell arrays of matrices, read from bytes that nobody vouches for.

`scipy.io.loadmat` (1.17) does not do here: one changed byte can make it crash the process, or
allocate what the file merely claims (docs/decisions/0002).
"""

import math
import struct
import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from unrecur._check import CorruptFileError

LARGEST_CONTENT = 2**29  # bytes once inflated
MOST_ELEMENTS = 100_000

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


def cell_arrays(content: bytes, names: Iterable[str]) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Read some cell arrays of a MATLAB 5 file ("MAT-File Format", MathWorks, chapter 1).

    Nothing is allocated but what the file holds, and what it inflates to up to a limit.

    Args:
        content: The file.
        names: The names of the arrays wanted.

    Yields:
        The name of each array and the matrices of its cells.

    Raises:
        CorruptFileError: It is no such file, or one of its elements is malformed.
    """
    if not content.startswith(b"MATLAB 5.0 MAT-file") or len(content) < 128:
        raise CorruptFileError("no header of a MATLAB 5 file")
    order = {b"IM": "<", b"MI": ">"}[content[126:128]]
    wanted, left = set(names), LARGEST_CONTENT
    for kind, body in _elements(memoryview(content)[128:], order):
        if kind == _COMPRESSED:
            inflated = _inflate(body, left)
            left -= len(inflated)
            [(kind, body)] = _elements(inflated, order)
        if kind != _MATRIX:
            raise CorruptFileError(f"an element of kind {kind} in the place of a matrix")
        name = bytes([part for _, part in _elements(body, order)][2]).decode("latin-1")
        if name in wanted:
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
    for _ in range(MOST_ELEMENTS):
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
    raise CorruptFileError(f"more than {MOST_ELEMENTS} elements")
