"""Arrays on disk, of which some steps are read when they are needed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unrecur._check import CorruptFileError, InputError


@dataclass(frozen=True)
class Stretch:
    """Steps of an array in an `.npy` file, time first.

    They are read, not mapped: pages that are mapped count as memory of the process, and a file that
    is cut short while it is mapped would end it.

    Attributes:
        path: The file.
        dtype: The type of its numbers.
        shape: The shape of the whole array.
        offset: Where it begins in the file.
        begin: The first step.
        end: The step after the last.
    """

    path: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int
    begin: int
    end: int

    def __len__(self) -> int:
        return self.end - self.begin

    def read(self, start: int, stop: int) -> Tensor:
        """Read some steps.

        Args:
            start: The first, counted from `begin`.
            stop: The one after the last.

        Returns:
            The steps, [stop - start, ...]: floats as float32, whole numbers as int64.

        Raises:
            CorruptFileError: The file has become shorter.
        """
        dtype, row = np.dtype(self.dtype), self.shape[1:]
        size = int(np.prod(row))
        offset = self.offset + (self.begin + start) * size * dtype.itemsize
        values = np.fromfile(self.path, dtype, (stop - start) * size, offset=offset)
        if len(values) != (stop - start) * size:
            raise CorruptFileError(
                f"{self.path} ends before step {self.begin + stop}, of {self.shape[0]} steps when "
                "it was opened. Is something writing to it?"
            )
        kind = np.float32 if dtype.kind == "f" else np.int64
        return torch.from_numpy(values.astype(kind).reshape(-1, *row))


def open_stretch(path: Path) -> Stretch:
    """Open an array on disk; only its header is read, and nothing in it is run.

    Args:
        path: An `.npy` file: [time], or [time, ...] in C order.

    Returns:
        All of its steps.

    Raises:
        FileNotFoundError: There is no such file.
        CorruptFileError: It is no whole `.npy` file of numbers.
        InputError: The array is empty, not of real numbers, or in Fortran order.
    """
    try:
        # Maps .npy only, and never objects: those would be unpickled.
        array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise
    # A damaged header makes numpy, the tokenizer and the parser raise half a dozen kinds of errors.
    except Exception as error:
        raise CorruptFileError(
            f"{path} cannot be read as .npy ({error}). Is it whole, and does it hold numbers only?"
        ) from error
    if array.dtype.kind not in "fiub" or not array.size:
        raise InputError(
            f"{path}: expected real numbers, not empty, got {array.dtype} {list(array.shape)}."
        )
    if array.ndim == 0 or not array.flags.c_contiguous:
        raise InputError(
            f"{path}: expected [time, ...] in C order, got {list(array.shape)} in another. Save it "
            "with np.save(path, np.ascontiguousarray(array))."
        )
    return Stretch(path, array.dtype.str, array.shape, array.offset, 0, len(array))
