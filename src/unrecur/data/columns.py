"""Columns as inputs of a model: scaled, filled, indicated, one-hot; all measured in training.

Where a season is given, models read differences over it. They are taken when a window is read (see
`Windows`), and only measured here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from unrecur._check import InputError
from unrecur.data.scaling import seasonal_spread, standard
from unrecur.data.series import Text

MOST_CATEGORIES = 32


@dataclass
class Columns:
    """Builds the columns of inputs, one after the other.

    Attributes:
        offsets: Where each series begins, and the end.
        train: Which rows are for training.
        season: The season that differences are over; 0 where none are read.
        names: The inputs so far.
        origins: For each, the column of the table that it comes from.
        values: The inputs so far, float32, [rows] each.
        spreads: For each, what its difference over one season is divided by; 0 where it is read as
            it is.
        notes: What was done.
    """

    offsets: np.ndarray
    train: np.ndarray
    season: int = 0
    names: list[str] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    values: list[np.ndarray] = field(default_factory=list)
    spreads: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add_targets(self, scaled: Mapping[str, np.ndarray]) -> None:
        """Add the past of the targets, scaled as they are: all values, and then where gaps are.

        Args:
            scaled: The values of each, NaN where missing.
        """
        for name, values in scaled.items():
            self._add_past(name, values)
        for name, values in scaled.items():
            self._add_gaps(name, values, 0)

    def add_number(self, name: str, values: np.ndarray, ahead: int = 0) -> None:
        """Add a column of numbers: standard scores; gaps hold the last value and are indicated.

        Args:
            name: Its name.
            values: Its values, NaN where missing.
            ahead: How many steps ahead it is known.
        """
        scale = standard(values, self.train)
        if scale.deviation == 0:
            self.notes.append(f"'{name}' is constant in training and left out.")
            return
        scaled = (values - scale.mean) / scale.deviation
        if ahead:
            self._append(name, name, self._filled(scaled), ahead)
        else:
            self._add_past(name, scaled)
        self._add_gaps(name, scaled, ahead)

    def add_text(self, name: str, text: Text, ahead: int = 0) -> None:
        """Add a column of text, one-hot over the values of training.

        Args:
            name: Its name.
            text: Its values.
            ahead: How many steps ahead it is known.

        Raises:
            InputError: It has too many values.
        """
        seen = categories(text, self.train)
        if len(seen) > MOST_CATEGORIES:
            examples = ", ".join(repr(text.values[code]) for code in seen[:3])
            raise InputError(
                f"column '{name}': expected numbers, or text of at most {MOST_CATEGORIES} "
                f"categories, got {len(seen)} in training ({examples}, ...). Leave it out by "
                "naming the columns to use (inputs); times are named by time, series by id."
            )
        missing = text.codes < 0
        if len(seen) < 2 and not missing[self.train].any():
            self.notes.append(f"'{name}' is constant in training and left out.")
            return
        for code in seen:
            column = (text.codes == code).astype(np.float32)
            self._append(f"{name}={text.values[code]}", name, column, ahead)
        unseen = int((~np.isin(text.codes, seen) & ~missing).sum())
        self.notes.append(
            f"'{name}' is text: one input for each of its {len(seen)} values in training"
            + (f"; {unseen:,} other values later count as none of them" if unseen else "")
            + (f"; {int(missing.sum()):,} missing values too" if missing.any() else "")
            + "."
        )

    def _add_past(self, name: str, scaled: np.ndarray) -> None:
        """Add a scaled column of which only the past is known, and measure its differences.

        It has none where it repeats every season, or is static: then nothing drifts.
        """
        values = self._filled(scaled)
        spread = 0.0
        if self.season:
            spread = seasonal_spread(values, self.offsets, self.train, self.season)
            if not spread:
                self.notes.append(
                    f"'{name}' is always as one season ago (season {self.season}) in training: it "
                    "is read as it is, not as a difference."
                )
        self._append(name, name, values, 0, spread)

    def _filled(self, scaled: np.ndarray) -> np.ndarray:
        """Give a scaled column without its gaps."""
        return carried_forward(scaled, self.offsets).astype(np.float32)

    def _add_gaps(self, name: str, scaled: np.ndarray, ahead: int) -> None:
        """Say where a column has gaps, if it has any."""
        missing = np.isnan(scaled)
        if not missing.any():
            return
        indicated = bool(missing[self.train].any())
        if indicated:
            self._append(f"{name} missing", name, missing.astype(np.float32), ahead)
        self.notes.append(
            f"'{name}' has {int(missing.sum()):,} missing values: the last known one is carried "
            "forward, before the first stands the mean of training"
            + ("; one input more says where." if indicated else "; none of them is in training.")
        )

    def _append(
        self, name: str, origin: str, values: np.ndarray, ahead: int, spread: float = 0.0
    ) -> None:
        """Add an input, moved back by so many steps as it is known ahead."""
        self.names.append(name)
        self.origins.append(origin)
        self.spreads.append(spread)
        self.values.append(moved_back(values, self.offsets, ahead) if ahead else values)

    def stacked(self) -> np.ndarray:
        """Give all inputs as one array, and let go of the columns.

        Returns:
            [rows, inputs] of float32.

        Raises:
            InputError: There are none.
        """
        if not self.values:
            raise InputError(
                "no inputs are left: every column is constant in training, or none was given."
            )
        out = np.empty((self.offsets[-1], len(self.values)), np.float32)
        for number in range(len(self.values)):
            out[:, number] = self.values[number]
            self.values[number] = np.empty(0, np.float32)
        return out


def categories(text: Text, train: np.ndarray) -> np.ndarray:
    """Say which values a column of text has in training.

    Args:
        text: The column.
        train: Which rows are for training.

    Returns:
        Their codes, in the order of the values' text.
    """
    seen = np.unique(text.codes[train])
    return np.array(sorted((c for c in seen if c >= 0), key=lambda c: text.values[c]), np.int64)


def carried_forward(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Fill gaps with the last known value of the same series, with 0 before the first.

    Args:
        values: NaN where missing.
        offsets: Where each series begins, and the end.

    Returns:
        The filled values.

    Example:
        >>> carried_forward(np.array([np.nan, 1, np.nan, np.nan, 2]), np.array([0, 3, 5]))
        array([0., 1., 1., 0., 2.])
    """
    known = np.where(np.isnan(values), 0, np.arange(len(values)))
    known[offsets[:-1]] = offsets[:-1]
    filled = values[np.maximum.accumulate(known)]
    return np.where(np.isnan(filled), 0, filled)


def moved_back(values: np.ndarray, offsets: np.ndarray, steps: int) -> np.ndarray:
    """Let each step hold the value some steps ahead, the last one of its series at the end.

    Args:
        values: The values of all series.
        offsets: Where each series begins, and the end.
        steps: How many steps ahead.

    Returns:
        The moved values.

    Example:
        >>> moved_back(np.array([1, 2, 3, 7, 8]), np.array([0, 3, 5]), 1)
        array([2, 3, 3, 8, 8])
    """
    last = np.repeat(offsets[1:] - 1, np.diff(offsets))
    return values[np.minimum(np.arange(len(values)) + steps, last)]


def repeated(values: np.ndarray, offsets: np.ndarray, name: str, source: str) -> np.ndarray:
    """Give a static column its value at every step of its series.

    Args:
        values: The column, NaN where missing.
        offsets: Where each series begins, and the end.
        name: Its name, for messages.
        source: Where it comes from, for messages.

    Returns:
        The column without gaps in series that have a value.

    Raises:
        InputError: It changes within a series.
    """
    known = ~np.isnan(values)
    starts = offsets[:-1]
    low = np.minimum.reduceat(np.where(known, values, np.inf), starts)
    high = np.maximum.reduceat(np.where(known, values, -np.inf), starts)
    changing = np.flatnonzero(low < high)
    if len(changing):
        raise InputError(
            f"{source}, column '{name}': expected a static column, one value in each series, got "
            f"{low[changing[0]]:g} and {high[changing[0]]:g} in one. Do not name it as static."
        )
    return np.repeat(np.where(low <= high, low, np.nan), np.diff(offsets))
