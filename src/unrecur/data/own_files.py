"""A folder of the user's own files: which of them are for which split, and which for none."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from unrecur._check import InputError
from unrecur.data.lines import Part, blocks
from unrecur.data.sequences import NAMES, SPLITS, Split

Hashed = Sequence[tuple[str, Path]]


def split_folder(folder: Path, suffixes: tuple[str, ...]) -> dict[Split, list[Path]]:
    """Share out the files of a folder, and of the folders in it.

    Where it has a folder for each split, as `named_after_splits` tells, these are the splits; so is
    a file for each. Else each file goes where its SHA-256 says, about 80, 10 and 10 %: so a file
    that is added or renamed moves no other, and copies of a file are in one split.

    Args:
        folder: The folder.
        suffixes: What the names of the files end in, in small letters.

    Returns:
        The files of each split, in the order of their SHA-256.

    Raises:
        InputError: There is no such folder, some splits have a folder and others none, a split has
            several or no file, or a file is in two splits.
    """
    if not folder.is_dir():
        raise InputError(f"expected a folder of {' or '.join(suffixes)} files, got {folder}.")
    places = _places(folder, suffixes)
    files: dict[Split, list[tuple[str, Path]]] = {split: [] for split in SPLITS}
    if places:
        files = {split: _hashed(place, suffixes) for split, place in places.items()}
        check_apart(files)
    else:
        for each in _hashed(folder, suffixes):
            files[_split_of(each[0])].append(each)
    counts = {split: len(found) for split, found in files.items()}
    if not all(counts.values()):
        raise InputError(
            f"{folder}: expected {' or '.join(suffixes)} files for each split, got {counts}. Which "
            "file goes where is decided by its content: give more files, or put them into folders "
            f"{', '.join(SPLITS)} in there."
        )
    return {split: [path for _, path in files[split]] for split in SPLITS}


def named_after_splits(folder: Path) -> dict[Split, list[Path]]:
    """Find what a folder holds for each split: what is named after it, up to the first dot.

    Args:
        folder: The folder.

    Returns:
        The files and folders of each split; `valid` has several names, all in any case.
    """
    there = sorted(folder.iterdir())
    return {
        split: [path for path in there if path.name.partition(".")[0].lower() in NAMES[split]]
        for split in SPLITS
    }


def one_each(folder: Path, found: Mapping[Split, Sequence[Path]]) -> dict[Split, Path]:
    """Take the only thing that there is for each split.

    Args:
        folder: The folder.
        found: What it holds for each split, or for some.

    Returns:
        One file or folder for each.

    Raises:
        InputError: There are none or several; they are named.
    """
    missing = [split for split, paths in found.items() if not paths]
    if missing:
        names = ", ".join(path.name for paths in found.values() for path in paths)
        raise InputError(
            f"{folder}: expected {', '.join(found)}, or none of them, got {names} and nothing for "
            f"{', '.join(missing)}. Add it; or rename the others, if they are no splits."
        )
    for split, paths in found.items():
        if len(paths) > 1:
            raise InputError(
                f"{folder}: expected one file or folder for {split}, got "
                f"{', '.join(path.name for path in paths)}. Keep one, and take the others away."
            )
    return {split: path for split, (path,) in found.items()}


def below(folder: Path) -> Iterator[Path]:
    """Go through what lies below a folder, in linked folders too, each folder once.

    Args:
        folder: The folder.

    Yields:
        What is no folder, and folders that are empty.

    Raises:
        OSError: A folder cannot be read.
    """
    seen = set()
    for top, folders, files in os.walk(folder, onerror=_stop, followlinks=True):
        real = os.path.realpath(top)
        if real in seen:  # a link may lead to a folder around it
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (Path(top, file) for file in sorted(files))
        if not (folders or files):
            yield Path(top)


def ignored(folder: Path, used: Iterable[Path]) -> tuple[str, ...]:
    """Say what of a folder is not used, hidden files aside.

    Args:
        folder: The folder.
        used: The files that are.

    Returns:
        A note with their number and the first, or none.
    """
    known = {os.path.realpath(path) for path in used}
    others = [path for path in below(folder) if os.path.realpath(path) not in known]
    names = [path.relative_to(folder) for path in others]
    seen = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    if not seen:
        return ()
    return (f"Files and empty folders that are not used: {len(seen):,}, the first {seen[0]}.",)


def check_apart(files: Mapping[Split, Hashed]) -> None:
    """Check that no file is in two splits.

    Args:
        files: The files of each split, each with the hash of its content.

    Raises:
        InputError: One is; both places are named.
    """
    for one, other in combinations(files, 2):
        there = dict(files[other])
        for content, path in files[one]:
            if content in there:
                raise InputError(
                    f"{path} and {there[content]} are the same file in two splits: a model would "
                    "be scored on what it was trained on. Remove one."
                )


def digest(path: Path) -> str:
    """Give the SHA-256 of a file, inflated where it is a gzip file.

    Args:
        path: The file.

    Returns:
        64 hexadecimal digits.

    Raises:
        InputError: It is no file, but a folder, a pipe or a device.
        CorruptFileError: It is a damaged gzip file.
    """
    found = hashlib.sha256()
    for content in blocks(Part(path)):
        found.update(content)
    return found.hexdigest()


def content_hash(paths: Iterable[Path]) -> str:
    """Give the SHA-256 of files: of the content of each, in order.

    Args:
        paths: The files.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256("".join(map(digest, paths)).encode()).hexdigest()


def _places(folder: Path, suffixes: tuple[str, ...]) -> dict[Split, Path]:
    """Find the folder, or the file, of each split; none where files are not sorted into splits."""
    found = {
        split: [path for path in paths if path.is_dir() or path.suffix.lower() in suffixes]
        for split, paths in named_after_splits(folder).items()
    }
    # A single recording may well be called test.
    folders = any(path.is_dir() for paths in found.values() for path in paths)
    return one_each(folder, found) if folders or all(found.values()) else {}


def _hashed(place: Path, suffixes: tuple[str, ...]) -> list[tuple[str, Path]]:
    """List a file, or the files below a folder, with their SHA-256, in its order."""
    files = below(place) if place.is_dir() else [place]
    found = [path for path in files if path.suffix.lower() in suffixes and path.is_file()]
    return sorted((digest(path), path) for path in found)


def _split_of(content: str) -> Split:
    """Say which split a file goes to, by the SHA-256 of its content."""
    percent = int(content[:16], 16) * 100 >> 64
    return "train" if percent < 80 else "valid" if percent < 90 else "test"


def _stop(error: OSError) -> None:
    """Stop at a folder that cannot be read."""
    raise error
