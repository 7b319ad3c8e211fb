"""Where the files of a task are, and how text in them is read."""

import gzip
import zlib
from pathlib import Path

from unrecur._check import CorruptFileError, InputError
from unrecur.data.lines import check_file, is_packed

LARGEST_TEXT = 2**31  # bytes of text that is held in memory at once


def find(data_dir: Path | None, folder: str, file: str) -> Path:
    """Find a file of a data set.

    Args:
        data_dir: What the user gave: the folder of the data set, or the one above it.
        folder: The name of the data set's folder.
        file: The file's path in there.

    Returns:
        The first that exists of DATA_DIR/FILE and DATA_DIR/FOLDER/FILE, each also with ".gz".

    Raises:
        InputError: No folder is given, or the file is not in it.
    """
    if data_dir is None:
        raise InputError(
            f"the data of this task, {folder}/{file}, do not come with unrecur: give their folder "
            "with --data-dir (load_task's data_dir). `unrecur data` says where to get them."
        )
    places = [
        base / name for base in (data_dir, data_dir / folder) for name in (file, f"{file}.gz")
    ]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise InputError(
            f"expected {file} (or {file}.gz) in {data_dir} or {data_dir / folder}; it is in "
            "neither. `unrecur data` says what each task needs and where to get it."
        )
    return found


def read_bytes(path: Path, largest: int = LARGEST_TEXT) -> bytes:
    """Read a file whole, inflated where it is a gzip file.

    Args:
        path: The file; one that ends in .gz is inflated.
        largest: The most bytes that it may hold, inflated.

    Returns:
        Its content.

    Raises:
        CorruptFileError: It is a damaged gzip file.
        InputError: It holds more, or is no file.
    """
    check_file(path)
    try:
        with gzip.open(path) if is_packed(path) else path.open("rb") as file:
            content = file.read(largest + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorruptFileError(
            f"{path}: expected a gzip file, whole; got a damaged one ({error}). Download it again."
        ) from error
    if len(content) > largest:
        raise InputError(f"{path}: expected at most {largest:,} bytes, got more. Cut the file.")
    return content


def decode(content: bytes, path: Path, line: int = 1) -> str:
    """Decode UTF-8.

    Args:
        content: The bytes.
        path: Where they come from, for the message.
        line: The number of their first line.

    Returns:
        The text.

    Raises:
        InputError: They are no UTF-8; the message names line and byte.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        where = line + before.count(b"\n")
        column = error.start - (before.rfind(b"\n") + 1) + 1
        raise InputError(
            f"{path}, line {where}, byte {column} of the line: expected UTF-8, got "
            f"0x{content[error.start]:02x}. Save the file as UTF-8."
        ) from error


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, plain or gzip.

    Args:
        path: The file.

    Returns:
        The text.

    Raises:
        CorruptFileError: It is a damaged gzip file.
        InputError: It is no UTF-8, or too large to be held in memory.
    """
    return decode(read_bytes(path), path)
