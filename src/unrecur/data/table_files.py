"""The files that hold tables: opened, looked through where they are text, and not yet read."""

import codecs
import glob
import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unrecur._check import CorruptFileError, InputError, extra
from unrecur.data.lines import check_file
from unrecur.data.text_tables import inspect, whole_lines

SEPARATED = {".csv": None, ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
KINDS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", *JSON_LINES, ".npy", ".npz")
MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")
LARGEST_ARRAYS = 2**34  # bytes of the arrays of a file


@dataclass(frozen=True)
class Source:
    """A table that is not read yet.

    Attributes:
        scan: Its lazy frame in polars.
        name: Where it comes from, for messages.
        first_line: The number of the line that row 0 stands in; None where rows are no lines.
        sha256: Of the file; empty for a frame from memory.
    """

    scan: Any
    name: str
    first_line: int | None = None
    sha256: str = ""

    def where(self, row: int) -> str:
        """Say where a row stands.

        Args:
            row: Its number, from 0.

        Returns:
            The file and the line, or the row counted from 1.
        """
        if self.first_line is None:
            return f"{self.name}, row {row + 1}"
        return f"{self.name}, line {row + self.first_line}"


def open_table(source: Any) -> Source:
    """Open a table.

    Args:
        source: The path of a file, one of `KINDS`, or a polars data frame.

    Returns:
        The table; of an `.npz` the columns have the names of the arrays, of an `.npy` 0, 1, 2, ...

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is of another kind, too large, or malformed.
        CorruptFileError: It is damaged.
    """
    polars = extra("polars", "tables")
    if isinstance(source, polars.DataFrame):
        return Source(source.lazy(), "the data frame")
    path = Path(source)
    check_file(path)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    kind = (suffixes[:-1] if packed else suffixes)[-1:]
    suffix = kind[0] if kind else ""
    if suffix in SEPARATED:
        layout = inspect(path, SEPARATED[suffix])
        scan = polars.scan_csv(
            path,
            glob=False,
            separator=layout.separator,
            new_columns=list(layout.names),
            infer_schema=False,
            null_values=list(MISSING),
            n_rows=layout.rows,
        )
        return Source(scan, str(path), 2 if layout.lines_are_rows else None, sha256)
    if suffix in JSON_LINES and not packed:
        first_line = _check_json_lines(path)
        scan = polars.scan_ndjson(glob.escape(str(path)), infer_schema_length=None)
        return Source(scan, str(path), first_line, sha256)
    if suffix == ".parquet" and not packed:
        return Source(polars.scan_parquet(path, glob=False), str(path), None, sha256)
    if suffix in (".npy", ".npz") and not packed:
        return Source(polars.LazyFrame(_arrays(path, suffix)), str(path), None, sha256)
    raise InputError(
        f"{path}: expected a table in one of {', '.join(KINDS)}, got '{''.join(suffixes)}'."
    )


def _check_json_lines(path: Path) -> int | None:
    """Check that each line holds one object; give the line of row 0 if rows are lines."""
    rows = 0
    true_or_false: dict[str, bool] = {}
    for first, piece in whole_lines(path):
        for line, text in enumerate(piece.splitlines(), first):
            if not text.strip():
                continue
            rows += 1
            try:
                value = _json_object(text)
            except (ValueError, RecursionError) as error:
                raise InputError(
                    f"{path}, line {line}: expected one JSON object a line, got {text[:60]!r} "
                    f"({error})."
                ) from error
            if not isinstance(value, dict) or any(
                isinstance(cell, dict | list) for cell in value.values()
            ):
                raise InputError(
                    f"{path}, line {line}: expected a JSON object of numbers and text, like "
                    f'{{"load": 1.5}}, got {text[:60]!r}.'
                )
            for name, cell in value.items():
                truth = isinstance(cell, bool)
                if cell is not None and true_or_false.setdefault(name, truth) != truth:
                    raise InputError(
                        f"{path}, line {line}: expected values of '{name}' that are all true or "
                        f"false, or none of them, got {text[:60]!r} after others. Write 1 and 0."
                    )
            last = line
    if not rows:
        raise InputError(f"{path}: expected JSON objects, one a line, got an empty file.")
    return 1 if last == rows else None


def _json_object(text: bytes) -> Any:
    """Parse a line as strictly as polars does."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name stands twice in an object")
        return found

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON; write null for a missing value")

    if text.startswith(codecs.BOM_UTF8):
        raise ValueError("a byte order mark; save the file as UTF-8 without it")
    return json.loads(text, object_pairs_hook=once, parse_constant=refuse)


def _arrays(path: Path, suffix: str) -> dict[str, np.ndarray]:
    """Read the arrays of a file as columns."""
    try:
        if suffix == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            return _columns(array, "", path)
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > LARGEST_ARRAYS:
            raise InputError(f"{path}: expected at most {LARGEST_ARRAYS:,} bytes, got {size:,}.")
        columns: dict[str, np.ndarray] = {}
        with np.load(path, allow_pickle=False) as file:
            for name in file.files:
                columns |= _columns(file[name], name, path)
    except InputError:
        raise
    # A damaged file makes zip, zlib and numpy raise a dozen kinds of errors.
    except Exception as error:
        raise CorruptFileError(
            f"{path} cannot be read as {suffix} ({error}). Is it whole, and does it hold arrays of "
            "numbers or text only?"
        ) from error
    rows = {len(column) for column in columns.values()}
    if len(rows) != 1:
        raise InputError(
            f"{path}: expected arrays of the same length, got "
            f"{', '.join(f'{name} {len(column)}' for name, column in columns.items()) or 'none'}."
        )
    return columns


def _columns(array: np.ndarray, name: str, path: Path) -> dict[str, np.ndarray]:
    """Take the columns of an array [rows] or [rows, columns]."""
    if array.ndim not in (1, 2) or array.size == 0 or array.dtype.kind not in "fiubUM":
        raise InputError(
            f"{path}: expected numbers, text or times, [rows] or [rows, columns], got "
            f"{name or 'an array'} of {array.dtype} {list(array.shape)}."
        )
    if array.dtype.kind == "M":  # polars knows few of numpy's units of time
        array = array.astype("datetime64[us]")
    if array.ndim == 1:
        return {name or "0": array}
    prefix = f"{name}." if name else ""
    return {f"{prefix}{number}": array[:, number] for number in range(array.shape[1])}
