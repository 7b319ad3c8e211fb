"""Windows over long series: read when they are needed, each target counted once."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from unrecur.data.hashing import split_hash
from unrecur.data.losses import IGNORED
from unrecur.data.sequences import Pair

BLOCK = 2**16  # rows that are hashed at once


@dataclass(frozen=True)
class Pieces:
    """Which rows each sequence of a split takes.

    Attributes:
        start: The first row that is read.
        first: The first row whose target counts; those before it warm the model up.
        end: The row after the last.
        series: Which series it is of.
        origin: The first row of that series.
    """

    start: np.ndarray
    first: np.ndarray
    end: np.ndarray
    series: np.ndarray
    origin: np.ndarray


def pieces(
    begins: np.ndarray, ends: np.ndarray, offsets: np.ndarray, length: int, context: int
) -> Pieces:
    """Cut the counted rows of a split into pieces.

    Args:
        begins: The first counted row of each series.
        ends: The row after its last; not above `begins` where it has none.
        offsets: Where each series begins, and the end.
        length: How many counted rows a piece has at the most.
        context: How many rows before them are read at the most, of the same series.

    Returns:
        The pieces, in order.

    Example:
        >>> found = pieces(np.array([3]), np.array([8]), np.array([0, 9]), length=2, context=4)
        >>> found.start.tolist(), found.first.tolist(), found.end.tolist()
        ([0, 1, 3], [3, 5, 7], [5, 7, 8])
    """
    counts = np.maximum(0, -(-(ends - begins) // length))
    series = np.repeat(np.arange(len(begins)), counts)
    number = np.arange(len(series)) - np.repeat(np.cumsum(counts) - counts, counts)
    first = begins[series] + number * length
    return Pieces(
        np.maximum(offsets[series], first - context),
        first,
        np.minimum(first + length, ends[series]),
        series,
        offsets[series],
    )


@dataclass(frozen=True)
class Windows:
    """The sequences of a split, over arrays that all splits share.

    Attributes:
        inputs: The inputs of all rows.
        answers: The targets of all rows, numbers (NaN where missing) or classes.
        leads: Which steps ahead are predicted at each step; 0 is the step itself. At each step
            the targets stand side by side, those of the first lead first.
        pieces: Which rows each sequence takes.
        season: Targets are differences from the value one season back, or the fewest whole seasons
            at which it is known: the value at step t + lead minus the input value of the target at
            step t - (-lead % season), the first step of the series where that is before it. 0 where
            targets are as they are.
        spread: For each column of the inputs, what its difference from the value one season back
            (or at the first step of the series) is divided by when it is read; 0 where it is read
            as it is. The array itself holds values, which the naive forecast needs.
        columns: For each column of the inputs, the column of the table that it comes from.
    """

    inputs: Float[Tensor, "N D"]
    answers: Shaped[Tensor, "N ..."]
    leads: tuple[int, ...]
    pieces: Pieces
    season: int
    spread: Float[Tensor, " D"]
    columns: tuple[str, ...] = ()

    @property
    def lengths(self) -> np.ndarray:
        """How many steps each sequence has."""
        return self.pieces.end - self.pieces.start

    def __len__(self) -> int:
        return len(self.pieces.start)

    def __getitem__(self, index: int) -> Pair:
        start, first, end = (
            int(rows[index]) for rows in (self.pieces.start, self.pieces.first, self.pieces.end)
        )
        x = self._read(start, end, int(self.pieces.origin[index]))
        if self.answers.dim() == 1:
            target = self.answers[start:end].clone()
            target[: first - start] = IGNORED
            return x, target
        rows = torch.arange(first, end)[:, None] + torch.tensor(self.leads)
        known = self.answers[rows].flatten(1) - self.naive(index)
        return x, torch.cat([known.new_full((first - start, known.shape[1]), torch.nan), known])

    def _read(self, start: int, end: int, origin: int) -> Float[Tensor, "rows D"]:
        """Give the inputs of rows of a series: differences over one season, or values."""
        x = self.inputs[start:end]
        if not self.season:
            return x
        before = self.inputs[(torch.arange(start, end) - self.season).clamp(min=origin)]
        return torch.where(self.spread > 0, (x - before) / self.spread, x)

    @property
    def back(self) -> Int[Tensor, " leads"]:
        """How many steps before the present one the naive forecast of each lead is read."""
        leads = torch.tensor(self.leads)
        return -leads % self.season if self.season else torch.zeros_like(leads)

    def naive(self, index: int) -> Float[Tensor, "rows targets"]:
        """Give the seasonal naive forecast, from which the targets of a sequence are differences.

        The targets are the first columns of the inputs, where gaps are filled, so that it is known
        at every step.

        Args:
            index: Which sequence.

        Returns:
            The forecast of each target of the counted rows, in their order; 0 without a season.
        """
        first, end, origin = (
            int(rows[index]) for rows in (self.pieces.first, self.pieces.end, self.pieces.origin)
        )
        targets = self.answers.shape[1]
        if not self.season:
            return self.answers.new_zeros(end - first, targets * len(self.leads))
        rows = (torch.arange(first, end)[:, None] - self.back).clamp(min=origin)
        return self.inputs[rows, :targets].flatten(1)

    def sha256(self, *more: np.ndarray) -> str:
        """Identify what the sequences hold.

        Args:
            *more: What else tells the split from others.

        Returns:
            The SHA-256 of all rows they read, and of what is given.
        """
        lead, every = max(self.leads), self.pieces
        # Differences begin one season before the first input; the naive forecast begins later.
        begins = np.maximum(every.start - self.season, every.origin)
        borders = np.flatnonzero(np.diff(every.series, prepend=-1))  # the first piece of a series
        last = np.append(borders[1:], len(every.series)) - 1
        ends = every.end[last]
        blocks = [
            rows[at : min(at + BLOCK, stop)].numpy()
            for begin, end in zip(begins[borders].tolist(), ends.tolist(), strict=True)
            for rows, stop in ((self.inputs, end), (self.answers, end + lead))
            for at in range(begin, stop, BLOCK)
        ]
        rule = [np.array([*self.leads, self.season]), *([self.spread.numpy()] * bool(self.season))]
        return split_hash([*blocks, every.start, every.first, every.end, *rule, *more])
