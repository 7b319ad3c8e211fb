"""Zip files from anywhere: opened, and read member by member, without a bomb going off."""

import struct
import zipfile
import zlib
from pathlib import Path

from unrecur._check import CorruptFileError, InputError

MOST_MEMBERS = 100_000
# Weights hardly shrink: what claims to inflate to more than this is no model.
LARGEST_RATIO = 32
ALWAYS_ALLOWED = 2**26  # bytes inflated, whatever the ratio
# What `zipfile` trips over in a damaged archive.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip file and check what it claims before anything is inflated.

    Args:
        path: The file.

    Returns:
        The archive.

    Raises:
        CorruptFileError: It is no whole zip file.
        InputError: It claims to inflate to much more than its size, or is encrypted.
    """
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGE as error:
        raise CorruptFileError(
            f"expected a whole zip archive, got a truncated or damaged file ({error}). Download or "
            "save it again."
        ) from error
    members = archive.infolist()
    inflated = sum(member.file_size for member in members)
    allowed = ALWAYS_ALLOWED + LARGEST_RATIO * path.stat().st_size
    problem = None
    if len(members) > MOST_MEMBERS:
        problem = f"{len(members)} members"
    elif inflated > allowed:
        problem = f"a claim of {inflated} bytes once inflated"
    elif any(member.flag_bits & 1 for member in members):
        problem = "encrypted members"
    if problem:
        archive.close()
        raise InputError(
            f"expected an archive of a model, at most {MOST_MEMBERS} members and {allowed} bytes "
            f"once inflated, got {problem}. It is not opened."
        )
    return archive


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Inflate one member, and check it against its checksum.

    Args:
        archive: The archive, from `open_zip`.
        name: The member.

    Returns:
        Its bytes.

    Raises:
        CorruptFileError: It is missing, truncated or damaged.
    """
    try:
        return archive.read(name)
    except _DAMAGE as error:
        raise CorruptFileError(
            f"expected the member '{name}', got a missing or damaged one ({error}). Download or "
            "save the file again."
        ) from error
