"""Lookback: how many of the last inputs a task needs, before anything recurrent is trained."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import unrecur
from unrecur import _check
from unrecur._check import InputError
from unrecur._files import write_atomic
from unrecur.data.task import Task
from unrecur.data.tasks import load_task
from unrecur.studies.environment import environment
from unrecur.studies.listener import Listener
from unrecur.studies.lookback_data import USED, steps_of
from unrecur.studies.lookback_folds import folds_of
from unrecur.studies.lookback_points import Points
from unrecur.studies.lookback_rules import CONFIDENCE, Curve, least, verdict
from unrecur.studies.lookback_search import search_column, search_whole
from unrecur.studies.lookback_signal import partial_autocorrelation, predictive_information
from unrecur.studies.store import locked
from unrecur.studies.study import describe

MARGIN = 0.02
MOST_COLUMNS = 32


def lookback(
    task: Task | str,
    out: str | Path,
    margin: float = MARGIN,
    longest: int | None = None,
    listener: Listener | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Measure how many of its last inputs a task needs.

    Cheap models of windows of k = 0, 1, 2, 4, ... inputs, the same kind fitted in the same way for
    every k, predict the same steps, which lie after those they are fitted on; lengths between
    powers of two are measured where the answer lies. The answer is the least k that no longer
    window is measurably better than; beside it, the least k within one standard error and within a
    margin of the best, for each horizon and each column of a table, and what the data alone say.
    The test split is not looked at.

    Measured points are kept in the folder; the same call goes on where the last one ended.

    Args:
        task: The task, or the name of one whose data come with the package.
        out: The folder of the results; made if new.
        margin: How much worse than the best, in relation to it, is as good.
        longest: The longest window; None for as long as the data allow, up to 256 inputs.
        listener: Hears how it goes.
        command: What to type to do it again, for the page.

    Returns:
        The results, as `results.json` in the folder has them: JSON values; see docs/lookback.md.

    Raises:
        InputError: The task is too short, never changes, or starts from a source; the margin or the
            longest window is out of range; or the folder holds another lookback, or is in use.
        CorruptFileError: A file of the folder is damaged.
        OSError: The folder cannot be written.

    Example:
        >>> import tempfile, torch, unrecur
        >>> noise = torch.randn(2000, generator=torch.Generator().manual_seed(0))
        >>> y = [0.0, 0.0, 0.0]
        >>> for e in noise.tolist():
        ...     y.append(0.8 * y[-3] + e)  # of the third last value
        >>> y = torch.tensor(y)[:, None]
        >>> task = unrecur.task_from([(y[:-1], y[1:])] * 3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     results = unrecur.lookback(task, folder, longest=16)
        >>> results["verdict"]["headline"]
        'The last 3 inputs do: a 4th adds nothing measurable'
    """
    task = load_task(task) if isinstance(task, str) else task
    listener, folder = listener or Listener(), Path(out)
    if not 0 <= margin < 1:
        raise InputError(f"expected a margin from 0 to below 1, as 0.02, got {margin}.")
    if longest is not None:
        _check.positive_integer(longest, "the longest window")
    start = time.monotonic()
    steps = steps_of(task, longest)
    folds = folds_of(steps)
    with locked(folder):
        identity = {
            "task": task.name,
            "version": unrecur.__version__,
            "data": {split: task.hashes[split] for split in USED},
            "longest": steps.longest,
            "targets": list(steps.horizons),
        }
        points = Points(steps, folds, task.step_loss, task.out_features, folder, identity)
        listener.stage("which kind of model")
        points.choose_form()
        search_whole(points, margin, listener)
        full = max(1, points.curve().best)
        columns = list(steps.columns)[:MOST_COLUMNS] if len(steps.columns) > 1 else []
        for column in columns:
            search_column(points, column, full, margin, listener)
        curve = points.curve()
        measured = [k for k in curve.lengths if k]
        listener.stage("what the data alone say")
        results = {
            "version": unrecur.__version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            "kind": "lookback",
            "task": describe(task),
            "settings": {
                "margin": margin,
                "longest": steps.longest,
                "confidence": CONFIDENCE,
                "model": points.form,
                "folds": len(folds.splits),
                "in_time": steps.in_time,
                "predicted_steps": int(curve.counts.sum()),
            },
            "least": least(curve, margin),
            "verdict": verdict(curve, margin),
            "points": [
                {**point, "parameters": points.whole[point["k"]]["parameters"]}
                for point in _points(curve)
            ],
            "horizons": [
                {"horizon": step, **_described(points.curve(str(step)), margin)}
                for step in steps.horizons
            ],
            "columns": [
                {
                    "column": name,
                    "others": full,
                    **_described(points.column_curve(name, full), margin),
                }
                for name in columns
            ],
            "partial_autocorrelation": partial_autocorrelation(steps),
            "information": predictive_information(task, steps, measured),
            "notes": list(steps.notes),
            "environment": environment(),
            "seconds": time.monotonic() - start,
        }
        write_atomic(folder / "results.json", json.dumps(results, indent=1, allow_nan=False))
    return results


def _described(curve: Curve, margin: float) -> dict[str, Any]:
    """Describe a curve as JSON values: its least windows and its points."""
    return {"least": least(curve, margin), "points": _points(curve)}


def _points(curve: Curve) -> list[dict[str, Any]]:
    """Give each length with its metric, what it loses to the best, and their standard errors."""
    return [
        {
            "k": k,
            "metric": curve.metric(k),
            "standard_error": curve.standard_error(k),
            "above_best": curve.metric(k) - curve.metric(curve.best),
            "above_best_error": curve.standard_error(k, curve.best),
        }
        for k in curve.lengths
    ]
