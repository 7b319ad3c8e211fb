"""How lookback splits its steps: models are fitted on some and judged on others, in order of time.

Rolling origins (Tashman 2000, Int. J. Forecasting 16): each part is predicted by a model fitted on
all before it. Sequences that do not depend on each other are folds as they are.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unrecur._check import InputError
from unrecur.studies.lookback_data import Steps

# Of the steps of a sequence: settings are chosen on the second part by models of the first; the
# others are predicted.
EDGES = (0.28, 0.4, 0.55, 0.7, 0.85)
GROUPS = 5  # of independent sequences
BLOCKS = 24  # of predicted steps in order of time; their spread gives the standard errors
MOST_BLOCKS = 40  # of sequences
LEAST_PART = 10  # steps


@dataclass(frozen=True)
class Fold:
    """One split of the steps.

    Attributes:
        train: The parts that the model is fitted on.
        test: The part that it is judged on.
        inner_train: The parts of `train` on which models with several settings are fitted.
        inner_test: The part of `train` on which their settings are chosen.
    """

    train: tuple[int, ...]
    test: int
    inner_train: tuple[int, ...]
    inner_test: int


@dataclass(frozen=True)
class Folds:
    """All splits of the steps.

    Attributes:
        part: For each step its part; -1 for steps that are left out.
        block: For each step its block, counted within all.
        blocks: The number of blocks.
        splits: The splits; each step is judged once at the most.
    """

    part: np.ndarray
    block: np.ndarray
    blocks: int
    splits: tuple[Fold, ...]

    @property
    def first(self) -> Fold:
        """The split on whose inner parts the kind of the models is chosen."""
        return self.splits[0]

    def rows(self, *parts: int) -> Tensor:
        """Find the steps of some parts.

        Args:
            *parts: The parts.

        Returns:
            The numbers of the steps, rising.
        """
        return torch.from_numpy(np.flatnonzero(np.isin(self.part, parts)))


def folds_of(steps: Steps) -> Folds:
    """Split steps so that no model is fitted on the future of what it predicts.

    Cut in time, the last steps of each part whose targets lie in the next one are left out.

    Args:
        steps: The steps.

    Returns:
        The splits.

    Raises:
        InputError: A part would have too few steps.
    """
    folds = _in_time(steps) if steps.in_time else _by_sequence(steps)
    parts = {part for fold in folds.splits for part in (*fold.train, fold.test)}
    least = min(int((folds.part == part).sum()) for part in parts)
    if least < LEAST_PART:
        raise InputError(
            f"the data are too short to be split in order of time: a part of them has {least} "
            f"steps to predict, expected at least {LEAST_PART}. Take more data, or a shorter "
            "horizon."
        )
    return folds


def _in_time(steps: Steps) -> Folds:
    """Cut every sequence at the same shares."""
    part = np.searchsorted(EDGES, steps.share, side="right")
    # A step is left out if its last target is a row of a later part.
    rank, last = np.arange(len(part)), len(part) - 1
    ahead = np.minimum(rank + max(0, steps.lead - 1), last)
    crosses = (part[ahead] != part) & (steps.stretch[ahead] == steps.stretch)
    begin, end = np.array([0.0, *EDGES])[part], np.array([*EDGES, 1.0])[part]
    each = BLOCKS // (len(EDGES) - 1)
    within = np.minimum(each - 1, ((steps.share - begin) / (end - begin) * each).astype(np.int64))
    block = np.maximum(0, part - 2) * each + within
    splits = tuple(Fold(tuple(range(test)), test, (0,), 1) for test in range(2, len(EDGES) + 1))
    return Folds(np.where(crosses, -1, part), block, BLOCKS, splits)


def _by_sequence(steps: Steps) -> Folds:
    """Deal sequences to groups in turn."""
    part = steps.stretch % GROUPS
    splits = []
    for test in range(GROUPS):
        inner = (test + 1) % GROUPS
        train = tuple(group for group in range(GROUPS) if group != test)
        splits.append(Fold(train, test, tuple(g for g in train if g != inner), inner))
    blocks = min(MOST_BLOCKS, int(steps.stretch.max()) + 1)
    return Folds(part, steps.stretch % blocks, blocks, tuple(splits))
