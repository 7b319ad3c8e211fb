"""Token ids on disk: written once, mapped into memory, read where they are needed."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from unrecur._check import CorruptFileError, InputError
from unrecur.data.sequences import Pair

HEADER = 4096  # bytes before the ids
SAMPLES, SAMPLE = 256, 2**14  # so many stretches of so many bytes are checked when a file is opened


@dataclass(frozen=True)
class TokenFile:
    """Token ids on disk, mapped into memory when first read.

    It is pickled without the map, so that a worker process opens its own.

    Attributes:
        path: The file.
        dtype: The type of an id in it.
        count: How many there are.
        facts: What else is stored with them.
    """

    path: Path
    dtype: str
    count: int
    facts: Mapping[str, Any]

    @cached_property
    def ids(self) -> np.ndarray:
        """The ids; what is not touched is not read."""
        return np.memmap(self.path, self.dtype, "r", HEADER, (self.count,))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "ids"}


def open_tokens(path: Path) -> TokenFile:
    """Open a file of token ids, and check that it is whole.

    Checked are the SHA-256 of the header, the size, and the SHA-256 of 256 evenly spaced stretches
    of 16 KiB: all of a file of up to 4 MiB. That finds what happens to files (cut short, holes
    where blocks never reached the disk, something else under the name) in milliseconds; a hash of
    all of 20 GB would take longer than the first batches. A lone wrong id between the stretches is
    not found here; one outside the vocabulary is found by the task when it is read.

    Args:
        path: The file.

    Returns:
        The ids.

    Raises:
        FileNotFoundError: There is none.
        CorruptFileError: It is damaged.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "some.tokens"
        >>> _ = write_tokens(path, [np.array([3, 1]), np.array([4])], vocabulary=5)
        >>> open_tokens(path).ids.tolist()
        [3, 1, 4]
    """
    with path.open("rb") as file:
        header = unseal(file.read(HEADER), path)
        size = HEADER + header["count"] * np.dtype(header["dtype"]).itemsize
        if path.stat().st_size != size:
            raise CorruptFileError(f"{path}: expected {size} bytes, got {path.stat().st_size}.")
        if _samples(file, size) != header["samples"]:
            raise CorruptFileError(f"{path}: its content is not what was written.")
    return TokenFile(path, header["dtype"], header["count"], header["facts"])


def write_tokens(
    path: Path,
    blocks: Iterable[np.ndarray],
    vocabulary: int,
    facts: Mapping[str, Any] | None = None,
) -> TokenFile:
    """Write token ids as they come; at every moment the path holds nothing, the old file or all.

    Args:
        path: Where to; the folder must exist.
        blocks: The ids, in order.
        vocabulary: All ids are below.
        facts: What else is stored, as JSON; looked at when all ids are written.

    Returns:
        The ids.

    Raises:
        OSError: A full disk, no permission, ...; nothing is left behind.
    """
    dtype = np.dtype("<u2" if vocabulary <= 2**16 else "<u4")
    count = 0
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w+b") as file:
            file.write(bytes(HEADER))
            for ids in blocks:
                file.write(ids.astype(dtype, copy=False).tobytes())
                count += len(ids)
            header = {"dtype": dtype.str, "count": count, "facts": dict(facts or {})}
            samples = _samples(file, file.tell())
            file.seek(0)
            file.write(seal(header | {"samples": samples}).ljust(HEADER))
            file.flush()
            os.fsync(file.fileno())  # else a crash could leave the name with holes behind it
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return TokenFile(path, dtype.str, count, dict(facts or {}))


def _samples(file: IO[bytes], size: int) -> str:
    """Give the SHA-256 of evenly spaced stretches of a file, the header left out."""
    digest, room = hashlib.sha256(), max(0, size - HEADER - SAMPLE)
    for number in range(SAMPLES):
        file.seek(HEADER + room * number // (SAMPLES - 1))
        digest.update(file.read(SAMPLE))
    return digest.hexdigest()


def seal(content: Mapping[str, Any]) -> bytes:
    """Write a small record with its own SHA-256 in front.

    Args:
        content: What JSON can hold.

    Returns:
        The record.
    """
    text = json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(text).hexdigest().encode() + b"\n" + text + b"\n"


def unseal(sealed: bytes, path: Path) -> dict[str, Any]:
    """Read a small record; see `seal`.

    Args:
        sealed: The record; spaces may follow.
        path: Where it is from, for the message.

    Returns:
        What it holds.

    Raises:
        CorruptFileError: It is not what was written.
    """
    digest, _, text = sealed.strip().partition(b"\n")
    if hashlib.sha256(text).hexdigest().encode() != digest:
        raise CorruptFileError(f"{path}: expected a record with its SHA-256, got a damaged one.")
    return json.loads(text)


class Pieces(Sequence[Pair]):
    """A stream of tokens in pieces: inputs ids[ip : ip + p], targets ids[ip + 1 : ip + p + 1].

    Every token but the very first is a target exactly once. The last piece may be shorter.

    Args:
        tokens: The stream.
        piece: The number of steps p of a piece.

    Raises:
        InputError: There are less than two tokens.
    """

    def __init__(self, tokens: TokenFile, piece: int) -> None:
        if tokens.count < 2:
            raise InputError(f"expected at least 2 tokens of text, got {tokens.count}.")
        self.tokens, self.piece = tokens, piece

    def __len__(self) -> int:
        return -(-(self.tokens.count - 1) // self.piece)

    @property
    def lengths(self) -> np.ndarray:
        """The number of steps of each piece."""
        found = np.full(len(self), self.piece)
        found[-1] = self.tokens.count - 1 - self.piece * (len(self) - 1)
        return found

    def __getitem__(self, number: int) -> Pair:  # type: ignore[override]
        if not 0 <= number < len(self):
            raise IndexError(number)
        start = number * self.piece
        ids = torch.from_numpy(self.tokens.ids[start : start + self.piece + 1].astype(np.int64))
        return ids[:-1], ids[1:]
