"""Forecasting: at every step, the steps to come."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrecur import _check
from unrecur._check import InputError
from unrecur.data.columns import Columns
from unrecur.data.forecast_scores import ForecastScores, ScaledError
from unrecur.data.losses import QuantileLoss
from unrecur.data.prepared import Plan, Prepared, prepare
from unrecur.data.scaling import TargetScale, target_scale
from unrecur.data.sequences import SPLITS, known_steps
from unrecur.data.splitting import FRACTIONS, Splitting
from unrecur.data.task import Task
from unrecur.data.windows import Windows

MOST_LEADS = 2**14
LEAST_ORDER = 24  # inputs that the linear floor sees
INPUTS = (
    "Numbers of which only the past is known are read as differences from the value one season "
    "ago, or of the first step where that is before it, divided by their root mean square in "
    "training."
)


def forecasting_task(
    source: Any,
    *,
    target: str | Sequence[str],
    time: str | None = None,
    id: str | None = None,
    horizon: int | Sequence[int] = 1,
    season: int = 1,
    inputs: Sequence[str] | None = None,
    static: Sequence[str] = (),
    known: Sequence[str] = (),
    quantiles: Sequence[float] = (),
    frequency: str | float | None = None,
    split: Splitting = FRACTIONS,
    length: int | None = None,
    context: int | None = None,
    name: str | None = None,
) -> Task:
    """Make the task of forecasting columns of a table.

    At step t a model reads the columns up to t, and of known columns also the value `horizon`
    steps ahead; it predicts the targets at t + 1 ... t + horizon, as differences from the seasonal
    naive forecast, "as in the last season that is known":

        z_{t,h} = y_{t+h} - y_{t-b},   b = -h mod season,

    with the first value of the series before its start. Numbers of which only the past is known,
    the targets too, are read as differences x_t - x_{t-season}; known and static columns, text and
    marks of gaps as they are, and so is what repeats every season in training. A model so neither
    reads nor predicts levels, which drift (Zeng et al. 2023, AAAI, arXiv 2205.13504, subtract the
    last value for this). The metric is the mean absolute scaled error (MASE): the absolute error
    divided by the mean absolute error that the forecast "as one season ago" makes in training, one
    step at a time, of each series (Hyndman and Koehler 2006, Int. J. Forecasting 22, section 3);
    with quantiles, the pinball loss so scaled. Both are the same for differences as for the targets
    themselves. The chance level is what the seasonal naive forecast, a model of zeros, reaches on
    the test split; the floor "constant" is this forecast without its median error in training.

    Everything that is measured (scales, categories, which columns are constant or have gaps) is
    measured in training alone. Targets are scaled in each series by itself, other columns and all
    differences that are read over all series. Missing targets are not counted; missing inputs hold
    the last value.

    Args:
        source: The path of a table (see `read_table`), a polars data frame, or a mapping with one
            of these for each of "train", "valid" and "test".
        target: The column to forecast, or several.
        time: The column of times; None where rows are steps.
        id: The column that tells series apart; None for one series.
        horizon: How many steps ahead, or a list of which.
        season: How many steps back the naive forecast looks, and differences are taken.
        inputs: The other columns whose past is given; None for all.
        static: Columns with one value in each series.
        known: Columns whose future is known, as of a calendar.
        quantiles: Which quantiles are predicted; none for one forecast.
        frequency: How long a step is, like "15m"; None for the commonest step.
        split: Fractions of the steps, numbers of steps, or the two times at which validation and
            test begin.
        length: How many steps are predicted in a sequence; None chooses.
        context: How many steps before them are read; None chooses.
        name: The task's name; None for that of the file.

    Returns:
        The task; `notes` says what was done to the data. At each step the targets stand side by
        side, those of the first step ahead first; quantiles of one number are neighbours.

    Raises:
        InputError: The table is malformed, a column is missing or unusable, or a split is empty.

    Example:
        >>> import polars
        >>> load = [float(step % 7 + step % 3) for step in range(400)]
        >>> task = forecasting_task(polars.DataFrame({"load": load}), target="load", horizon=3)
        >>> x, target = task.pair("test", 0)
        >>> x.shape, target.shape, int((~target.isnan()).any(1).sum())
        (torch.Size([99, 1]), torch.Size([99, 3]), 3)
    """
    leads = _leads(horizon)
    _check.positive_integer(season, "season")
    targets = (target,) if isinstance(target, str) else tuple(target)
    plan = Plan(targets, inputs, time, id, static, known, frequency, split, length, context, name)
    loss_of = _quantiles(quantiles)
    prepared = prepare(source, plan)
    scales, notes = _scales(prepared, season)
    series = prepared.series
    scaled = {
        name: scale.apply(series.numbers[name], series.lengths)
        for name, scale in zip(targets, scales, strict=True)
    }
    answers = np.stack([values.astype(np.float32) for values in scaled.values()], 1)
    built = prepared.columns(scaled, max(leads), season)
    weights = tuple(scale.weight for scale in scales) * len(leads)
    features = len(weights) * max(1, len(loss_of))
    loss = ScaledError(weights, loss_of)
    windows = windows_of(prepared, built, answers, leads, season)
    words = ", ".join(targets)
    last = f"{max(leads)} steps" if max(leads) > 1 else "1 step"
    error = "pinball loss" if loss_of else "absolute error"
    return Task(
        name=prepared.name,
        title=f"{prepared.name}: {words}, up to {last} ahead",
        metric=f"mean {error} over that of the naive forecast in training (season {season})",
        unit="scaled pinball loss" if loss_of else "MASE",
        in_features=len(built.names),
        out_features=features,
        step_loss=loss,
        chance_level=level_of(windows["test"], torch.zeros(features), loss),
        splits=windows,
        hashes=hashes_of(prepared, windows),
        floors={} if loss_of else _floors(season),
        scores=ForecastScores(targets, scales, loss).table(),
        notes=(*prepared.notes, *notes, *built.notes, INPUTS, _note(season, loss_of)),
    )


def _floors(season: int) -> dict[str, dict[str, Any]]:
    """Choose the floors, which give one forecast and no quantiles."""
    order = max(season, LEAST_ORDER)
    return {"constant": {"of": "median"}, "autoregression": {"order": order}}


def _note(season: int, quantiles: Sequence[float]) -> str:
    """Say what the targets are differences from."""
    floor = "; the floor 'constant' is this forecast with its median error taken out"
    return (
        f"Targets are differences from the value of one season ago (season {season}), or of the "
        f"fewest seasons at which it is known: the seasonal naive forecast"
        f"{'' if quantiles else floor}."
    )


def _leads(horizon: int | Sequence[int]) -> tuple[int, ...]:
    """Say which steps ahead are predicted."""
    count = horizon if isinstance(horizon, int) else len(horizon)
    if count > MOST_LEADS:
        raise InputError(
            f"expected a horizon of at most {MOST_LEADS:,} steps, got {count:,}. Name some of the "
            "steps, or lengthen the step (frequency)."
        )
    leads = range(1, horizon + 1) if isinstance(horizon, int) else horizon
    for lead in leads:
        _check.positive_integer(lead, "every step of the horizon")
    if not leads or list(leads) != sorted({*leads}):
        raise InputError(f"expected a horizon of 1 or more, or rising steps, got {horizon}.")
    return tuple(leads)


def _quantiles(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Check quantiles, if there are any."""
    return QuantileLoss(tuple(quantiles)).quantiles if quantiles else ()


def _scales(prepared: Prepared, season: int) -> tuple[tuple[TargetScale, ...], list[str]]:
    """Measure the targets; forget what text they hold."""
    scales, notes = [], []
    series = prepared.series
    for name in prepared.plan.target:
        values = numbers_of(prepared, name)
        scale, others = target_scale(values, series.offsets, prepared.ends[:, 0], season, name)
        scales.append(scale)
        missing = int(np.isnan(values).sum())
        if missing:
            notes.append(f"Target '{name}' is missing at {missing:,} steps, which are not counted.")
        if others:
            notes.append(
                f"Target '{name}' does not change in the training part of {others:,} series, or "
                "they have none: they are scaled by the mean of the others."
            )
    return tuple(scales), notes


def numbers_of(prepared: Prepared, name: str) -> np.ndarray:
    """Give a target that has to be a number.

    Args:
        prepared: The series.
        name: The target.

    Returns:
        Its values, NaN where missing.

    Raises:
        InputError: It is text.
    """
    if name in prepared.series.texts:
        examples = prepared.series.texts[name].values[:3]
        raise InputError(
            f"target '{name}': expected numbers, got text ({', '.join(map(repr, examples))}, ...). "
            "Text is predicted at the present step, by classification_task."
        )
    return prepared.series.numbers[name]


def windows_of(
    prepared: Prepared,
    built: Columns,
    answers: np.ndarray,
    leads: tuple[int, ...],
    season: int = 0,
) -> dict[Any, Windows]:
    """Lay the windows of each split over the arrays.

    Args:
        prepared: The series and splits.
        built: The inputs of all rows; they are let go of.
        answers: The targets of all rows.
        leads: Which steps ahead are predicted.
        season: The season that targets and inputs are differences over; 0 for none.

    Returns:
        The windows of each split.

    Raises:
        InputError: A split has no step to predict, or no known target.
    """
    arrays = (torch.from_numpy(built.stacked()), torch.from_numpy(answers))
    spread, columns = torch.tensor(built.spreads), tuple(built.origins)
    found = {
        split: Windows(*arrays, leads, cut, season, spread, columns)
        for split, cut in prepared.pieces(leads, season).items()
    }
    for split, windows in found.items():
        if not any(_knows(windows, number) for number in range(len(windows))):
            raise InputError(
                f"{prepared.series.name}: no target is known in the split '{split}'. Change the "
                "split, or fill the target."
            )
    return found


def _knows(windows: Windows, number: int) -> bool:
    """Say whether a sequence has a known target."""
    _, target = windows[number]
    return bool((~target.isnan() if target.is_floating_point() else target >= 0).any())


def hashes_of(prepared: Prepared, windows: dict[Any, Windows]) -> dict[Any, str]:
    """Identify the splits by their content and the files they are from.

    Args:
        prepared: The series.
        windows: The windows of each split.

    Returns:
        A SHA-256 for each split.
    """
    files = np.frombuffer("".join(prepared.sha256).encode(), np.uint8)
    return {split: windows[split].sha256(files) for split in SPLITS}


def level_of(windows: Windows, scores: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Measure a model that gives the same scores at every step.

    Args:
        windows: The sequences of a split.
        scores: The scores [out_features].
        loss: The loss of each step.

    Returns:
        The mean loss over the counted steps.
    """
    total, count = 0.0, 0
    for number in range(len(windows)):
        target = windows[number][1]
        target = target[known_steps(target)]
        total += float(loss(scores.expand(len(target), -1), target).double().sum())
        count += len(target)
    return total / count
