"""The study: all trials of a task, then the least window and the verdict."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import unrecur
from unrecur._check import InputError
from unrecur._files import write_atomic
from unrecur.data.task import SPLITS, Task
from unrecur.data.tasks import load_task
from unrecur.models.spec import Spec
from unrecur.studies.conclude import conclude
from unrecur.studies.config import StudyConfig
from unrecur.studies.environment import environment
from unrecur.studies.listener import Listener
from unrecur.studies.plan import plan_trial, suggested_budget
from unrecur.studies.recipes import Recipe, recipes_for
from unrecur.studies.store import Store, locked
from unrecur.studies.trial import run_trial
from unrecur.train.config import TrainConfig
from unrecur.train.devices import fabric_on

Row = dict[str, Any]


def study(
    task: Task | str,
    out: str | Path,
    config: StudyConfig | None = None,
    recipes: Mapping[str, Recipe] | None = None,
    listener: Listener | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Compare recurrent and feed-forward models on a task at a matched budget, and give a verdict.

    Finished trials are kept in the folder; the same call goes on where the last one ended, however
    it ended, and gives the same results as one that was not interrupted (times aside).

    Args:
        task: The task, or the name of one whose data come with the package.
        out: The study's folder.
        config: The settings; the default ones where left out.
        recipes: What is compared, at least one recurrent recipe; where left out, those of
            `recipes_for`.
        listener: Hears how it goes.
        command: What to type to do it again, for the report.

    Returns:
        The results, as `results.json` in the folder has them: JSON values; see docs/study.md.

    Raises:
        InputError: The folder holds another study or is in use, there is no recurrent recipe, or a
            recipe's model does not fit the task.
        CorruptFileError: A file of the study is damaged.
        OSError: The folder cannot be written.

    Example:
        >>> import tempfile, unrecur
        >>> small = unrecur.StudyConfig(seeds=1, parameters=20_000, epochs=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     results = unrecur.study("chorales", folder, small)
        >>> results["verdict"]["answer"] in ("needed", "not needed", "undecided")
        True
    """
    task = load_task(task) if isinstance(task, str) else task
    config, listener, folder = config or StudyConfig(), listener or Listener(), Path(out)
    fabric_on(config.device)
    chosen = dict(recipes or recipes_for(task))
    if config.parameters is None:
        config = replace(config, parameters=suggested_budget(task, chosen))
    if not any(recipe.kind == "recurrent" for recipe in chosen.values()):
        raise InputError(
            f"a study needs at least one recurrent recipe, got {', '.join(chosen) or 'none'}."
        )
    plan = {name: plan_trial(task, recipe, config) for name, recipe in chosen.items()}
    with locked(folder):
        store = Store(folder, _identity(task, config, plan))
        done = {(row["model"], row["seed"]): row for row in store.rows()}
        trials = [
            (name, seed)
            for seed in range(config.seeds)
            for name, recipe in chosen.items()
            if recipe.kind != "floor" or seed == 0
        ]
        listener.start(len(trials), sum(trial in done for trial in trials))
        for name, seed in trials:
            if (name, seed) not in done:
                spec, training = plan[name]
                row = run_trial(
                    task, name, chosen[name], spec, training, seed, config, folder, listener
                )
                store.add(row, list(chosen))
                done[name, seed] = row
        store.export()  # a run that was killed may have added a row and not written it here
        rows = [done[trial] for trial in trials]
        start = time.monotonic()
        listener.stage("least window and verdict")
        conclusion = conclude(task, rows, config, folder)
        results = {
            "version": unrecur.__version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            "seconds": time.monotonic() - start + sum(row["wall_seconds"] for row in rows),
            "task": describe(task),
            "settings": asdict(config),
            **conclusion,
            "rows": rows,
            "environment": environment(config.device),
        }
        write_atomic(folder / "results.json", json.dumps(results, indent=1))
    return results


def _identity(
    task: Task, config: StudyConfig, plan: Mapping[str, tuple[Spec, TrainConfig]]
) -> dict[str, Any]:
    """Say what makes two studies the same; more seeds may be added to one."""
    settings = {key: value for key, value in asdict(config).items() if key != "seeds"}
    return {
        "task": task.name,
        "version": unrecur.__version__,
        **settings,
        "models": {
            name: [asdict(spec), training.describe()] for name, (spec, training) in plan.items()
        },
        "data": dict(task.hashes),
        "input_box": None if task.input_box is None else list(task.input_box),
    }


def describe(task: Task) -> dict[str, Any]:
    """Describe a task as JSON values.

    Args:
        task: The task.

    Returns:
        What the results of a study say of it.
    """
    return {
        "name": task.name,
        "title": task.title,
        "metric": task.metric,
        "unit": task.unit,
        "lower_is_better": True,
        "chance_level": task.chance_level,
        "scores": {
            name: {"title": score.title, "unit": score.unit, "better": score.better}
            for name, score in task.scores.items()
        },
        "longest_dependency": task.longest_dependency,
        "published": [asdict(figure) for figure in task.published],
        "notes": list(task.notes),
        "splits": {
            split: {
                "sequences": len(task.splits[split]),
                "steps": task.steps(split),
                "hash": task.hashes.get(split),
            }
            for split in SPLITS
        },
    }
