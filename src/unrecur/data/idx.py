"""IDX files: the format of MNIST and its relatives."""

import math
from pathlib import Path

import numpy as np

from unrecur._check import CorruptFileError
from unrecur.data.places import read_bytes

LARGEST = 2**30  # bytes once inflated
MOST_DIMENSIONS = 8
# The third byte of a file says what its numbers are; all are big-endian.
_NUMBERS = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path) -> np.ndarray:
    """Read an array from an IDX file (LeCun, Cortes, Burges: the MNIST database).

    Two zero bytes, one for the kind of numbers and one for the number of dimensions; the sizes, 4
    bytes each; the numbers, the last index fastest. The file is not trusted: nothing is allocated
    but what it holds.

    Args:
        path: The file; one that ends in .gz is inflated.

    Returns:
        The array, in the byte order of the machine.

    Raises:
        CorruptFileError: It is no IDX file, truncated, damaged, or longer than it claims.
    """
    content = read_bytes(path, LARGEST)
    kind, dimensions = content[2:3], int.from_bytes(content[3:4])
    if content[:2] != b"\0\0" or not kind or kind[0] not in _NUMBERS:
        raise CorruptFileError(
            f"{path}: expected an IDX file, which begins with 00 00 and the kind of its numbers; "
            f"got {content[:4].hex(' ') or 'an empty file'}. Download it again."
        )
    start = 4 + 4 * dimensions
    if not 1 <= dimensions <= MOST_DIMENSIONS or len(content) < start:
        raise CorruptFileError(
            f"{path}: expected 1 to {MOST_DIMENSIONS} sizes in the first bytes, got {dimensions} "
            f"in a file of {len(content)} bytes. Download it again."
        )
    shape = np.frombuffer(content, ">u4", dimensions, 4).tolist()
    dtype = np.dtype(_NUMBERS[kind[0]])
    claimed = start + math.prod(shape) * dtype.itemsize
    if claimed != len(content):
        raise CorruptFileError(
            f"{path}: expected {claimed} bytes for an array {shape} of {dtype.name}, got "
            f"{len(content)}. Download it again."
        )
    return (
        np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))
    )
