"""HDF5 files from anywhere: their datasets, and nothing that they link to outside themselves."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unrecur._check import CorruptFileError, InputError, extra

LARGEST = 2**28  # numbers in one dataset
DEEPEST = 64
MOST_OBJECTS = 200_000


@contextlib.contextmanager
def open_hdf5(file: Path | io.BytesIO) -> Iterator[Any]:
    """Open an HDF5 file for reading.

    Args:
        file: The file, or its content.

    Yields:
        The `h5py.File`.

    Raises:
        CorruptFileError: It is truncated or damaged.
        InputError: What is done with it raises one.
    """
    h5py = extra("h5py", "interop")
    try:
        with h5py.File(file, "r") as opened:
            yield opened
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise CorruptFileError(
            f"expected a whole HDF5 file, got a truncated or damaged one, or one of another format "
            f"({error}). Download or save it again."
        ) from error


def datasets(opened: Any) -> dict[str, Any]:
    """List the datasets of a file, by their paths. None is read.

    Args:
        opened: The `h5py.File`.

    Returns:
        The datasets, sorted by path.

    Raises:
        InputError: There is a link out of the file or to another place, or too much of anything.
    """
    h5py = extra("h5py", "interop")
    found: dict[str, Any] = {}
    count = 0
    waiting: list[tuple[str, Any]] = [("", opened)]
    while waiting:
        path, group = waiting.pop()
        for name in group:
            place = f"{path}/{name}" if path else name
            count += 1
            if count > MOST_OBJECTS or place.count("/") > DEEPEST:  # groups can hold themselves
                raise InputError(
                    f"expected at most {MOST_OBJECTS} objects, {DEEPEST} deep, got more at "
                    f"'{place[:200]}'."
                )
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise InputError(
                    f"expected weights in the file itself, got a link at '{place}'. It is not "
                    "followed: save the model again."
                )
            item = group[name]
            if isinstance(item, h5py.Group):
                waiting.append((place, item))
            elif isinstance(item, h5py.Dataset):
                found[place] = item
    return dict(sorted(found.items()))


def read(dataset: Any) -> np.ndarray:
    """Read a dataset of floating-point numbers.

    Args:
        dataset: The `h5py.Dataset`.

    Returns:
        Its numbers.

    Raises:
        InputError: It holds something else, or too many, or its data are in another file.
    """
    if dataset.external or dataset.is_virtual:
        raise InputError(
            f"expected the numbers of '{dataset.name}' in the file itself, got a reference to "
            "another. It is not read: save the model again."
        )
    if dataset.dtype.kind != "f" or dataset.size is None or dataset.size > LARGEST:
        raise InputError(
            f"expected at most {LARGEST} floating-point numbers in '{dataset.name}', got "
            f"{dataset.size} of type {dataset.dtype}."
        )
    return np.asarray(dataset[()], dataset.dtype.newbyteorder("="))
