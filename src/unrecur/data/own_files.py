"""A folder of the user's own files, each a recording or a piece of music, in three splits."""

import hashlib
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

from unrecur._check import InputError
from unrecur.data.sequences import SPLITS, Split

Hashed = list[tuple[str, Path]]


def split_folder(folder: Path, suffixes: tuple[str, ...]) -> dict[Split, list[Path]]:
    """Share out the files of a folder, and of the folders in it.

    Where it has the folders `train`, `valid` and `test`, these are the splits. Else each file goes
    where its SHA-256 says, about 80, 10 and 10 %: so a file that is added or renamed moves no
    other, and copies of a file are in one split.

    Args:
        folder: The folder.
        suffixes: What the names of the files end in, in small letters.

    Returns:
        The files of each split, in the order of their SHA-256.

    Raises:
        InputError: There is no such folder, a split has no file, or a file is in two splits.
    """
    if not folder.is_dir():
        raise InputError(f"expected a folder of {' or '.join(suffixes)} files, got {folder}.")
    if all((folder / split).is_dir() for split in SPLITS):
        files = {split: _hashed(folder / split, suffixes) for split in SPLITS}
        _check_apart(files)
    else:
        files = {split: [] for split in SPLITS}
        for digest, path in _hashed(folder, suffixes):
            files[_split_of(digest)].append((digest, path))
    counts = {split: len(found) for split, found in files.items()}
    if not all(counts.values()):
        raise InputError(
            f"{folder}: expected {' or '.join(suffixes)} files for each split, got {counts}. Which "
            "file goes where is decided by its content: give more files, or put them into folders "
            f"{', '.join(SPLITS)} in there."
        )
    return {split: [path for _, path in files[split]] for split in SPLITS}


def content_hash(paths: Iterable[Path]) -> str:
    """Give the SHA-256 of files: of the content of each, in order.

    Args:
        paths: The files.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256("".join(map(_digest, paths)).encode()).hexdigest()


def _hashed(folder: Path, suffixes: tuple[str, ...]) -> Hashed:
    """List the files below a folder with their SHA-256, in its order."""
    found = [path for path in folder.rglob("*") if path.suffix.lower() in suffixes]
    return sorted((_digest(path), path) for path in found if path.is_file())


def _split_of(digest: str) -> Split:
    """Say which split a file goes to."""
    percent = int(digest[:16], 16) * 100 >> 64
    return "train" if percent < 80 else "valid" if percent < 90 else "test"


def _check_apart(files: dict[Split, Hashed]) -> None:
    """Check that no file is in two splits."""
    for one, other in combinations(SPLITS, 2):
        there = dict(files[other])
        for digest, path in files[one]:
            if digest in there:
                raise InputError(
                    f"{path} and {there[digest]} are the same file in two splits: a model would be "
                    "scored on what it was trained on. Remove one."
                )


def _digest(path: Path) -> str:
    """Give the SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
