"""The tokenizer: a map from text to ids and back."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import numpy as np


class AbstractTokenizer(ABC):
    """A map from text to token ids, learned from the training text alone.

    Text comes in units, as `lines.units` gives them, and joined they are the text.
    """

    encoding: ClassVar[str] = "utf-8"
    """How the bytes of a file are decoded before."""
    ends_lines: ClassVar[bool] = False
    """Whether a line end is a token, so that a last line without one gets it."""
    size: int
    """The number of ids that were learned."""
    unknown: int | None = None
    """The id of what the training text has not: `size` where it was not learned itself."""

    @classmethod
    @abstractmethod
    def learn(cls, units: Iterable[list[str]], vocabulary: int | None) -> "AbstractTokenizer":
        """Learn from the training text.

        Args:
            units: The text.
            vocabulary: How many ids there are to be; None where the text decides.

        Returns:
            The tokenizer.
        """

    @classmethod
    @abstractmethod
    def loads(cls, content: str) -> "AbstractTokenizer":
        """Read what `dumps` wrote.

        Args:
            content: JSON.

        Returns:
            The tokenizer.
        """

    @abstractmethod
    def dumps(self) -> str:
        """Write what was learned, as JSON."""

    @abstractmethod
    def encode(self, units: list[str]) -> np.ndarray:
        """Map text to ids.

        Args:
            units: The text.

        Returns:
            The ids, one array for all.
        """

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """Map ids to text.

        Args:
            ids: The ids.

        Returns:
            The text.
        """
