"""Regression and classification: at every step, another column of the same step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from unrecur._check import InputError
from unrecur.data.columns import categories
from unrecur.data.forecast_scores import ForecastScores, ScaledError
from unrecur.data.forecasting import LEAST_ORDER, hashes_of, level_of, numbers_of, windows_of
from unrecur.data.losses import IGNORED, categorical_nll
from unrecur.data.prepared import Plan, Prepared, prepare
from unrecur.data.scaling import target_scale
from unrecur.data.scores import accuracy
from unrecur.data.splitting import FRACTIONS, Splitting
from unrecur.data.task import Task

MOST_CLASSES = 1000
MANY = 32  # classes, that should come again
PRESENT = (0,)


def regression_task(
    source: Any,
    *,
    target: str,
    time: str | None = None,
    id: str | None = None,
    inputs: Sequence[str] | None = None,
    static: Sequence[str] = (),
    frequency: str | float | None = None,
    split: Splitting = FRACTIONS,
    length: int | None = None,
    context: int | None = None,
    name: str | None = None,
) -> Task:
    """Make the task of predicting a column of numbers from the others, up to the same step.

    The target itself is no input. The metric is the mean absolute error divided by that of the
    median of training, in training; the chance level is what this median reaches on the test split.
    For the rest see `forecasting_task`.

    Args:
        source: The path of a table, a data frame, or one of these for each split.
        target: The column to predict.
        time: The column of times; None where rows are steps.
        id: The column that tells series apart; None for one series.
        inputs: The columns that are given; None for all others.
        static: Columns with one value in each series.
        frequency: How long a step is; None for the commonest step.
        split: Fractions of the steps, numbers of steps, or two times.
        length: How many steps are predicted in a sequence; None chooses.
        context: How many steps before them are read; None chooses.
        name: The task's name; None for that of the file.

    Returns:
        The task.

    Raises:
        InputError: The table is malformed, a column is missing or unusable, or a split is empty.
    """
    plan = Plan((target,), inputs, time, id, static, (), frequency, split, length, context, name)
    prepared = prepare(source, plan)
    series = prepared.series
    values, train = numbers_of(prepared, target), prepared.train
    scale, _ = target_scale(values, series.offsets, prepared.ends[:, 0], 0, target)
    scaled = scale.apply(values, series.lengths).astype(np.float32)[:, None]
    built = prepared.columns({}, 0)
    notes = list(built.notes)
    missing = int(np.isnan(values).sum())
    if missing:
        notes.append(f"Target '{target}' is missing at {missing:,} steps, which are not counted.")
    loss = ScaledError((scale.weight,))
    windows = windows_of(prepared, built, scaled, PRESENT)
    median = torch.tensor([float(np.nanmedian(scaled[train]))])
    return Task(
        name=prepared.name,
        title=f"{prepared.name}: {target} at each step",
        metric="mean absolute error, scaled",
        unit="absolute error / error of the median in training",
        in_features=len(built.names),
        out_features=1,
        step_loss=loss,
        chance_level=level_of(windows["test"], median, loss),
        splits=windows,
        hashes=hashes_of(prepared, windows),
        floors={"autoregression": {"order": LEAST_ORDER}, "constant": {"of": "median"}},
        scores=ForecastScores((target,), (scale,), loss).table(),
        notes=(*prepared.notes, *notes),
    )


def classification_task(
    source: Any,
    *,
    target: str,
    time: str | None = None,
    id: str | None = None,
    inputs: Sequence[str] | None = None,
    static: Sequence[str] = (),
    frequency: str | float | None = None,
    split: Splitting = FRACTIONS,
    length: int | None = None,
    context: int | None = None,
    name: str | None = None,
) -> Task:
    """Make the task of predicting the class of each step from the other columns up to it.

    The target itself is no input. The metric is the negative log-likelihood of the class in nats;
    the chance level is that of the frequencies of training, on the test split. Classes are the
    values of training; steps with others are not counted. For the rest see `forecasting_task`.

    Args:
        source: The path of a table, a data frame, or one of these for each split.
        target: The column with the classes, text or whole numbers.
        time: The column of times; None where rows are steps.
        id: The column that tells series apart; None for one series.
        inputs: The columns that are given; None for all others.
        static: Columns with one value in each series.
        frequency: How long a step is; None for the commonest step.
        split: Fractions of the steps, numbers of steps, or two times.
        length: How many steps are predicted in a sequence; None chooses.
        context: How many steps before them are read; None chooses.
        name: The task's name; None for that of the file.

    Returns:
        The task; `notes` lists the classes in their order.

    Raises:
        InputError: The table is malformed, a column is missing or unusable, a split is empty, or
            there are fewer than 2 classes or more than 1000.
    """
    plan = Plan((target,), inputs, time, id, static, (), frequency, split, length, context, name)
    prepared = prepare(source, plan, text=[target])
    answers, classes, notes = _classes(prepared, target)
    built = prepared.columns({}, 0)
    windows = windows_of(prepared, built, answers, PRESENT)
    counts = np.bincount(answers[prepared.train & (answers >= 0)], minlength=len(classes))
    frequencies = torch.from_numpy(np.log(counts / counts.sum())).float()
    return Task(
        name=prepared.name,
        title=f"{prepared.name}: {target} at each step",
        metric=f"negative log-likelihood of {target}",
        unit="nats per step",
        in_features=len(built.names),
        out_features=len(classes),
        step_loss=categorical_nll,
        chance_level=level_of(windows["test"], frequencies, categorical_nll),
        splits=windows,
        hashes=hashes_of(prepared, windows),
        floors={"constant": {}},
        scores={"accuracy": accuracy},
        notes=(*prepared.notes, *notes, *built.notes),
    )


def _classes(prepared: Prepared, target: str) -> tuple[np.ndarray, list[str], list[str]]:
    """Number the classes of training; say what is not counted."""
    text = prepared.series.texts[target]
    seen = categories(text, prepared.train)
    classes = [text.values[code] for code in seen]
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise InputError(
            f"target '{target}': expected 2 to {MOST_CLASSES} classes in training, got "
            f"{len(classes)} ({', '.join(classes[:3])}). Numbers that are no classes are predicted "
            "by regression_task or forecasting_task."
        )
    once = int((np.bincount(text.codes[prepared.train & (text.codes >= 0)]) == 1).sum())
    if len(classes) > MANY and 2 * once > len(classes):
        raise InputError(
            f"target '{target}': expected classes that come again, got {len(classes)} in training "
            f"({', '.join(classes[:3])}), {once} of them once. If they are numbers, write them "
            "like 1234.5, and leave missing ones empty."
        )
    numbers = np.full(len(text.values) + 1, IGNORED, np.int64)
    numbers[seen] = np.arange(len(seen))
    answers = numbers[text.codes]  # the last one is for -1
    shown = ", ".join(classes[:20]) + (", ..." if len(classes) > 20 else "")
    notes = [f"The {len(classes)} classes of '{target}': {shown}."]
    missing, unknown = int((text.codes < 0).sum()), int((answers == IGNORED).sum())
    if missing:
        notes.append(f"Target '{target}' is missing at {missing:,} steps, which are not counted.")
    if unknown > missing:
        notes.append(
            f"{unknown - missing:,} steps have a class that training has not; they are not counted."
        )
    return answers, classes, notes
