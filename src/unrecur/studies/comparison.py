"""The runner of comparisons: every arm with every seed, then what the rows show."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import unrecur
from unrecur import _check
from unrecur._files import write_atomic
from unrecur.data.sequences import SPLITS
from unrecur.data.task import Task
from unrecur.models.spec import Spec
from unrecur.studies.answers import headline, race, sentences
from unrecur.studies.arm_trial import run_arm
from unrecur.studies.arms import Comparison
from unrecur.studies.budget import common_budget, matched
from unrecur.studies.environment import environment
from unrecur.studies.findings import Row, arm_figures, difference
from unrecur.studies.listener import Listener
from unrecur.studies.store import Store, locked
from unrecur.studies.study import describe
from unrecur.train.config import TrainConfig
from unrecur.train.devices import fabric_on
from unrecur.train.fits import check_fits

SEEDS = 3
CONFIDENCE = 0.95  # of all intervals of a comparison together


def compare(
    comparison: Comparison,
    folder: str | Path,
    seeds: int = SEEDS,
    device: str = "cpu",
    listener: Listener | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Train every arm of a comparison with every seed, and say what that shows.

    Finished trials are kept in the folder, and a trial under way goes on from its checkpoint: the
    same call goes on where the last one ended, however it ended. An arm whose training runs into
    numbers that are not finite is a result, not an error.

    Args:
        comparison: What is compared.
        folder: Where the results go.
        seeds: Each arm is trained so many times, with seeds 0, 1, ...
        device: Where everything runs: "cpu", "cuda", ...
        listener: Hears how it goes.
        command: What to type to do it again, for the page.

    Returns:
        The results, as `results.json` in the folder has them: JSON values; see docs/comparisons.md.

    Raises:
        InputError: The folder holds other results or is in use, or an arm does not fit the task.
        CorruptFileError: A file in the folder is damaged.
        OSError: The folder cannot be written.

    Example:
        >>> import tempfile
        >>> from unrecur.studies.arms import smoke
        >>> from unrecur.studies.comparisons import long_memory
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     results = compare(smoke(long_memory()), folder, seeds=1)
        >>> [arm["arm"] for arm in results["arms"]]
        ['rnn', 'lstm']
    """
    _check.positive_integer(seeds, "seeds")
    task, listener, folder = comparison.task(), listener or Listener(), Path(folder)
    fabric_on(device)
    planned = plan(comparison, task)
    with locked(folder):
        store = Store(folder, _identity(comparison, task, planned, device))
        done = {(row["model"], row["seed"]): row for row in store.rows()}
        trials = [(arm, seed) for seed in range(seeds) for arm in planned]
        listener.start(len(trials), sum(trial in done for trial in trials))
        for arm, seed in trials:
            if (arm, seed) not in done:
                row = run_arm(task, arm, *planned[arm], seed, device, folder, listener)
                store.add(row, list(planned))
                done[arm, seed] = row
        store.export()  # a run that was killed may have added a row and not written it here
        rows = [done[trial] for trial in trials]
        results = {
            "version": unrecur.__version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            "seconds": sum(row["wall_seconds"] for row in rows),
            "comparison": {
                "name": comparison.name,
                "title": comparison.title,
                "question": comparison.question,
                "reference": comparison.reference,
                "level": comparison.level,
            },
            "task": describe(task),
            "settings": {"seeds": seeds, "confidence": CONFIDENCE, "device": device},
            **conclusions(comparison, task, rows),
            "rows": rows,
            "environment": environment(device),
        }
        write_atomic(folder / "results.json", json.dumps(results, indent=1, allow_nan=False))
    return results


def conclusions(comparison: Comparison, task: Task, rows: Sequence[Row]) -> dict[str, Any]:
    """Say what rows show.

    Args:
        comparison: What is compared.
        task: Its task.
        rows: The rows of all arms and seeds.

    Returns:
        JSON values: the figures of each arm, the differences from the reference, and the findings
        in words.
    """
    by_arm = {arm: [row for row in rows if row["model"] == arm] for arm in comparison.arms}
    reference = by_arm[comparison.reference]
    others = [arm for arm in by_arm if arm != comparison.reference]
    # The confidence is shared between the intervals, so that it holds for all of them together.
    shared = 1 - (1 - CONFIDENCE) / len(others)
    steps = task.counted("test").astype(float)
    figures = [arm_figures(found, comparison.level, task.chance_level) for found in by_arm.values()]
    differences = [difference(by_arm[arm], reference, steps, shared) for arm in others]
    answer = headline(figures, differences)
    if comparison.race:
        answer += f"; {race(rows, comparison.level)}"
    said = sentences(rows, figures, differences, comparison.level, task.chance_level, task.unit)
    return {
        "arms": figures,
        "differences": differences,
        "headline": answer,
        "findings": said,
    }


def plan(comparison: Comparison, task: Task) -> dict[str, tuple[Spec, TrainConfig]]:
    """Settle the width and the training of each arm.

    Args:
        comparison: What is compared.
        task: Its task.

    Returns:
        The model and the training of each arm.

    Raises:
        InputError: An arm does not fit the task.
    """
    given: dict[str, Any] = {"in_features": task.in_features, "out_features": task.out_features}
    if task.tokens:
        given["tokens"] = True
    asked = {name: (arm.model, {**given, **arm.options}) for name, arm in comparison.arms.items()}
    parameters = common_budget(asked.values(), comparison.parameters)
    planned = {}
    for name, (model, options) in asked.items():
        spec = matched(model, options, parameters)
        with torch.device("meta"):
            check_fits(spec.name, spec.build(), task)
        planned[name] = spec, comparison.training_of(name)
    return planned


def _identity(
    comparison: Comparison, task: Task, planned: dict[str, tuple[Spec, TrainConfig]], device: str
) -> dict[str, Any]:
    """Say what makes two runs the same; more seeds may be added to one."""
    return {
        "comparison": comparison.name,
        "version": unrecur.__version__,
        "device": device,
        "arms": {
            name: [spec.name, spec.options, training.describe()]
            for name, (spec, training) in planned.items()
        },
        "data": dict(task.hashes),
        "sequences": {split: len(task.splits[split]) for split in SPLITS},
    }
