"""What identifies the data of a split."""

import hashlib
from collections.abc import Sequence

import numpy as np


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
