"""Which part of a set is held out: decided by content, not by order or by chance."""

import hashlib
from collections.abc import Sequence

import numpy as np

from unrecur._check import InputError


def held_out(keys: Sequence[bytes], share: float) -> np.ndarray:
    """Choose a share of a set: the keys whose SHA-256 is least.

    The choice is the same in every run and on every machine, whatever the order of the keys. Equal
    keys stay together, so that no key is on both sides.

    Args:
        keys: What identifies each one.
        share: The share to hold out, above 0 and below 1: about as many keys, at least 1, and never
            all of the different ones.

    Returns:
        For each key, whether it is held out.

    Raises:
        InputError: There are fewer than two different keys.

    Example:
        >>> held_out([b"a", b"b", b"a", b"c"], 0.25).tolist()
        [False, False, False, True]
    """
    order = sorted(set(keys), key=lambda key: hashlib.sha256(key).digest())
    if len(order) < 2:
        raise InputError(
            f"expected two different ones or more, to hold out a part, got {len(order)}. Give the "
            "split yourself."
        )
    count = min(len(order) - 1, max(1, round(share * len(order))))
    chosen = set(order[:count])
    return np.array([key in chosen for key in keys])
