"""An .npy file that grows row by row, and takes its place when it is whole."""

import contextlib
import os
import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Float32
from numpy.lib import format as npy

HEADER = 128  # bytes; numpy aligns the data to 64, and the largest count fits


class ArrayFile:
    """Write rows [N, E] of float32 to an .npy file, one block at a time.

    They go into a hidden file beside it, which takes its place, whole, at the end of the `with`
    block; also when that ends by Ctrl-C, with what was written by then. After any other error
    nothing is left behind, and what was there before stays.

    Args:
        path: The file.
        features: The number of columns E.

    Raises:
        OSError: It cannot be written.

    Example:
        >>> import numpy as np, tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "y.npy"
        >>> with ArrayFile(path, 2) as file:
        ...     file.write(np.ones((3, 2), np.float32))
        >>> np.load(path).shape
        (3, 2)
    """

    def __init__(self, path: Path, features: int) -> None:
        self.path, self.features, self.rows = path, features, 0
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        self._file, self._temporary = os.fdopen(handle, "w+b"), Path(temporary)

    def __enter__(self) -> "ArrayFile":
        self._file.write(bytes(HEADER))
        return self

    def write(self, rows: Float32[np.ndarray, "N E"]) -> None:
        """Add rows.

        Args:
            rows: The rows.

        Raises:
            OSError: The disk is full, ...
        """
        self._file.write(np.ascontiguousarray(rows, "<f4").tobytes())
        self.rows += len(rows)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with self._file:
                if kind is None or issubclass(kind, KeyboardInterrupt):
                    self._finish()
        finally:
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)

    def _finish(self) -> None:
        """Say in the header how many rows there are, and take the place."""
        # A write that was interrupted may have left part of a row.
        self._file.truncate(HEADER + self.rows * self.features * 4)
        self._file.seek(0)
        shape = (self.rows, self.features)
        npy.write_array_header_1_0(
            self._file, {"descr": "<f4", "fortran_order": False, "shape": shape}
        )
        if self._file.tell() != HEADER:
            raise OSError(f"{self.path}: the header of {shape} takes {self._file.tell()} bytes")
        self._file.flush()
        os.fsync(self._file.fileno())
        os.replace(self._temporary, self.path)
