"""How far off forecasts are, in the units that people report them in."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur.data.losses import QuantileLoss, absolute_error
from unrecur.data.scaling import TargetScale
from unrecur.data.sequences import Some, Split
from unrecur.data.task import OutputScore, Tally, Task
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
class Forecast:
    """What a model forecasts of one sequence, at the steps that count.

    Attributes:
        y: The quantiles, or one prediction [rows, leads, targets, Q].
        median: The quantile nearest to the median, or the one prediction [rows, leads, targets].
        target: What comes [rows, leads, targets], NaN where it is not known.
        windows: What the sequence was taken from.
        place: Its number there.
    """

    y: Float[Tensor, "rows leads targets Q"]
    median: Float[Tensor, "rows leads targets"]
    target: Float[Tensor, "rows leads targets"]
    windows: Windows
    place: int

    @property
    def naive(self) -> Float[Tensor, "rows leads targets"]:
        """The naive forecast from which `y` and `target` are differences."""
        return self.windows.naive(self.place).view(self.target.shape)

    @property
    def series(self) -> int:
        """Which series it is of."""
        return int(self.windows.pieces.series[self.place])


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

    def table(self) -> Mapping[str, OutputScore]:
        """List the scores.

        Returns:
            MAE and MSE in scaled units (of one series: in standard deviations of training), for
            each target RMSE in its own unit and sMAPE; with quantiles MASE of the median, and the
            coverage.
        """
        scaled = "standard deviations of training"
        found = {
            "mae": OutputScore("mean absolute error", scaled, "lower", self._mean(_absolute)),
            "mse": OutputScore(
                "mean squared error", f"squared {scaled}", "lower", self._mean(_squared)
            ),
        }
        for number, name in enumerate(self.targets):
            end = f" {name}" if len(self.targets) > 1 else ""
            squares, shares = (partial(term, number) for term in (self._square, self._share))
            found[f"rmse{end}"] = OutputScore(
                f"root mean squared error{end}",
                f"unit of {name}",
                "lower",
                self._mean(squares, math.sqrt),
            )
            found[f"smape{end}"] = OutputScore(
                f"symmetric mean absolute percentage error{end}",
                "%",
                "lower",
                self._mean(shares, lambda mean: 200 * mean),
            )
        if self.loss.quantiles:
            found["mase"] = OutputScore("MASE of the median", "", "lower", self._mean(self._scaled))
            found["coverage"] = OutputScore(
                self._interval, "%", "higher", self._mean(_inside, lambda mean: 100 * mean)
            )
        return found

    @property
    def _interval(self) -> str:
        low, high = self.loss.quantiles[0], self.loss.quantiles[-1]
        return f"targets from quantile {low:g} to {high:g} (nominal {100 * (high - low):g} %)"

    def _mean(
        self,
        term: Callable[[Forecast], Tensor],
        finish: Callable[[float], float] = lambda mean: mean,
    ) -> Callable[[Task, Split], Tally]:
        """Average a figure of each number that is forecast."""
        return lambda task, split: MeanOfForecasts(self, task.splits[split], term, finish)

    def of(self, sequences: object, number: int, y: Tensor, target: Tensor) -> Forecast:
        """Find the forecast in what a model gives.

        Args:
            sequences: The split.
            number: Which sequence.
            y: What the model gives [time, leads * targets * Q].
            target: What comes [time, leads * targets].

        Returns:
            The forecast.
        """
        windows, place = whole(sequences, number)
        rows = int(windows.pieces.end[place] - windows.pieces.first[place])
        shape = (rows, len(windows.leads), len(self.targets))
        y, target = y[-rows:].float().reshape(*shape, -1), target[-rows:].reshape(shape)
        levels = self.loss.quantiles or (0.5,)
        middle = min(range(len(levels)), key=lambda q: abs(levels[q] - 0.5))
        return Forecast(y, y[..., middle], target, windows, place)

    def _square(self, number: int, forecast: Forecast) -> Tensor:
        """Give the squared errors in the target's own unit."""
        errors = (forecast.median - forecast.target)[..., number].double()
        return (errors * self.scales[number].scale[forecast.series]).square()

    def _share(self, number: int, forecast: Forecast) -> Tensor:
        """Give |target - prediction| / (|target| + |prediction|), 0 where both are 0."""
        scale, series, naive = self.scales[number], forecast.series, forecast.naive
        prediction, truth = (
            (difference.double() + naive)[..., number] * scale.scale[series] + scale.center[series]
            for difference in (forecast.median, forecast.target)
        )
        size = (prediction.abs() + truth.abs()).clamp(min=1e-300)
        return (prediction - truth).abs() / size

    def _scaled(self, forecast: Forecast) -> Tensor:
        """Give the absolute scaled errors of the median."""
        return _absolute(forecast) * torch.tensor([scale.weight for scale in self.scales])


def _absolute(forecast: Forecast) -> Tensor:
    """Give the absolute errors."""
    return (forecast.median - forecast.target).abs()


def _squared(forecast: Forecast) -> Tensor:
    """Give the squared errors."""
    return (forecast.median - forecast.target).square()


def _inside(forecast: Forecast) -> Tensor:
    """Give 1 for targets between the outermost quantiles, 0 for others."""
    y, target = forecast.y, forecast.target
    inside = (y[..., 0] <= target) & (target <= y[..., -1])
    return torch.where(target.isnan(), torch.nan, inside.double())


class MeanOfForecasts:
    """A mean over all numbers that are forecast and known.

    Args:
        scores: The scores of the task.
        sequences: The split.
        term: What is averaged, NaN where the target is not known.
        finish: Makes the figure of the mean.
    """

    def __init__(
        self,
        scores: ForecastScores,
        sequences: object,
        term: Callable[[Forecast], Tensor],
        finish: Callable[[float], float],
    ) -> None:
        self.scores, self.sequences, self.term, self.finish = scores, sequences, term, finish
        self.sum, self.count = 0.0, 0

    def add(self, number: int, y: Tensor, target: Tensor) -> None:
        """Take one sequence; see `Tally`."""
        values = self.term(self.scores.of(self.sequences, number, y, target))
        known = values[~values.isnan()]
        self.sum += float(known.double().sum())
        self.count += known.numel()

    def value(self) -> float:
        """Tell the figure."""
        return self.finish(self.sum / self.count)


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
