"""One line a model: what a study found, over its seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from unrecur.report.rows import (
    Results,
    Row,
    by_model,
    lower_is_better,
    middle,
    section,
    value,
    values,
    words,
)
from unrecur.report.series import Window, windows


@dataclass(frozen=True)
class Summary:
    """What a study found for one model.

    Args:
        model: Its name.
        family: "recurrent", "feed-forward" or "floor".
        parameters: How many it has (the median over seeds).
        seeds: How many rows it has.
        train: The mean over seeds of the metric on the training split.
        valid: The same on the validation split.
        test: The same on the test split.
        spread: The sample standard deviation over seeds of the test metric; None for one seed.
        train_rate: The median training throughput, in steps per second.
        forward_rate: The median throughput over whole sequences, in steps per second.
        step_seconds: The median time of one streaming step.
        least_k: The least measured k within the tolerance, where known.
        evidence: What the certificates rest on, where all seeds have the same; else "mixed".
        scores: The means over seeds of the figures beside the metric, on the test split, by name.
    """

    model: str
    family: str
    parameters: int | None
    seeds: int
    train: float | None
    valid: float | None
    test: float | None
    spread: float | None
    train_rate: float | None
    forward_rate: float | None
    step_seconds: float | None
    least_k: int | None
    evidence: str
    scores: Mapping[str, float | None]


def summarise(results: Results) -> list[Summary]:
    """Summarise a study, one line a model.

    Args:
        results: The results of a study.

    Returns:
        The lines, in the order the models first appear.
    """
    return [_summary(model, rows, results) for model, rows in by_model(results).items()]


def tolerance(results: Results) -> float | None:
    """Look up the relative loss of the metric that a truncation may cost.

    Args:
        results: The results of a study.

    Returns:
        The one the truncation used, else the one of the settings, else None.
    """
    used = value(results, "truncation", "tolerance")
    return value(results, "settings", "tolerance") if used is None else used


def least_k(
    curve: Sequence[Window], full: float | None, tolerance: float | None, *, lower_is_better: bool
) -> int | None:
    """Find the least measured k from which on the metric stays within the tolerance.

    Args:
        curve: The memory curve, in order of k.
        full: The metric without truncation.
        tolerance: How much worse the metric may be, relative to the full one.
        lower_is_better: Which way the metric points.

    Returns:
        The k; None where no measured k is within, or something is not known.
    """
    if full is None or tolerance is None:
        return None
    found = None
    for window in reversed(curve):
        if window.metric is None:
            break
        worse = window.metric - full if lower_is_better else full - window.metric
        if worse > tolerance * abs(full):
            break
        found = window.k
    return found


def _summary(model: str, rows: Sequence[Row], results: Results) -> Summary:
    tests = values(rows, "metric", "test")
    parameters = middle(values(rows, "parameters"))
    return Summary(
        model=model,
        family=words(rows[0], "family"),
        parameters=None if parameters is None else round(parameters),
        seeds=len(rows),
        train=_mean(values(rows, "metric", "train")),
        valid=_mean(values(rows, "metric", "valid")),
        test=_mean(tests),
        spread=stdev(tests) if len(tests) > 1 else None,
        train_rate=middle(values(rows, "speed", "train_steps_per_second")),
        forward_rate=middle(values(rows, "speed", "forward_steps_per_second")),
        step_seconds=middle(values(rows, "speed", "step_seconds")),
        least_k=least_k(
            windows(rows),
            middle(values(rows, "full_metric")),
            tolerance(results),
            lower_is_better=lower_is_better(results),
        ),
        evidence=_evidence(rows),
        scores={name: _mean(values(rows, "scores", name)) for name in scores_of(results)},
    )


def scores_of(results: Results) -> dict[str, str]:
    """Name the figures that a task has beside its metric.

    Args:
        results: The results of a study.

    Returns:
        For each name its heading: title, unit and direction.

    Example:
        >>> scores_of({"task": {"scores": {"f1": {"title": "entity F1", "better": "higher"}}}})
        {'f1': 'entity F1 (higher is better)'}
    """
    scores = section(section(results, "task"), "scores")
    return {name: _heading(section(scores, name), name) for name in scores}


def _heading(score: Row, name: str) -> str:
    unit = words(score, "unit")
    measured_in = f", {unit}" if unit else ""
    better = words(score, "better")
    direction = f" ({better} is better)" if better else ""
    return f"{words(score, 'title', name)}{measured_in}{direction}"


def _evidence(rows: Sequence[Row]) -> str:
    kinds = {words(section(row, "certificate"), "evidence") for row in rows}
    return kinds.pop() if len(kinds) == 1 else "mixed"


def _mean(numbers: Sequence[float]) -> float | None:
    return fmean(numbers) if numbers else None
