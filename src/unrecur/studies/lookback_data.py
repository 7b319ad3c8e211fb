"""The steps that lookback predicts, and the windows of inputs before them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from unrecur._check import InputError
from unrecur.data.losses import IGNORED
from unrecur.data.sequences import Split, known_steps
from unrecur.data.task import Task
from unrecur.data.windows import Windows

USED: tuple[Split, ...] = ("train", "valid")  # the test split is for what is trained later
LONGEST = 256  # inputs in a window, where nobody asks for more
MOST_STEPS = 2**15  # predicted steps
MOST_NUMBERS = 2**26  # of all windows together, and of all scores
MOST_PRODUCTS = 2**30  # of features and scores, over all steps: more take many minutes
MOST_FEATURES = 2048  # of a window
MOST_TOKENS = 64  # token ids that a window tells apart; the others are one more
MOST_CLASSES = 256  # that are learnt; the others keep their frequency
LEAST_STEPS = 100
STEPS_PER_INPUT = 20  # predicted steps for each input of the longest window, at least
FEW_SEQUENCES = 10  # so few are cut in time, as folds of whole sequences would be too few


@dataclass(frozen=True)
class Stretch:
    """Rows that follow each other.

    Attributes:
        x: The inputs.
        target: The targets.
        known: At which rows something is to be predicted.
    """

    x: Float[Tensor, "T D"]
    target: Shaped[Tensor, "T ..."]
    known: np.ndarray


@dataclass(frozen=True)
class Steps:
    """The predicted steps of a task.

    Attributes:
        windows: The last inputs before each step, the step's own first; 0 before the start of a
            sequence.
        targets: What is to be predicted.
        stretch: Of which sequence each step is.
        share: Which share of the steps of its sequence comes before it, from 0 to 1.
        in_time: Whether folds are cut in time; else by sequences.
        lead: How many rows ahead the last target of a step lies.
        columns: The features of each named column; none where inputs have no names.
        horizons: The numbers of the target of each horizon; none where there is one horizon.
        notes: What was left out, and how inputs are read.
    """

    windows: Float[Tensor, "N K D"]
    targets: Shaped[Tensor, "N ..."]
    stretch: np.ndarray
    share: np.ndarray
    in_time: bool
    lead: int
    columns: Mapping[str, tuple[int, ...]]
    horizons: Mapping[int, tuple[int, ...]]
    notes: tuple[str, ...]

    @property
    def longest(self) -> int:
        """The number of inputs in the longest window."""
        return self.windows.shape[1]


def steps_of(task: Task, longest: int | None = None) -> Steps:
    """Collect the steps of a task that are predicted, from its training and validation splits.

    Args:
        task: The task.
        longest: The longest window; None for as long as the data allow, up to `LONGEST`.

    Returns:
        The steps; of a large task a part of them.

    Raises:
        InputError: There are too few, the target never changes, the task starts from a source, or
            the longest window is longer than the data allow.
    """
    if task.sources:
        raise InputError(
            f"task '{task.name}' starts from a source ({task.title}): what it predicts does not "
            "depend on the last inputs alone. Lookback is for tasks without one."
        )
    windows = task.splits["train"]
    notes: list[str] = []
    if isinstance(windows, Windows):
        found, lead = list(_series(task)), max(windows.leads)
        columns = _by_column(windows.columns)
        count = windows.answers.shape[-1] if windows.answers.dim() > 1 else 1
        horizons = {
            step: tuple(range(place * count, (place + 1) * count))
            for place, step in enumerate(windows.leads)
            if len(windows.leads) > 1
        }
        if windows.season:
            notes.append(
                "Windows hold values, and values are predicted: the differences that a study's "
                "models read have a longer memory than the values themselves."
            )
    else:
        found, lead, columns, horizons = list(_sequences(task)), 0, {}, {}
    if task.whole:
        notes.append("What comes after a step is not looked at, though the task allows it.")
    if task.tokens and task.in_features > MOST_TOKENS:
        notes.append(
            f"The {MOST_TOKENS - 1} commonest token ids are told apart; the others count as one."
        )
    in_time = isinstance(windows, Windows) or task.continuous or len(found) < FEW_SEQUENCES
    _check(task, found)
    length = _longest(task, found, longest)
    found = _part(found, _most(task, found, length), in_time, notes)
    pieces = [_cut(stretch, length) for stretch in found]
    sizes = [len(target) for _, target in pieces]
    return Steps(
        torch.cat([x for x, _ in pieces]),
        torch.cat([target for _, target in pieces]),
        np.repeat(np.arange(len(sizes)), sizes),
        np.concatenate([np.arange(size) / size for size in sizes]),
        in_time,
        lead,
        columns,
        horizons,
        tuple(notes),
    )


def _series(task: Task) -> Iterator[Stretch]:
    """Give the series of a table, whole: its pieces overlap."""
    splits = [task.splits[split] for split in USED]
    windows = [split for split in splits if isinstance(split, Windows)]
    origins = np.unique(np.concatenate([split.pieces.origin for split in windows]))
    for origin in origins.tolist():
        parts = [
            (int(first), int(end))
            for split in windows
            for first, end, own in zip(
                split.pieces.first, split.pieces.end, split.pieces.origin, strict=True
            )
            if own == origin
        ]
        end, one = max(end for _, end in parts), windows[0]
        counted = np.zeros(end - origin, bool)
        for first, last in parts:
            counted[first - origin : last - origin] = True
        target = one.answers[origin:end]
        if target.dim() > 1:
            rows = torch.arange(origin, end)[:, None] + torch.tensor(one.leads)
            target = one.answers[rows.clamp(max=len(one.answers) - 1)].flatten(1)
        yield Stretch(one.inputs[origin:end], target, counted & known_steps(target).numpy())


def _sequences(task: Task) -> Iterator[Stretch]:
    """Give the sequences of a task, those that go on where one ends as one."""
    shown = _common(task) if task.tokens else None
    for split in USED:
        numbers = range(len(task.splits[split]))
        if task.continuous:  # what is nearest to the present, and no more than is used
            lengths = task.lengths(split)
            after = lengths[::-1].cumsum()[::-1]
            numbers = range(int((after > MOST_STEPS + LONGEST).sum()), len(lengths))
        elif task.steps(split) > MOST_STEPS:
            kept = max(FEW_SEQUENCES, len(numbers) * MOST_STEPS // task.steps(split))
            numbers = range(0, len(numbers), max(1, len(numbers) // kept))
        pairs = [task.pair(split, number) for number in numbers]
        if task.continuous:
            pairs = [(torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs]))]
        for x, target in pairs:
            inputs = x
            if shown is not None:
                width = int(shown.max()) + 1
                inputs = torch.nn.functional.one_hot(shown[x], width).float()
            yield Stretch(inputs, target, known_steps(target).numpy())


def _common(task: Task) -> Tensor:
    """Map each token id to its rank among the commonest, the others to one more."""
    if task.in_features <= MOST_TOKENS:
        return torch.arange(task.in_features)
    counts, seen = torch.zeros(task.in_features, dtype=torch.int64), 0
    for number in range(len(task.splits["train"])):
        x, _ = task.pair("train", number)
        counts += torch.bincount(x, minlength=task.in_features)
        seen += len(x)
        if seen > MOST_STEPS:
            break
    ranks = torch.full_like(counts, MOST_TOKENS - 1)
    ranks[counts.argsort(descending=True, stable=True)[: MOST_TOKENS - 1]] = torch.arange(
        MOST_TOKENS - 1
    )
    return ranks


def _by_column(origins: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Group features by the column of the table they come from."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(origins):
        found.setdefault(name, []).append(place)
    return {name: tuple(places) for name, places in found.items()}


def _check(task: Task, found: list[Stretch]) -> None:
    """Check that there is something to predict, and enough of it."""
    count = sum(int(stretch.known.sum()) for stretch in found)
    if count < LEAST_STEPS:
        raise InputError(
            f"task '{task.name}' is too short to be split: expected at least {LEAST_STEPS} steps "
            f"to predict in training and validation, got {count}. Take more data, or a shorter "
            "horizon."
        )
    target = torch.cat([stretch.target[torch.from_numpy(stretch.known)] for stretch in found])
    first = target[0]
    same = (target == first) | (target.isnan() if target.is_floating_point() else target == IGNORED)
    if bool(same.all()):
        raise InputError(
            f"the target of task '{task.name}' never changes in training and validation: there is "
            "nothing to look back for. Name another target."
        )


def _longest(task: Task, found: list[Stretch], asked: int | None) -> int:
    """Choose the longest window, or check the one that is asked for."""
    features = found[0].x.shape[1]
    limits = {
        f"a sequence has at most {max(len(s.x) for s in found):,} steps": max(
            len(stretch.x) for stretch in found
        ),
        f"each of its inputs has {features} features, and a window {MOST_FEATURES} at most": max(
            1, MOST_FEATURES // features
        ),
        f"each of its inputs needs {STEPS_PER_INPUT} steps to be predicted": max(
            1, sum(int(stretch.known.sum()) for stretch in found) // STEPS_PER_INPUT
        ),
    }
    reason, most = min(limits.items(), key=lambda item: item[1])
    if asked is None:
        return min(LONGEST, most)
    if not 1 <= asked <= most:
        raise InputError(
            f"task '{task.name}': expected a longest window of 1 to {most:,} inputs, as {reason}, "
            f"got {asked}."
        )
    return asked


def _most(task: Task, found: list[Stretch], longest: int) -> int:
    """Say how many steps can be predicted in the memory and the minutes that there are."""
    features = longest * found[0].x.shape[1]
    return min(
        MOST_STEPS,
        MOST_NUMBERS // features,
        MOST_NUMBERS // 2 // task.out_features,
        MOST_PRODUCTS // (features * min(task.out_features, MOST_CLASSES)),
    )


def _part(found: list[Stretch], most: int, in_time: bool, notes: list[str]) -> list[Stretch]:
    """Keep so many steps at the most: the last of each sequence, or evenly spaced sequences."""
    sizes = [int(stretch.known.sum()) for stretch in found]
    total = sum(sizes)
    if total <= most:
        return [stretch for stretch, size in zip(found, sizes, strict=True) if size]
    notes.append(
        f"{most:,} of {total:,} steps are predicted: "
        + ("the last ones of each sequence." if in_time else "those of evenly spaced sequences.")
    )
    if not in_time:
        kept = max(1, len(found) * most // total)
        return [found[place * len(found) // kept] for place in range(kept)]
    shorter = []
    for stretch, size in zip(found, sizes, strict=True):
        left_out = size - max(1, size * most // total) if size else 0
        late = stretch.known.cumsum() > left_out
        shorter.append(Stretch(stretch.x, stretch.target, stretch.known & late))
    return [stretch for stretch in shorter if stretch.known.any()]


def _cut(stretch: Stretch, longest: int) -> tuple[Tensor, Tensor]:
    """Give the window and the target of each known step of a stretch."""
    rows = torch.from_numpy(np.flatnonzero(stretch.known))
    padded = torch.nn.functional.pad(stretch.x, (0, 0, longest - 1, 0))
    places = rows[:, None] + (longest - 1) - torch.arange(longest)
    return padded[places], stretch.target[rows]
