"""Sound files, wav and flac, of which only the piece asked for is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from unrecur import _check
from unrecur._check import CorruptFileError, InputError
from unrecur.data.lines import check_file
from unrecur.data.own_files import content_hash

FORMATS = ("WAV", "WAVEX", "RF64", "FLAC")
ORDERS: dict[bytes, Literal["little", "big"]] = {
    b"RIFF": "little",
    b"RIFX": "big",
    b"RF64": "little",
}
MOST_PER_BYTE = 10_000  # samples: silence in FLAC takes about a byte for 6,000


@dataclass(frozen=True)
class SoundFiles:
    """Recordings in files, from `open_sounds`.

    Attributes:
        paths: The files.
        rate: Samples per second.
        lengths: The number of samples of each.
    """

    paths: tuple[Path, ...]
    rate: int
    lengths: np.ndarray

    @property
    def hash(self) -> str:
        """The SHA-256 of the content of all files, in order."""
        return content_hash(self.paths)

    def read(self, number: int, start: int, stop: int) -> np.ndarray:
        """Read a piece, and no more; see `Recordings.read`.

        Args:
            number: Which recording.
            start: The first sample.
            stop: The sample after the last.

        Returns:
            The samples.

        Raises:
            CorruptFileError: The file ends before, or is damaged.
            InputError: A sample is not finite, or outside [-1, 1].
        """
        path, soundfile = self.paths[number], _check.extra("soundfile", "audio")
        try:
            with soundfile.SoundFile(path) as file:
                file.seek(start)
                samples: np.ndarray = file.read(stop - start, dtype="float32")
        except soundfile.SoundFileRuntimeError as error:
            raise CorruptFileError(_damaged(path, f"samples {start} to {stop}: {error}")) from error
        if len(samples) != stop - start:
            there = start + len(samples)
            raise CorruptFileError(_damaged(path, f"{stop} samples promised, {there} there"))
        wrong = ~(np.abs(samples) <= 1)  # NaN is not
        if wrong.any():
            place = int(wrong.argmax())
            raise InputError(
                f"{path}, sample {start + place}: expected samples in [-1, 1], got "
                f"{samples[place]}. Scale the recording, or save it in whole numbers."
            )
        return samples


def open_sounds(paths: Sequence[Path], rate: int | None = None) -> SoundFiles:
    """Look at sound files, wav or flac, without reading their samples.

    Args:
        paths: The files.
        rate: The samples per second that all must have; that of the first where left out.

    Returns:
        The recordings.

    Raises:
        InputError: There are none; or one is empty, of another format or rate, or has several
            channels.
        CorruptFileError: One is damaged.
    """
    if not paths:
        raise InputError("expected at least one sound file, got none.")
    headers = [_header(path) for path in paths]
    rate = headers[0].samplerate if rate is None else rate
    for path, header in zip(paths, headers, strict=True):
        _check_sound(path, header, rate)
    lengths = np.array([header.frames for header in headers], dtype=np.int64)
    return SoundFiles(tuple(paths), rate, lengths)


def _header(path: Path) -> Any:
    """Read what the header of a file says."""
    soundfile = _check.extra("soundfile", "audio")
    _check_whole(path)
    try:
        return soundfile.info(path)
    except soundfile.SoundFileRuntimeError as error:
        raise CorruptFileError(_damaged(path, str(error))) from error


def _check_whole(path: Path) -> None:
    """Check that a wav file is not shorter than it says: soundfile would read what is there."""
    check_file(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        promised = _promised(file, size)
    if promised > size:
        raise CorruptFileError(_damaged(path, f"{promised:,} bytes promised, {size:,} there"))


def _promised(file: BinaryIO, size: int) -> int:
    """Say how many bytes a wav file should have by what it says of itself; 0 for other files."""
    head = file.read(12)
    if head[:4] not in ORDERS:
        return 0
    order, long, at = ORDERS[head[:4]], 0, 12
    whole = 8 + int.from_bytes(head[4:8], order) if head[:4] != b"RF64" else 0
    if whole == size + 1:  # some leave out the last byte of padding
        whole = size
    while at < size:
        file.seek(at)
        chunk = file.read(24)
        if chunk[:4] == bytes(4):  # nothing was written here
            break
        length = int.from_bytes(chunk[4:8], order)
        if chunk[:4] == b"ds64":  # the lengths that RF64 has no room for
            long = int.from_bytes(chunk[16:24], order)
        if chunk[:4] == b"data":
            return max(whole, at + 8 + (long or length))
        at += 8 + length + length % 2
    return whole


def _check_sound(path: Path, header: Any, rate: int) -> None:
    """Check what the header of a file says."""
    problem = None
    if header.format not in FORMATS:
        problem = f"a file in WAV or FLAC, got {header.format}"
    elif header.channels != 1:
        problem = f"one channel, got {header.channels}"
    elif header.samplerate != rate:
        problem = f"{rate} samples per second, as of the others, got {header.samplerate}"
    elif header.frames < 1:
        problem = "at least one sample, got none"
    if problem:
        raise InputError(f"{path}: expected {problem}. Convert the file, or leave it out.")
    if header.frames > MOST_PER_BYTE * path.stat().st_size:
        what = f"{header.frames:,} samples promised in so small a file"
        raise CorruptFileError(_damaged(path, what))


def _damaged(path: Path, what: str) -> str:
    """Say that a file is damaged."""
    return f"{path}: expected a sound file, whole; got a damaged one ({what}). Make it again."
