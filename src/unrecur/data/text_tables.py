"""Tables that are text, looked at once before they are parsed: parsers forgive too much, or die.

Reads a file in pieces of whole lines, so that no file is too large, and finds what no cell may hold
and which rows are ragged, by line.
"""

import csv
import gzip
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np

from unrecur._check import CorruptFileError, InputError
from unrecur.data.lines import is_packed
from unrecur.data.places import decode

PIECE = 2**22  # bytes that are looked at at once
LONGEST_LINE = 2**22  # bytes
LARGEST_RATIO = 200  # how often a gzip file of a table is larger once inflated, at the most
ALWAYS_ALLOWED = 2**26  # bytes inflated, whatever the ratio
SEPARATORS = ",;\t|"
NEWLINE, CARRIAGE_RETURN, QUOTE, BYTE_ORDER_MARK = 10, 13, 34, 0xEF


@dataclass(frozen=True)
class Layout:
    """How a text table is laid out.

    Attributes:
        separator: What stands between two cells.
        names: The names of the columns.
        rows: The number of rows; empty lines at the end are none.
        lines_are_rows: Whether row r stands in line r + 2: no cell holds a line break.
    """

    separator: str
    names: tuple[str, ...]
    rows: int
    lines_are_rows: bool


def whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Read a text file, plain or gzip, in pieces of whole lines.

    Args:
        path: The file.

    Yields:
        The number of the first line of the piece, and the piece; every line in it ends in a line
        feed.

    Raises:
        CorruptFileError: It is a damaged gzip file.
        InputError: A line is too long, a byte is NUL or no UTF-8, or a gzip file is a bomb.
    """
    rest, line = b"", 1
    for content in _contents(path):
        piece, end, rest = (rest + content).rpartition(b"\n")
        if len(rest) > LONGEST_LINE or (piece and _longest(piece) > LONGEST_LINE):
            long = line + piece.count(b"\n") + len(end) if len(rest) > LONGEST_LINE else line
            raise InputError(
                f"{path}, line {long} or after: expected lines of at most {LONGEST_LINE:,} bytes, "
                "got a longer one. Is this a table with one row a line, ending in line feeds?"
            )
        if end:
            yield line, _clean(piece + end, path, line)
            line += piece.count(b"\n") + 1
    if rest:
        yield line, _clean(rest + b"\n", path, line)


def _longest(piece: bytes) -> int:
    """Measure the longest line of a piece."""
    if len(piece) <= LONGEST_LINE:
        return 0
    ends = np.flatnonzero(np.frombuffer(piece, np.uint8) == NEWLINE)
    return int(np.diff(ends, prepend=-1, append=len(piece)).max())


def _contents(path: Path) -> Iterator[bytes]:
    """Read a file, inflated, in pieces."""
    packed = is_packed(path)
    allowed = ALWAYS_ALLOWED + LARGEST_RATIO * path.stat().st_size
    total = 0
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            while content := file.read(PIECE):
                total += len(content)
                if packed and total > allowed:
                    raise InputError(
                        f"{path}: expected a table of at most {allowed:,} bytes once inflated "
                        f"({LARGEST_RATIO} times its size), got more. Unpack it first."
                    )
                yield content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorruptFileError(
            f"{path}: expected a gzip file, whole; got a damaged one ({error}). Download it again."
        ) from error


def _clean(piece: bytes, path: Path, line: int) -> bytes:
    """Check the bytes of a piece."""
    if b"\0" in piece:
        before = piece[: piece.index(b"\0")]
        raise InputError(
            f"{path}, line {line + before.count(NEWLINE)}, byte "
            f"{len(before) - before.rfind(NEWLINE)} of the line: expected text, got a NUL byte. "
            "Save the file as UTF-8."
        )
    if not piece.isascii():
        decode(piece, path, line)
    return piece


def inspect(path: Path, separator: str | None = None) -> Layout:
    """Look through a table of separated values.

    Args:
        path: The file, whose first line names the columns.
        separator: What stands between two cells; None takes what is commonest in the first line.

    Returns:
        Its layout.

    Raises:
        CorruptFileError: It is a damaged gzip file.
        InputError: A byte, a line or a row is malformed, the first line names no columns or one
            twice, or there are no rows; the message names the line.
    """
    counter, names = _Counter(b",", 1, path), tuple[str, ...]()
    for line, piece in whole_lines(path):
        if line == 1:
            first = _first_row(piece, path)
            separator = separator or max(SEPARATORS, key=first.count)
            names = _names(first, separator, path)
            counter = _Counter(separator.encode(), len(names), path)
        counter.check(piece, line)
    if counter.inside:
        raise InputError(
            f"{path}, line {counter.last_quote}: expected every quotation mark to be closed, got "
            "one that is open at the end of the file."
        )
    if counter.rows < 2:
        raise InputError(f"{path}: expected a line of column names and rows below, got no rows.")
    return Layout(separator or ",", names, counter.rows - 1, not counter.breaks)


def _first_row(piece: bytes, path: Path) -> str:
    """Find the row of names; a quoted name may hold a line break."""
    end = piece.index(NEWLINE)
    marks = piece.count(QUOTE, 0, end)
    while marks % 2 and (next_end := piece.find(NEWLINE, end + 1)) >= 0:
        marks += piece.count(QUOTE, end, next_end)
        end = next_end
    first = decode(piece[:end], path).lstrip("\ufeff").rstrip("\r")
    if "\r" in first and '"' not in first:
        raise InputError(
            f"{path}, line 1: expected lines that end in line feeds, got carriage returns alone. "
            "Save the file with line ends of Unix or Windows."
        )
    if first.lower().startswith("sep="):
        raise InputError(
            f"{path}, line 1: expected the names of the columns, got {first!r}, a hint for "
            "spreadsheets. Delete this line."
        )
    return first


def _names(first: str, separator: str, path: Path) -> tuple[str, ...]:
    """Read and check the names of the columns."""
    try:
        row = next(csv.reader(StringIO(first), delimiter=separator), [])
    except csv.Error as error:
        raise InputError(
            f"{path}, line 1: expected the names of the columns, got {first[:80]!r} ({error}). Is "
            "a quotation mark open?"
        ) from error
    names = [name.strip() for name in row]
    if not any(names) or all(_is_number(name) for name in names):
        raise InputError(
            f"{path}, line 1: expected the names of the columns, got {first[:80]!r}. Add a first "
            "line with names."
        )
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise InputError(
            f"{path}, line 1: expected each column to have its own name, got {name!r} {count} "
            "times. Rename one."
        )
    return tuple(names)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _Counter:
    """Counts the cells of each row, over pieces of whole lines.

    Args:
        separator: What stands between two cells.
        columns: How many cells a row has.
        path: The file, for messages.
    """

    def __init__(self, separator: bytes, columns: int, path: Path) -> None:
        self.separator, self.columns, self.path = separator[0], columns, path
        self.inside = 0  # whether a quoted cell goes on
        self.open = 0  # separators so far of a row that goes on
        self.rows = 0  # up to the last that is not empty
        self.empty: list[int] = []  # the lines since then that are empty: one, or none
        self.empties = 0  # how many they are
        self.breaks, self.last_quote = False, 0

    def check(self, piece: bytes, line: int) -> None:
        """Check the rows that end in a piece.

        Args:
            piece: Whole lines.
            line: The number of the first.

        Raises:
            InputError: A row has more or fewer cells than there are columns, or is empty and not
                at the end.
        """
        data = np.frombuffer(piece, np.uint8)
        separators = np.flatnonzero(data == self.separator)
        ends = np.flatnonzero(data == NEWLINE)
        lengths = np.diff(ends, prepend=-1) - 1
        empty = (lengths == 0) | ((lengths == 1) & (data[ends - 1] == CARRIAGE_RETURN))
        if self.inside or b'"' in piece:
            # A quotation mark inside a quoted cell is doubled, so parity says what is quoted.
            self._check_quotes(data, line)
            quoted = (np.cumsum(data == QUOTE, dtype=np.int32) + self.inside) & 1
            self.breaks |= bool(quoted[ends].any())
            separators, empty = separators[quoted[separators] == 0], empty[quoted[ends] == 0]
            ends, self.inside = ends[quoted[ends] == 0], int(quoted[-1])
            if b'"' in piece:
                self.last_quote = line + piece[: piece.rindex(b'"')].count(b"\n")
        before = np.searchsorted(separators, ends)
        cells = np.diff(before, prepend=-self.open) + 1
        self.open = len(separators) - before[-1] if len(ends) else self.open + len(separators)
        wrong = np.flatnonzero((cells != self.columns) & ~empty)
        if len(wrong):
            self._refuse(line + piece[: ends[wrong[0]]].count(b"\n"), int(cells[wrong[0]]))
        self._count(empty, lambda row: line + piece[: ends[row]].count(b"\n"))

    def _check_quotes(self, data: np.ndarray, line: int) -> None:
        """Check that quotation marks stand around whole cells, or are doubled within."""
        marks = np.flatnonzero(data == QUOTE)
        opens = (np.arange(len(marks)) + self.inside) % 2 == 0
        before = data[np.maximum(marks - 1, 0)]
        after = data[np.minimum(marks + 1, len(data) - 1)]
        begins = np.isin(before, (self.separator, NEWLINE, QUOTE)) | (marks == 0)
        if line == 1:  # a byte order mark may stand before
            begins |= (marks == 3) & (data[0] == BYTE_ORDER_MARK)
        ends = np.isin(after, (self.separator, NEWLINE, CARRIAGE_RETURN, QUOTE))
        wrong = marks[~np.where(opens, begins, ends)]
        if len(wrong):
            raise InputError(
                f"{self.path}, line {line + int((data[: wrong[0]] == NEWLINE).sum())}: expected "
                "quotation marks around a whole cell, and doubled within it, got one elsewhere. "
                'Write "5"" pipe" for 5" pipe, and no space before or after the marks.'
            )

    def _count(self, empty: np.ndarray, line_of: Callable[[int], int]) -> None:
        """Count the rows up to the last that is not empty."""
        filled, gaps = np.flatnonzero(~empty), np.flatnonzero(empty)
        last = int(filled[-1]) if len(filled) else -1
        inner = [*self.empty, *(line_of(int(row)) for row in gaps[:1])]
        if last >= 0 and self.columns > 1 and (self.empty or (len(gaps) and gaps[0] < last)):
            self._refuse(inner[0], 0)
        if last >= 0:
            self.rows += self.empties + last + 1
            self.empties, self.empty = 0, []
            gaps = gaps[gaps > last]
        self.empties += len(gaps)
        self.empty = self.empty or [line_of(int(row)) for row in gaps[:1]]

    def _refuse(self, line: int, cells: int) -> None:
        """Say which row is ragged."""
        raise InputError(
            f"{self.path}, line {line}: expected {self.columns} cells, as in the line of names, "
            f"got {cells}. Mend the row; quote cells that hold the separator."
        )
