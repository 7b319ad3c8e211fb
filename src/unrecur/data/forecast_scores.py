"""How far off forecasts are, in the units that people report them in."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unrecur.core.model import AbstractSequenceModel
from unrecur.data.losses import QuantileLoss, absolute_error
from unrecur.data.running import predictions
from unrecur.data.scaling import TargetScale
from unrecur.data.task import Score, Some, Split, Task
from unrecur.data.windows import Windows


@dataclass(frozen=True)
class ScaledError:
    """The absolute error of a step, or the pinball loss of its quantiles, in scaled units.

    Attributes:
        weights: What each number of the target is multiplied by.
        quantiles: Which quantiles are predicted of each number, side by side; none for one
            prediction.
    """

    weights: tuple[float, ...]
    quantiles: tuple[float, ...] = ()

    def __call__(self, scores: Tensor, target: Tensor) -> Tensor:
        """Give the loss of each step.

        Args:
            scores: The predictions [..., F * max(1, Q)].
            target: What comes [..., F], NaN where it is not known.

        Returns:
            The mean over what is known [...].
        """
        weights = torch.tensor(self.weights, dtype=scores.dtype, device=scores.device)
        if not self.quantiles:
            return absolute_error(scores * weights, target * weights)
        spread = weights.repeat_interleave(len(self.quantiles))
        return QuantileLoss(self.quantiles)(scores * spread, target * weights)


@dataclass(frozen=True)
class ForecastScores:
    """The scores of a task of forecasting.

    Targets may be differences from a naive forecast (see `Windows`): errors and quantiles are the
    same for them as for the values themselves; percentages need the values.

    Attributes:
        targets: The names of the targets.
        scales: How each is scaled.
        loss: The loss.
    """

    targets: tuple[str, ...]
    scales: tuple[TargetScale, ...]
    loss: ScaledError

    def table(self) -> Mapping[str, Score]:
        """List the scores.

        Returns:
            MAE and MSE in scaled units (of one series: in standard deviations of training), for
            each target RMSE in its own unit and sMAPE; with quantiles MASE of the median, and the
            coverage.
        """
        scaled = "standard deviations of training"
        found = {
            "mae": Score("mean absolute error", scaled, "lower", self._mean_of(torch.abs)),
            "mse": Score(
                "mean squared error", f"squared {scaled}", "lower", self._mean_of(torch.square)
            ),
        }
        for number, name in enumerate(self.targets):
            end = f" {name}" if len(self.targets) > 1 else ""
            found[f"rmse{end}"] = Score(
                f"root mean squared error{end}", f"unit of {name}", "lower", self._rmse(number)
            )
            found[f"smape{end}"] = Score(
                f"symmetric mean absolute percentage error{end}", "%", "lower", self._smape(number)
            )
        if self.loss.quantiles:
            found["mase"] = Score("MASE of the median", "", "lower", self._mase)
            found["coverage"] = Score(self._interval, "%", "higher", self._coverage)
        return found

    @property
    def _interval(self) -> str:
        low, high = self.loss.quantiles[0], self.loss.quantiles[-1]
        return f"targets from quantile {low:g} to {high:g} (nominal {100 * (high - low):g} %)"

    def _steps(
        self, model: AbstractSequenceModel, task: Task, split: Split
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, int]]:
        """Give predictions [rows, leads, targets, Q], targets, naive forecasts, and the series."""
        count = len(self.targets)
        for number, y in predictions(model, task, split):
            windows, place = whole(task.splits[split], number)
            naive = windows.naive(place).unflatten(1, (-1, count))
            rows = len(naive)
            target = task.pair(split, number)[1][-rows:].view(naive.shape)
            forecast = y[-rows:].float().view(*naive.shape, max(1, len(self.loss.quantiles)))
            yield forecast, target, naive, int(windows.pieces.series[place])

    def _points(
        self, model: AbstractSequenceModel, task: Task, split: Split
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, int]]:
        """Give the median in place of all quantiles."""
        levels = np.array(self.loss.quantiles or (0.5,))
        middle = int(np.abs(levels - 0.5).argmin())
        for y, target, naive, series in self._steps(model, task, split):
            yield y[..., middle], target, naive, series

    def _mean_of(
        self, function: Callable[[Tensor], Tensor]
    ) -> Callable[[AbstractSequenceModel, Task, Split, float], float]:
        """Average a function of the scaled errors."""

        def compute(model: AbstractSequenceModel, task: Task, split: Split, metric: float) -> float:
            mean = _Mean()
            for y, target, *_ in self._points(model, task, split):
                mean.add(function(y - target))
            return mean.value

        return compute

    def _rmse(self, number: int) -> Callable[[AbstractSequenceModel, Task, Split, float], float]:
        """Give sqrt(mean (target - prediction)^2) in the target's own unit."""

        def compute(model: AbstractSequenceModel, task: Task, split: Split, metric: float) -> float:
            mean = _Mean()
            for y, target, _, series in self._points(model, task, split):
                errors = (y - target)[..., number].double() * self.scales[number].scale[series]
                mean.add(errors.square())
            return mean.value**0.5

        return compute

    def _smape(self, number: int) -> Callable[[AbstractSequenceModel, Task, Split, float], float]:
        """Give 200 mean |target - prediction| / (|target| + |prediction|), 0 where both are 0."""

        def compute(model: AbstractSequenceModel, task: Task, split: Split, metric: float) -> float:
            mean, scale = _Mean(), self.scales[number]
            for y, target, naive, series in self._points(model, task, split):
                forecast, truth = (
                    (difference.double() + naive)[..., number] * scale.scale[series]
                    + scale.center[series]
                    for difference in (y, target)
                )
                size = (forecast.abs() + truth.abs()).clamp(min=1e-300)
                mean.add((forecast - truth).abs() / size)
            return 200 * mean.value

        return compute

    def _mase(self, model: AbstractSequenceModel, task: Task, split: Split, metric: float) -> float:
        """Give the mean absolute scaled error of the median."""
        mean = _Mean()
        weights = torch.tensor([scale.weight for scale in self.scales])
        for y, target, *_ in self._points(model, task, split):
            mean.add((y - target).abs() * weights)
        return mean.value

    def _coverage(
        self, model: AbstractSequenceModel, task: Task, split: Split, metric: float
    ) -> float:
        """Give the share of targets between the outermost quantiles."""
        mean = _Mean()
        for y, target, *_ in self._steps(model, task, split):
            inside = (y[..., 0] <= target) & (target <= y[..., -1])
            mean.add(torch.where(target.isnan(), torch.nan, inside.double()))
        return 100 * mean.value


class _Mean:
    """A running mean over what is not NaN."""

    def __init__(self) -> None:
        self.sum, self.count = 0.0, 0

    def add(self, values: Tensor) -> None:
        """Add values.

        Args:
            values: Of any shape.
        """
        known = values[~values.isnan()]
        self.sum += float(known.double().sum())
        self.count += known.numel()

    @property
    def value(self) -> float:
        """The mean."""
        return self.sum / self.count


def whole(sequences: object, number: int) -> tuple[Windows, int]:
    """Find the windows that a part of a split was taken from.

    Args:
        sequences: The windows, or some of them.
        number: Which sequence.

    Returns:
        The windows, and the sequence's number in them.

    Raises:
        TypeError: They are something else.
    """
    while isinstance(sequences, Some):
        number = int(sequences.index[number])
        sequences = sequences.whole
    if not isinstance(sequences, Windows):
        raise TypeError(f"expected the windows of a series, got {type(sequences).__name__}.")
    return sequences, number
