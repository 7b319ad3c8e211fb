"""Sequences longer than memory: arrays on disk, read piece by piece, state carried between them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from unrecur import _check
from unrecur._check import InputError
from unrecur.data.datasets import Loss, task_from
from unrecur.data.sequences import SPLITS, Pair, Split
from unrecur.data.stretch import Stretch, open_stretch
from unrecur.data.task import Task

Place = Path | Mapping[Split, Path]


class ArrayPieces(Sequence[Pair]):
    """One long sequence in pieces of k steps, each going on where the one before ends.

    The last piece may be shorter. In a continuous `Task` truncated backpropagation carries the
    state from piece to piece, and memory does not grow with the sequence.

    Args:
        x: The inputs: numbers [time, features], or token ids [time].
        target: The targets of the same steps.
        k: The number of steps of a piece.

    Raises:
        InputError: The lengths differ, or k is no whole number from 1 to the number of steps.
    """

    def __init__(self, x: Stretch, target: Stretch, k: int) -> None:
        _check.positive_integer(k, "k")
        if len(x) != len(target):
            raise InputError(
                f"expected one target for each input, got {len(x)} steps in {x.path} and "
                f"{len(target)} in {target.path}."
            )
        if k > len(x):
            raise InputError(
                f"expected pieces of at most {len(x)} steps, all that {x.path} has for this split, "
                f"got k = {k}. Lower k."
            )
        self.x, self.target, self.k = x, target, k

    @property
    def lengths(self) -> np.ndarray:
        """The number of steps of each piece."""
        found = np.full(len(self), self.k)
        found[-1] = len(self.x) - self.k * (len(self) - 1)
        return found

    def __len__(self) -> int:
        return -(-len(self.x) // self.k)

    def __getitem__(self, number: int) -> Pair:  # type: ignore[override]
        if not 0 <= number < len(self):
            raise IndexError(number)
        start = number * self.k
        stop = min(start + self.k, len(self.x))
        x, target = self.x.read(start, stop), self.target.read(start, stop)
        _check_steps(x.isfinite(), self.x, start, "finite inputs", "Clean or fill them first.")
        # A number that is NaN is not to be predicted.
        cure = "Put NaN where nothing is known."
        _check_steps(~target.isinf(), self.target, start, "targets that are not infinite", cure)
        return x, target


def _check_steps(good: Tensor, of: Stretch, start: int, expected: str, cure: str) -> None:
    """Check that all numbers are good; say at which step of the file one is not."""
    if not bool(good.all()):
        step = int((~good.flatten(1).all(1) if good.dim() > 1 else ~good).nonzero()[0])
        raise InputError(
            f"{of.path}: expected {expected}, got NaN or an infinite number at step "
            f"{of.begin + start + step}, counted from 0. {cure}"
        )


def long_task(
    x: Place,
    target: Place,
    k: int,
    *,
    split: tuple[int, int] | None = None,
    loss: Loss | None = None,
    token_ids: int | None = None,
    classes: int | None = None,
    name: str = "data",
    title: str = "",
) -> Task:
    """Make a task of sequences longer than memory, in `.npy` files.

    Each split is one sequence, cut into pieces of k steps that models carry their state over. The
    files are read once, a piece at a time, to measure and to identify them, and then when they are
    needed.

    Args:
        x: The inputs, [time, features], or token ids [time]: a file for each split, or one for all.
        target: The targets in the same way: classes [time] or numbers [time, ...].
        k: The number of steps of a piece, at least 2; a shorter split for validation or test is
            one piece.
        split: With one file: the steps at which validation and test begin; left out, after 70 % and
            80 % of the steps.
        loss: As in `task_from`.
        token_ids: The number of token ids, where there are more than the data hold.
        classes: The number of classes, where there are more than the data hold.
        name: The task's name.
        title: What it is, in words; left out, its name.

    Returns:
        The task.

    Raises:
        FileNotFoundError: A file is missing.
        InputError: A file is malformed, numbers are not finite (their step is named), a split is
            empty, or k is out of range.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> np.save(folder / "x.npy", np.random.randn(1000, 3))
        >>> np.save(folder / "classes.npy", np.arange(1000) % 4)
        >>> task = long_task(folder / "x.npy", folder / "classes.npy", k=50)
        >>> [len(task.splits[split]) for split in SPLITS], task.continuous
        ([14, 2, 4], True)
    """
    if k == 1:  # of a single step it could not be told from a target of a whole sequence
        raise InputError("expected pieces of at least 2 steps, got k = 1.")
    inputs, answers = _stretches(x, split), _stretches(target, split)
    pieces = {}
    for part in SPLITS:
        steps = len(inputs[part])
        pieces[part] = ArrayPieces(
            inputs[part], answers[part], k if part == "train" else min(k, steps)
        )
    options: dict[str, Any] = {"loss": loss, "token_ids": token_ids, "classes": classes}
    task = task_from(pieces, name=name, title=title, **options)
    note = f"Each split is one sequence, read in pieces of {k} steps; state is carried over."
    return replace(task, continuous=True, whole=False, notes=(*task.notes, note))


def _stretches(place: Place, split: tuple[int, int] | None) -> dict[Split, Stretch]:
    """Open the file of each split, or cut that of all."""
    if isinstance(place, Mapping):
        missing = [part for part in SPLITS if part not in place]
        if missing or split is not None:
            raise InputError(
                "expected a file for each split, or one file and where to cut it, got none for "
                f"{', '.join(missing)}."
                if missing
                else "expected no steps to cut at (split), as each split has its file."
            )
        return {part: open_stretch(place[part]) for part in SPLITS}
    whole = open_stretch(place)
    steps = len(whole)
    first, second = split or (steps * 7 // 10, steps * 8 // 10)
    if not 0 < first < second < steps:
        raise InputError(
            f"{place}: expected two steps inside of {steps}, rising, at which validation and test "
            f"begin, got {first} and {second}."
        )
    ends = (0, first, second, steps)
    return {
        part: replace(whole, begin=begin, end=end)
        for part, begin, end in zip(SPLITS, ends[:-1], ends[1:], strict=True)
    }
