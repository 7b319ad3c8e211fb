"""What a text file holds: its size and hash, and where to cut it; looked up, not read again."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrecur._check import CorruptFileError, InputError
from unrecur._files import write_atomic
from unrecur.data.lines import LONGEST, Part, blocks
from unrecur.data.sequences import SPLITS, Split
from unrecur.data.token_files import seal, unseal

SETTLED = 2 * 10**9  # nanoseconds after which every change to a file shows in its times
CUTS = (90, 95)  # percent of a text at which valid and test begin


@dataclass(frozen=True)
class Text:
    """A stretch of a text file and what identifies its content.

    Attributes:
        part: The stretch, with its end.
        sha256: 64 hexadecimal digits.
    """

    part: Part
    sha256: str

    @property
    def size(self) -> int:
        """The number of bytes."""
        return (self.part.end or 0) - self.part.begin


def split_texts(files: dict[Split, Path] | Path, cache: Path) -> dict[Split, Text]:
    """Find the text of each split.

    Args:
        files: The file of each split; or one file, that is cut in order into 90 %, 5 % and 5 %, at
            line ends where there are any near, else between words, else between characters.
        cache: Where it is noted what files hold.

    Returns:
        The texts.

    Raises:
        InputError: A split has no file, or a file no content.
    """
    if not isinstance(files, Path):
        missing = [split for split in SPLITS if split not in files]
        if missing:
            raise InputError(f"expected a file for each split, got none for {', '.join(missing)}.")
        return {split: Text(*_whole(files[split], cache)) for split in SPLITS}
    whole, sha256 = _whole(files, cache)
    size = whole.end or 0
    cuts = _noted(cache, files, "cuts", lambda: [_boundary(whole, size * n // 100) for n in CUTS])
    ends = [0, *cuts, size]
    return {
        split: Text(Part(files, begin, end), _sha256(f"{sha256} {begin} {end}"))
        for split, begin, end in zip(SPLITS, ends, ends[1:], strict=False)
    }


def _whole(path: Path, cache: Path) -> tuple[Part, str]:
    """Give all of a file, and its hash."""

    def measure() -> list[Any]:
        digest, size = hashlib.sha256(), 0
        for content in blocks(Part(path)):
            digest.update(content)
            size += len(content)
        return [size, digest.hexdigest()]

    size, sha256 = _noted(cache, path, "content", measure)
    if size == 0:
        raise InputError(f"{path}: expected text, got an empty file.")
    return Part(path, 0, size), sha256


def _boundary(whole: Part, wanted: int) -> int:
    """Find the first good place to cut at or after a byte."""
    end = min(whole.end or 0, wanted + LONGEST)
    near = b"".join(blocks(Part(whole.path, wanted, end)))
    if b"\n" in near:
        return wanted + near.index(b"\n") + 1
    if b" " in near:
        return wanted + near.index(b" ")
    inside = 0  # UTF-8: bytes 10xxxxxx go on with a character
    while inside < min(3, len(near)) and near[inside] & 0xC0 == 0x80:
        inside += 1
    return wanted + inside


def _noted(cache: Path, path: Path, what: str, compute: Callable[[], list[Any]]) -> list[Any]:
    """Give what was found out about a file, as long as its size, times and number are the same."""
    # Its ctime cannot be set back. What changed a moment ago may change again within the resolution
    # of the times, so nothing is noted about it.
    stat = path.stat()
    signature = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev]
    note = cache / "notes" / f"{_sha256(f'{what} {path.resolve()}')}.json"
    try:
        known = unseal(note.read_bytes(), note)
        if known["signature"] == signature:
            return known["value"]
    except (FileNotFoundError, CorruptFileError):
        pass
    before = time.time_ns()
    value = compute()
    if before - max(stat.st_mtime_ns, stat.st_ctime_ns) >= SETTLED:
        write_atomic(note, seal({"signature": signature, "value": value}))
    return value


def _sha256(text: str) -> str:
    """Hash a text."""
    return hashlib.sha256(text.encode()).hexdigest()
