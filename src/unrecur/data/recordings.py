"""Recordings: what a task of raw audio reads its pieces from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from unrecur.data.hashing import split_hash

FULL_SCALE = 2**15  # of samples of 16 bits


@runtime_checkable
class Recordings(Protocol):
    """Recordings of one channel and one rate: in memory, or in files (`open_sounds`)."""

    @property
    def rate(self) -> int:
        """Samples per second."""

    @property
    def lengths(self) -> np.ndarray:
        """The number of samples of each."""

    @property
    def hash(self) -> str:
        """The SHA-256 of the content of all."""

    def read(self, number: int, start: int, stop: int) -> np.ndarray:
        """Read a piece of a recording.

        Args:
            number: Which recording.
            start: The first sample.
            stop: The sample after the last.

        Returns:
            The samples, float32 in [-1, 1].
        """


@dataclass(frozen=True)
class StoredRecordings:
    """Recordings in memory.

    Attributes:
        samples: The samples of each, int16.
        rate: Samples per second.
    """

    samples: Sequence[np.ndarray]
    rate: int

    @property
    def lengths(self) -> np.ndarray:
        """The number of samples of each."""
        return np.array([len(each) for each in self.samples])

    @property
    def hash(self) -> str:
        """The SHA-256 of the content of all."""
        return split_hash(self.samples)

    def read(self, number: int, start: int, stop: int) -> np.ndarray:
        """Give a piece; see `Recordings.read`."""
        return self.samples[number][start:stop].astype(np.float32) / FULL_SCALE
