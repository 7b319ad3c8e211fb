"""What the data alone say about how far back they depend, without any model that is judged."""

from typing import Any

import numpy as np
import torch
from scipy.linalg import solve_toeplitz

from unrecur.data.losses import IGNORED
from unrecur.data.task import Task
from unrecur.studies.lookback_data import Steps

MOST_TARGETS = 16  # numbers of a target for which a covariance is estimated
FILLED = 0.1  # of the steps that as many different windows may come from, at the most
SPARE = 10  # steps for each coefficient of a regression


def partial_autocorrelation(steps: Steps) -> dict[str, Any] | None:
    """Estimate the partial autocorrelation of a target of one number, at its first horizon.

    Solves the Yule-Walker equations of each order (Levinson's recursion): the last coefficient
    is the partial autocorrelation, which for independent values lies within 1.96 / sqrt(n) in
    95 % of cases (Quenouille 1949, J. R. Stat. Soc. B 11).

    Args:
        steps: The steps.

    Returns:
        "values" for the lags 1, 2, ..., the "band" and the number of values "n"; None where the
        target is no number, or is not known in long runs of steps.
    """
    targets = steps.targets.reshape(len(steps.targets), -1)
    if not targets.is_floating_point() or (targets.shape[1] > 1 and not steps.horizons):
        return None
    y = targets[:, 0].double().numpy()
    known = ~np.isnan(y)
    n = int(known.sum())
    lags = min(steps.longest, n // 4)
    y = np.where(known, y - y[known].mean(), 0)
    covariances = [_covariance(y, known, steps.stretch, lag) for lag in range(lags + 1)]
    if lags < 1 or None in covariances or not covariances[0]:
        return None
    r = np.array(covariances) / covariances[0]
    values = []
    for order in range(1, lags + 1):
        try:
            value = float(solve_toeplitz(r[:order], r[1 : order + 1])[-1])
        except np.linalg.LinAlgError:
            break
        if not abs(value) <= 1:  # the sample's matrix is no longer positive definite
            break
        values.append(value)
    return {"values": values, "band": 1.96 / n**0.5, "n": n} if values else None


def _covariance(y: np.ndarray, known: np.ndarray, stretch: np.ndarray, lag: int) -> float | None:
    """Average products of values of one sequence, divided by the number of all values."""
    end = len(y) - lag
    same = stretch[:end] == stretch[lag:]
    if not (same & known[:end] & known[lag:]).any():
        return None
    return float((y[:end] * y[lag:])[same].sum() / known.sum())


def predictive_information(task: Task, steps: Steps, lengths: list[int]) -> dict[str, Any] | None:
    """Estimate the mutual information of the last k inputs and the target (Bialek et al. 2001).

    Of tokens and classes it is the plug-in estimate, each entropy with Miller's correction of its
    bias, (seen values - 1) / 2n (Miller 1955; Paninski 2003, Neural Computation 15); it ends where
    windows are too many for the correction to be enough. Of numbers it is that of a Gaussian: half
    the logarithm of the variance of the target over that of the residuals of least squares, both
    divided by their degrees of freedom.

    Args:
        task: The task.
        steps: The steps.
        lengths: The windows k, rising.

    Returns:
        The "estimator" and "points": k, the information in "nats", and the "bias" that was taken
        off; None for tasks of neither kind.
    """
    targets = steps.targets
    if task.tokens and not targets.is_floating_point() and targets.dim() == 1:
        return {"estimator": "plug-in, Miller-Madow", "points": _of_tokens(steps, lengths)}
    numbers = targets.reshape(len(targets), -1)
    if targets.is_floating_point() and numbers.shape[1] <= MOST_TARGETS and not task.tokens:
        return {"estimator": "Gaussian", "points": _of_numbers(steps, lengths)}
    return None


def _of_tokens(steps: Steps, lengths: list[int]) -> list[dict[str, float]]:
    """Count windows, targets, and both together."""
    kept = steps.targets != IGNORED
    target = steps.targets[kept].numpy()
    tokens = torch.where(steps.windows.sum(2) > 0, steps.windows.argmax(2) + 1, 0)[kept].numpy()
    code, found, width = np.zeros(len(target), np.int64), [], int(target.max()) + 1
    for k in range(1, lengths[-1] + 1):
        code = np.unique(code * (tokens.max() + 1) + tokens[:, k - 1], return_inverse=True)[1]
        if code.max() + 1 > FILLED * len(code):
            break
        if k in lengths:
            parts = [_entropy(code), _entropy(target), _entropy(code * width + target)]
            bias = [part[1] for part in parts]
            plug_in = parts[0][0] + parts[1][0] - parts[2][0]
            taken = bias[2] - bias[0] - bias[1]
            found.append({"k": k, "nats": plug_in - taken, "bias": taken})
    return found


def _entropy(values: np.ndarray) -> tuple[float, float]:
    """Give the plug-in entropy in nats, and how much it is too small on average."""
    counts = np.unique(values, return_counts=True)[1]
    shares = counts / len(values)
    return float(-(shares * np.log(shares)).sum()), (len(counts) - 1) / 2 / len(values)


def _of_numbers(steps: Steps, lengths: list[int]) -> list[dict[str, float]]:
    """Regress the target on each window."""
    numbers = steps.targets.reshape(len(steps.targets), -1)
    kept = ~numbers.isnan().any(1)
    y = numbers[kept].double()
    x = steps.windows.flatten(1)[kept].double()
    width = steps.windows.shape[2]
    x, y = x - x.mean(0), y - y.mean(0)
    squares, products, whole = x.T @ x, x.T @ y, y.T @ y
    n, total, found = len(y), _log_volume(y.T @ y / max(1, len(y) - 1)), []
    for k in lengths:
        size = k * width
        if size * SPARE > n:
            break
        solved = torch.linalg.lstsq(squares[:size, :size], products[:size], driver="gelsd")
        rest = whole - products[:size].T @ solved.solution
        used = int(solved.rank)  # constant features, and such that repeat others, are none
        plug_in = (total - _log_volume(rest / (n - 1))) / 2
        nats = (total - _log_volume(rest / (n - 1 - used))) / 2
        if not np.isfinite(nats):
            break
        found.append({"k": k, "nats": float(nats), "bias": float(plug_in - nats)})
    return found


def _log_volume(covariance: torch.Tensor) -> float:
    """Give the logarithm of a determinant; infinite where it is not above 0."""
    sign, size = torch.linalg.slogdet(covariance)
    return float(size) if sign > 0 else -np.inf
