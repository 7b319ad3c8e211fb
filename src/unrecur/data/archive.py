"""Problems of the UCR, UEA and Monash archives of time series: two files each."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from unrecur._check import InputError
from unrecur.data.held_out import held_out
from unrecur.data.sequences import Split
from unrecur.data.task import Task
from unrecur.data.ts import LabelledSeries, read_ts
from unrecur.data.whole_series import whole_series_task

VALID_SHARE = 0.2


def ts_task(path: Path, test: Path | None = None) -> Task:
    """Make a task of the `.ts` files of a problem of the UCR, UEA and Monash archives.

    Of each class 20% of the training series are held out for validation, chosen by the hash of
    their content. See `whole_series_task` for what is done to the values.

    Args:
        path: The file to learn from; of two files `NAME_TRAIN.ts` and `NAME_TEST.ts` either.
        test: The file to report on; left out, it is found beside the other by its name.

    Returns:
        The task.

    Raises:
        InputError: A file is missing or malformed, or there are too few series to hold some out.
    """
    train, test = (path, test) if test else _both(path)
    given, tested = read_ts(train), read_ts(test)
    if bool(given.classes) != bool(tested.classes):
        raise InputError(f"expected the same kind of labels in {train} and {test}, got two kinds.")
    try:
        held = _hold_out(given)
    except InputError as error:
        raise InputError(f"{train}: {error}") from error
    parts: dict[Split, LabelledSeries] = {
        "train": _part(given, ~held),
        "valid": _part(given, held),
        "test": tested,
    }
    name = train.name.partition(".")[0].removesuffix("_TRAIN")
    note = (
        f"{int(held.sum())} of the {len(held)} series of the training file were held out for "
        "validation, of each class as large a share, chosen by the hash of their content."
    )
    return whole_series_task(name, f"{name}, whole series", parts, (note,))


def _both(path: Path) -> tuple[Path, Path]:
    """Find the training and the test file of a problem, given one of them."""
    for one, other in (("_TRAIN.", "_TEST."), ("_TEST.", "_TRAIN.")):
        if one in path.name:
            found = path.with_name(other.join(path.name.rsplit(one, 1)))
            if not found.is_file():
                raise InputError(f"{path}: expected {found.name} beside it. Give both files.")
            return (path, found) if one == "_TRAIN." else (found, path)
    raise InputError(
        f"{path}: expected a file NAME_TRAIN.ts or NAME_TEST.ts, with the other beside it. Give "
        "both files."
    )


def _hold_out(series: LabelledSeries) -> Bool[np.ndarray, " N"]:
    """Choose the series for validation: of each class a share; a class of one series has none."""
    keys = [values.tobytes() for values in series.values]
    labels = [str(label) if series.classes else "" for label in series.labels]
    held = np.zeros(len(keys), dtype=bool)
    for label in sorted(set(labels)):
        members = [number for number, other in enumerate(labels) if other == label]
        if len({keys[number] for number in members}) > 1:
            held[members] = held_out([keys[number] for number in members], VALID_SHARE)
    if not held.any():
        raise InputError(
            "expected a class with two different series or more, to hold out some for validation, "
            f"got {len(keys)} series."
        )
    return held


def _part(series: LabelledSeries, chosen: Bool[np.ndarray, " N"]) -> LabelledSeries:
    """Take some series."""
    index = np.flatnonzero(chosen).tolist()
    labels: Any = [series.labels[i] for i in index]
    return LabelledSeries([series.values[i] for i in index], labels, series.classes)
