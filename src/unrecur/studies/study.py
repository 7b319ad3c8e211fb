"""The study: all trials of a task, then the least window and the verdict."""

import inspect
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import unrecur
from unrecur._check import CorruptFileError, InputError, known_name
from unrecur._files import write_atomic
from unrecur.audits.memory import sight
from unrecur.certificates.contraction import certify
from unrecur.data.task import SPLITS, Task
from unrecur.data.tasks import load_task
from unrecur.models import MODELS
from unrecur.models.fitted import Fitted
from unrecur.models.spec import Spec, load_model
from unrecur.studies.budget import matched
from unrecur.studies.config import StudyConfig
from unrecur.studies.environment import environment
from unrecur.studies.listener import Listener
from unrecur.studies.recipes import RECIPES, Recipe
from unrecur.studies.shorten import least_window, left_out
from unrecur.studies.store import Store, locked
from unrecur.studies.trial import model_file, run_trial
from unrecur.studies.verdict import decide
from unrecur.train.config import TrainConfig
from unrecur.train.loop import check_causal, fabric_on

Row = dict[str, Any]
# A window counts as feed-forward in the verdict if at so many of the test steps it leaves earlier
# inputs out; one that holds whole sequences is the recurrent model under another name.
RESTRICTS = 0.5


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
        recipes: What is compared, at least one recurrent recipe; where left out, `RECIPES`, with
            the floors that the task can be predicted by.
        listener: Hears how it goes.
        command: What to type to do it again, for the report.

    Returns:
        The results, as `results.json` in the folder has them: JSON values; see docs/study.md.

    Raises:
        InputError: The folder holds another study or is in use, there is no recurrent recipe, or a
            recipe's model looks ahead.
        CorruptFileError: A file of the study is damaged.
        OSError: The folder cannot be written.

    Example:
        >>> import tempfile, unrecur
        >>> from unrecur.studies.config import SMOKE
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     results = unrecur.study("chorales", folder, SMOKE)
        >>> results["verdict"]["answer"] in ("needed", "not needed", "undecided")
        True
    """
    task = load_task(task) if isinstance(task, str) else task
    config, listener, folder = config or StudyConfig(), listener or Listener(), Path(out)
    fabric_on(config.device)
    chosen = dict(recipes or _recipes_for(task))
    if not any(recipe.kind == "recurrent" for recipe in chosen.values()):
        raise InputError(
            f"a study needs at least one recurrent recipe, got {', '.join(chosen) or 'none'}."
        )
    plan = {name: _plan(task, recipe, config) for name, recipe in chosen.items()}
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
        conclusion = _conclude(task, rows, config, folder)
        results = {
            "version": unrecur.__version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            "seconds": time.monotonic() - start + sum(row["wall_seconds"] for row in rows),
            "task": _describe(task),
            "settings": asdict(config),
            **conclusion,
            "rows": rows,
            "environment": environment(config.device),
        }
        write_atomic(folder / "results.json", json.dumps(results, indent=1))
    return results


def _recipes_for(task: Task) -> dict[str, Recipe]:
    """Take the recipes whose floors fit the task."""
    return {
        name: recipe
        for name, recipe in RECIPES.items()
        if recipe.kind != "floor" or name in task.floors
    }


def _plan(task: Task, recipe: Recipe, config: StudyConfig) -> tuple[Spec, TrainConfig]:
    """Settle a recipe's width and training."""
    training = recipe.training
    if config.epochs is not None:
        training = replace(training, epochs=config.epochs)
    if recipe.kind == "floor":
        return _floor(task, recipe), training
    options = {"in_features": task.in_features, **recipe.options}
    options["out_features"] = task.out_features
    spec = matched(recipe.model, options, config.parameters)
    with torch.device("meta"):
        check_causal(spec.name, spec.build())
    return spec, training


def _floor(task: Task, recipe: Recipe) -> Spec:
    """Settle a floor, which has no width: the features that it takes, and its options."""
    build = MODELS[known_name(recipe.model, MODELS, "model")].build
    taken = inspect.signature(build).parameters
    features = {"in_features": task.in_features, "out_features": task.out_features}
    options = {name: count for name, count in features.items() if name in taken}
    spec = Spec(recipe.model, options | recipe.options)
    with torch.device("meta"):
        fitted = isinstance(spec.build(), Fitted)
    if not fitted:
        raise InputError(
            f"a recipe of kind 'floor' needs a model that is fitted, and '{recipe.model}' is "
            "trained. Call the recipe 'recurrent' or 'feed-forward'."
        )
    return spec


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
            name: [asdict(spec), asdict(training)] for name, (spec, training) in plan.items()
        },
        "data": dict(task.hashes),
        "input_box": list(task.input_box),
    }


def _describe(task: Task) -> dict[str, Any]:
    """Describe the task as JSON values."""
    return {
        "name": task.name,
        "title": task.title,
        "metric": task.metric,
        "unit": task.unit,
        "lower_is_better": True,
        "chance_level": task.chance_level,
        "splits": {
            split: {
                "sequences": len(task.splits[split]),
                "steps": task.steps(split),
                "hash": task.hashes.get(split),
            }
            for split in SPLITS
        },
    }


def _conclude(task: Task, rows: list[Row], config: StudyConfig, folder: Path) -> dict[str, Any]:
    """Truncate the best recurrent model and decide."""
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row["model"], []).append(row)
    recurrent = {name: found for name, found in by_name.items() if _kind(found) == "recurrent"}
    # All choices are made on the validation split; the test split is for the verdict alone.
    best = min(recurrent, key=lambda name: _mean(recurrent[name], "valid"))
    truncation, truncated = _truncate(task, recurrent[best], config, folder)
    candidates = {
        name: np.array([row["test_losses"] for row in found])
        for name, found in by_name.items()
        if _kind(found) == "feed-forward"
    }
    name = f"{best} on {truncation['k']} inputs"
    notes = []
    if truncation["left_out"] >= RESTRICTS:
        candidates[name] = truncated
    else:
        notes.append(
            f"{name} is no feed-forward candidate: at {100 * truncation['left_out']:.0f} % of the "
            "test steps only does it leave earlier inputs out."
        )
    losses = np.array([row["test_losses"] for row in recurrent[best]])
    floors = {n: _mean(found, "test") for n, found in by_name.items() if _kind(found) == "floor"}
    steps = np.array([len(x) for x, _ in task.splits["test"]], dtype=float)
    verdict = decide(candidates, (best, losses), floors, steps, config.margin, config.confidence)
    verdict = replace(verdict, reasons=[*verdict.reasons, *notes])
    return {"verdict": verdict.as_json(), "truncation": truncation}


def _kind(rows: list[Row]) -> str:
    return rows[0]["family"]


def _mean(rows: list[Row], split: str) -> float:
    return sum(row["metric"][split] for row in rows) / len(rows)


def _truncate(
    task: Task, rows: list[Row], config: StudyConfig, folder: Path
) -> tuple[dict[str, Any], np.ndarray]:
    """Truncate a model to its least window; give what the test split says about it."""
    models = [_model(row, folder, config) for row in rows]
    k = least_window(models, task, _mean(rows, "valid"), config.tolerance)
    points = [
        sight(model, task, "test").point(k, certify(model, task.input_box)) for model in models
    ]
    bounds = [point.bound for point in points if point.bound is not None]
    return {
        "model": rows[0]["model"],
        "seeds": [row["seed"] for row in rows],
        "k": k,
        "left_out": left_out([len(x) for x, _ in task.splits["test"]], k),
        "tolerance": config.tolerance,
        "metric": sum(point.scores.metric for point in points) / len(points),
        "full_metric": _mean(rows, "test"),
        "output_error_max": max(point.error_max for point in points),
        "bound": max(bounds) if len(bounds) == len(points) else None,
    }, np.array([point.scores.loss.tolist() for point in points])


def _model(row: Row, folder: Path, config: StudyConfig) -> Any:
    """Load the model of a finished trial."""
    path = model_file(folder, row["model"], row["seed"])
    try:
        spec, model = load_model(path)
    except FileNotFoundError as error:
        raise CorruptFileError(
            f"the study's model {path} is missing. Delete {folder} and run the study again."
        ) from error
    if asdict(spec) != row["spec"]:
        raise CorruptFileError(
            f"{path} is not the model of its row. Delete {folder} and run again."
        )
    return model.to(fabric_on(config.device).device)
