"""Somebody's data set: read once to measure it, and then when it is needed."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from unrecur._check import InputError
from unrecur.data.hashing import split_hash
from unrecur.data.items import ItemReader
from unrecur.data.losses import IGNORED
from unrecur.data.sequences import Pair, Sequences, known_steps


@dataclass(frozen=True)
class View:
    """Sequences of somebody's data set.

    Attributes:
        source: The data set.
        index: Which of its items they are.
        read: Reads an item.
        name: What they are, for messages.
        lengths: The number of steps of each, once they are known.
    """

    source: Any
    index: np.ndarray
    read: ItemReader
    name: str
    lengths: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, number: int) -> Pair:
        item = int(self.index[number])
        return self.read(self.source[item], f"{self.name} item {item}")

    def ready(self, lengths: np.ndarray) -> Sequences:
        """Give the sequences to a task.

        Args:
            lengths: The number of steps of each.

        Returns:
            Those of a list as a list, so that they are converted once; else this view.
        """
        if isinstance(self.source, list | tuple):
            return [self[number] for number in range(len(self))]
        return replace(self, lengths=lengths)


class Findings(NamedTuple):
    """What is found in the sequences of a split.

    Attributes:
        lengths: The number of steps of each.
        sha256: What identifies the content.
        ids: The largest token id and one; 0 where inputs are numbers.
        features: The number of features; 0 where inputs are token ids.
        classes: The largest class and one; 0 where targets are numbers.
        outputs: How many numbers a target has; 0 where targets are classes.
        at_the_end: Whether nothing but the last step counts.
        variance: Of the numbers of the targets, the mean over them.
        binary: Whether all numbers of the targets are 0 or 1.
    """

    lengths: np.ndarray
    sha256: str
    ids: int
    features: int
    classes: int
    outputs: int
    at_the_end: bool
    variance: float
    binary: bool


def measure(view: View) -> Findings:
    """Read the sequences of a split once, one at a time.

    Args:
        view: The sequences.

    Returns:
        What is found.

    Raises:
        InputError: An item is malformed or of another kind than the first, a class is below 0, or
            nothing is to be predicted.
    """
    lengths, digest, kinds = [], hashlib.sha256(), set()
    ids = classes = 0
    at_the_end = binary = True
    count = total = squares = np.zeros(1)
    for number in range(len(view)):
        x, target = view[number]
        kinds.add((0 if x.dim() == 1 else x.shape[1], 0 if target.dim() == 1 else target.shape[1]))
        if len(kinds) > 1:
            raise InputError(
                f"{view.name} item {int(view.index[number])}: expected inputs and target of the "
                f"same kind in all items, got {len(kinds)} kinds: (features, numbers to predict), "
                f"0 for whole numbers: {sorted(kinds)}."
            )
        known = known_steps(target)
        at_the_end &= not known[:-1].any()
        lengths.append(len(x))
        digest.update(split_hash([x.numpy(), target.numpy()]).encode())
        counted = target[known].double().numpy()
        if x.dim() == 1:
            _check_ids(x.min().item(), f"{view.name} item {int(view.index[number])}")
            ids = max(ids, int(x.max()) + 1)
        if not len(counted):
            continue
        if target.dim() == 1:
            classes = max(classes, int(counted.max()) + 1)
            _check_classes(counted.min(), f"{view.name} item {int(view.index[number])}")
        count = count + (~np.isnan(counted)).sum(0)
        total, squares = total + np.nansum(counted, 0), squares + np.nansum(counted**2, 0)
        binary &= bool((np.isnan(counted) | np.isin(counted, (0, 1))).all())
    if not count.any():
        raise InputError(f"{view.name}: expected something to predict, got {IGNORED} or NaN only.")
    [(features, outputs)] = kinds
    seen = count.clip(min=1)
    variance = float((squares / seen - (total / seen) ** 2).mean())
    return Findings(
        np.array(lengths, dtype=np.int64),
        digest.hexdigest(),
        ids,
        features,
        classes,
        outputs,
        at_the_end,
        max(variance, 0.0),
        binary,
    )


def _check_ids(least: float, where: str) -> None:
    """Check token ids."""
    if least < 0:
        raise InputError(
            f"{where}: expected token ids from 0, as inputs are whole numbers [time], got {least}. "
            "Convert numbers that are no ids to floats."
        )


def _check_classes(least: float, where: str) -> None:
    """Check classes."""
    if least < 0:
        raise InputError(
            f"{where}: expected classes from 0 (or {IGNORED} where nothing is predicted), got "
            f"{least:g}. Are the labels of this split kept secret?"
        )
