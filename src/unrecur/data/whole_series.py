"""One class, or one number, for a whole series: predicted at its last step."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64

from unrecur._check import InputError
from unrecur.core.model import AbstractSequenceModel
from unrecur.data.losses import IGNORED, categorical_nll, squared_error
from unrecur.data.scaling import Standard, standard
from unrecur.data.scores import accuracy
from unrecur.data.sequences import SPLITS, Pair, Split
from unrecur.data.task import Score, Task
from unrecur.data.ts import LabelledSeries
from unrecur.data.vocabulary import label_names


def whole_series_task(
    name: str, title: str, series: Mapping[Split, LabelledSeries], notes: tuple[str, ...] = ()
) -> Task:
    """Make the task of predicting the class, or the number, of each series at its last step.

    Features are scaled by their mean and deviation in training; so are numbers to be predicted. A
    missing value is taken to be the last one before it (the mean where there is none), and a
    feature that misses values in any split is joined by one that is 1 where it does.

    Args:
        name: The task's name.
        title: What it is, in words.
        series: The series of each split.
        notes: What was done to them, a sentence each.

    Returns:
        The task. For classes its metric is the negative log-likelihood, for numbers the squared
        error in units of their variance in training.

    Raises:
        InputError: The series of the splits have other numbers of features, a feature is missing
            in all of training, the class or the number to be predicted is constant there, or all
            that is tested was seen before.
    """
    scales, gaps = _scales(series, name)
    of_classes = bool(series["train"].classes)
    targets, fields = _classes(series, name) if of_classes else _numbers(series, name)
    twice = _twice(series, name)
    splits = {
        split: [
            _pair(_inputs(values, scales, gaps), target)
            for values, target in zip(series[split].values, targets[split], strict=True)
        ]
        for split in SPLITS
    }
    return Task(
        name=name,
        title=title,
        in_features=len(scales) + int(gaps.sum()),
        splits=splits,
        whole=True,
        notes=(
            *notes,
            *_notes(scales, gaps, fields.pop("scale", None)),
            *fields.pop("late", ()),
            *twice,
        ),
        **fields,
    )


def _scales(
    series: Mapping[Split, LabelledSeries], name: str
) -> tuple[list[Standard], Bool[np.ndarray, " D"]]:
    """Measure each feature in training, and find those that miss values anywhere."""
    features = series["train"].values[0].shape[1]
    gaps = np.zeros(features, dtype=bool)
    for split in SPLITS:
        for number, values in enumerate(series[split].values):
            if values.shape[1] != features:
                raise InputError(
                    f"{split} series {number} of task '{name}': expected {features} features, as "
                    f"in training, got {values.shape[1]}."
                )
            gaps |= np.isnan(values).any(0)
    columns = np.concatenate(series["train"].values).T
    empty = np.flatnonzero(np.isnan(columns).all(1))
    if len(empty):
        raise InputError(
            f"task '{name}': expected values of feature {empty[0] + 1} in training, got none at "
            "all. Take the feature out."
        )
    return [standard(column, np.ones(len(column), dtype=bool)) for column in columns], gaps


def _inputs(
    values: Float64[np.ndarray, "T D"], scales: Sequence[Standard], gaps: Bool[np.ndarray, " D"]
) -> Float32[np.ndarray, "T E"]:
    """Scale the features of a series, fill what is missing and mark where it is."""
    missing = np.isnan(values)
    steps = np.where(missing, -1, np.arange(len(values))[:, None])
    last = np.maximum.accumulate(steps, axis=0)
    mean = np.array([scale.mean for scale in scales])
    deviation = np.array([scale.deviation or 1.0 for scale in scales])
    scaled = (np.take_along_axis(values, last.clip(min=0), axis=0) - mean) / deviation
    filled = np.where(last < 0, 0.0, scaled)
    with np.errstate(over="ignore"):  # what is too large is refused by the task
        return np.concatenate([filled, missing[:, gaps]], axis=1).astype(np.float32)


def _pair(x: Float32[np.ndarray, "T E"], label: int | float) -> Pair:
    """Put a label at the last step."""
    if isinstance(label, float):
        target = torch.full((len(x), 1), torch.nan)
    else:
        target = torch.full((len(x),), IGNORED)
    target[-1] = label
    return torch.from_numpy(x), target


def _twice(series: Mapping[Split, LabelledSeries], name: str) -> list[str]:
    """Count the series of test that are in the other splits too, with the same label."""
    train, valid, tested = (
        [
            (values.shape, values.tobytes(), label)
            for values, label in zip(series[split].values, series[split].labels, strict=True)
        ]
        for split in SPLITS
    )
    known = {*train, *valid}
    count = sum(each in known for each in tested)
    if count == len(tested):
        raise InputError(
            f"task '{name}': expected series of test that are in no other split, got none: all "
            f"{count} are, and a model would be scored on what it was trained on. Is it the same "
            "file twice?"
        )
    if not count:
        return []
    return [f"{count} of the {len(tested)} series of test are in another split too."]


def _classes(
    series: Mapping[Split, LabelledSeries], name: str
) -> tuple[dict[Split, list[int]], dict[str, Any]]:
    """Number the classes."""
    train, *others = ([str(label) for label in series[split].labels] for split in SPLITS)
    if len(set(train)) < 2:
        raise InputError(
            f"task '{name}': expected series of two classes or more in training, got only "
            f"'{train[0]}'. Nothing can be learned of that; is the file cut off?"
        )
    _, late = label_names(train, chain.from_iterable(others), "label")
    names = list(dict.fromkeys(name for split in SPLITS for name in series[split].classes))
    targets = {s: [names.index(str(label)) for label in series[s].labels] for s in SPLITS}
    fields = {
        "metric": "negative log-likelihood of the class",
        "unit": "nats per series",
        "out_features": len(names),
        "step_loss": categorical_nll,
        "floors": {"constant": {}},
        "chance_level": math.log(len(names)),
        "scores": {"accuracy": accuracy},
        "late": late,
    }
    return targets, fields


def _numbers(
    series: Mapping[Split, LabelledSeries], name: str
) -> tuple[dict[Split, list[float]], dict[str, Any]]:
    """Scale the numbers to be predicted."""
    given = np.array(series["train"].labels, dtype=np.float64)
    scale = standard(given, np.ones(len(given), dtype=bool))
    if not scale.deviation:
        raise InputError(
            f"task '{name}': expected numbers to predict that differ in training, got {given[0]} "
            "throughout."
        )
    targets = {
        s: [(float(label) - scale.mean) / scale.deviation for label in series[s].labels]
        for s in SPLITS
    }
    fields = {
        "metric": "squared error of the number",
        "unit": "variances of training",
        "out_features": 1,
        "step_loss": squared_error,
        "floors": {"constant": {"of": "mean"}},
        "chance_level": 1.0,
        "scores": {
            "rmse": Score("root mean squared error", "", "lower", RootMeanSquare(scale.deviation))
        },
        "scale": scale,
    }
    return targets, fields


def _notes(
    scales: Sequence[Standard], gaps: Bool[np.ndarray, " D"], target: Standard | None
) -> list[str]:
    """Say what was done to the values."""
    notes = ["Features are scaled by their mean and standard deviation in training."]
    constant = sum(not scale.deviation for scale in scales)
    if constant:
        notes.append(f"{constant} features are constant in training; they are only centred.")
    if gaps.any():
        notes.append(
            f"{int(gaps.sum())} features miss values: the last one before is taken, or the mean at "
            "the start, and a feature for each says where."
        )
    if target:
        notes.append(
            f"The number to be predicted is scaled by its mean ({target.mean:.6g}) and standard "
            f"deviation ({target.deviation:.6g}) in training."
        )
    return notes


@dataclass(frozen=True)
class RootMeanSquare:
    """Gives the root mean squared error in the unit of the data.

    Attributes:
        deviation: By which the numbers were divided.
    """

    deviation: float

    def __call__(
        self, model: AbstractSequenceModel, task: Task, split: Split, metric: float
    ) -> float:
        """Give the error of a split.

        Args:
            model: Not needed.
            task: Not needed.
            split: Not needed.
            metric: The mean squared error of the scaled numbers.

        Returns:
            Its root, scaled back.
        """
        return math.sqrt(metric) * self.deviation
