"""Text files of any size, read a megabyte of lines at a time."""

import codecs
import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from unrecur._check import CorruptFileError, InputError

BLOCK = 2**20  # bytes that are read at once
LONGEST = 2**16  # characters of a unit
MOST_INFLATED = 200  # how many times its own size a gzip file may become; text becomes 3 to 20
SMALL = 2**26  # bytes up to which that does not matter


@dataclass(frozen=True)
class Part:
    """A stretch of a text file.

    Attributes:
        path: The file; one that ends in .gz, in any case, is inflated.
        begin: Its first byte (of the inflated text).
        end: The byte after its last; None for the end of the file.
    """

    path: Path
    begin: int = 0
    end: int | None = None


def is_packed(path: Path) -> bool:
    """Say whether a file is a gzip file, by its name.

    Args:
        path: The file.

    Returns:
        Whether its name ends in .gz, in any case.
    """
    return path.suffix.lower() == ".gz"


def name_inside(path: Path) -> str:
    """Give the name that a file has once inflated.

    Args:
        path: The file.

    Returns:
        Its name, without .gz.

    Example:
        >>> name_inside(Path("song.txt.GZ"))
        'song.txt'
    """
    return path.stem if is_packed(path) else path.name


def check_file(path: Path) -> None:
    """Check that what is there is a file: a pipe may wait for ever, and a device never ends.

    Args:
        path: The file; that none is there, who opens it says.

    Raises:
        InputError: It is something else.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: expected a file, got a folder, a pipe or a device.")


def blocks(part: Part) -> Iterator[bytes]:
    """Read a part of a file.

    Args:
        part: The part.

    Yields:
        Its bytes, about a megabyte at a time.

    Raises:
        CorruptFileError: It is a damaged gzip file, or one that inflates to far more than text.
        InputError: It is no file, or ends before the part does.
    """
    path, position = part.path, part.begin
    check_file(path)
    allowed = max(SMALL, MOST_INFLATED * path.stat().st_size)
    try:
        with gzip.open(path) if is_packed(path) else path.open("rb") as file:
            file.seek(part.begin)
            while part.end is None or position < part.end:
                content = file.read(BLOCK if part.end is None else min(BLOCK, part.end - position))
                if not content:
                    break
                position += len(content)
                if position > allowed:
                    raise CorruptFileError(
                        f"{path}: expected gzip text, got a file of {path.stat().st_size:,} bytes "
                        f"that inflates to more than {allowed:,}. Inflate it yourself if it is "
                        "what you want."
                    )
                yield content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorruptFileError(
            f"{path}: expected a gzip file, whole; got a damaged one ({error}). Download it again."
        ) from error
    if part.end is not None and position < part.end:
        raise InputError(
            f"{path}: expected {part.end:,} bytes, got {position:,}: it became shorter while it "
            "was read. Run again."
        )


def texts(
    part: Part, encoding: str = "utf-8", seen: Callable[[int], None] | None = None
) -> Iterator[str]:
    """Read and decode a part of a file.

    Args:
        part: The part.
        encoding: Its encoding.
        seen: Told the number of bytes of each block, before it is given.

    Yields:
        The text, about a megabyte at a time.

    Raises:
        InputError: A byte is not of the encoding; the message names line and byte.
    """
    decoder, position = codecs.getincrementaldecoder(encoding)(), part.begin
    try:
        for content in blocks(part):
            position += len(content)
            if seen is not None:
                seen(len(content))
            yield decoder.decode(content)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:  # the decoder had kept the begin of a character
        first = position - len(error.object) + error.start
        line, column = _place(part.path, first)
        raise InputError(
            f"{part.path}, line {line}, byte {column} of the line: expected UTF-8, got "
            f"0x{error.object[error.start]:02x}. Save the file as UTF-8, or take the byte level."
        ) from error


def _place(path: Path, position: int) -> tuple[int, int]:
    """Find the line of a byte, and its place in the line, both from 1."""
    line, start, passed = 1, 0, 0
    for content in blocks(Part(path, 0, position)):
        line += content.count(b"\n")
        start = passed + content.rindex(b"\n") + 1 if b"\n" in content else start
        passed += len(content)
    return line, position - start + 1


def units(
    part: Part, encoding: str = "utf-8", seen: Callable[[int], None] | None = None
) -> Iterator[list[str]]:
    """Read a part of a file in units: its lines, each with its line end.

    What follows is the same whatever the size of the blocks: a line of more than 65,536 characters
    is cut before the last space or tab in reach, or, where there is none, after so many characters.
    Joined, the units are the text.

    Args:
        part: The part.
        encoding: Its encoding.
        seen: Told the number of bytes of each block.

    Yields:
        The units of each block.

    Raises:
        InputError: A byte is not of the encoding; the message names line and byte.
    """
    rest = ""
    for text in texts(part, encoding, seen):
        *lines, rest = (rest + text).split("\n")
        whole = [f"{line}\n" for line in lines]
        if max(map(len, whole), default=0) > LONGEST:
            whole = [unit for line in whole for unit in _cut(line)]
        if len(rest) > LONGEST:
            *more, rest = _cut(rest)
            whole += more
        if whole:
            yield whole
    if rest:
        yield [rest]


def _cut(line: str) -> list[str]:
    """Cut a long line into units."""
    found, start = [], 0
    while len(line) - start > LONGEST:
        reach = line[start : start + LONGEST]
        at = max(reach.rfind(" ", 1), reach.rfind("\t", 1))
        found.append(reach if at < 0 else reach[:at])
        start += len(found[-1])
    return [*found, line[start:]]


def lines(path: Path, strip: str | None = None) -> Iterator[str]:
    r"""Read the lines of a text in UTF-8.

    Args:
        path: The file, plain or gzip.
        strip: Which characters are taken off the ends of a line beside "\n"; None for all spaces.

    Yields:
        Each line; lines end with "\n" and nothing else.

    Raises:
        InputError: A byte is not UTF-8, or a line has more than 65,536 characters.
    """
    number, before = 0, "\n"
    for block in units(Part(path)):
        for unit in block:
            if not before.endswith("\n"):
                raise InputError(
                    f"{path}, line {number}: expected at most {LONGEST:,} characters in a line, "
                    "got more. Is it text, with one sentence a line?"
                )
            number, before = number + 1, unit
            yield unit.removesuffix("\n").strip(strip)
