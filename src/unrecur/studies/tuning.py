"""The same chance for both families: each tries as many settings before the final trials."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna.exceptions import TrialPruned
from optuna.trial import TrialState

from unrecur._check import InputError
from unrecur.data.task import Task
from unrecur.models.spec import Spec
from unrecur.studies.budget import BudgetError
from unrecur.studies.config import StudyConfig
from unrecur.studies.jobs import Finished, Job
from unrecur.studies.listing import Entry
from unrecur.studies.plan import plan_trial
from unrecur.studies.recipes import Recipe
from unrecur.studies.spaces import draws_of, space_of, with_settings
from unrecur.studies.watch import Watch
from unrecur.train.config import TrainConfig
from unrecur.train.guard import DivergedError
from unrecur.train.loop import train

TUNING_SEED = 2**31 - 1  # of every draw's training, and of no final trial


def dealt(recipes: Mapping[str, Recipe], trials: int) -> dict[str, int]:
    """Deal each family's trials equally over its recipes; what is left over goes to the first.

    Args:
        recipes: What is compared.
        trials: How many each family has.

    Returns:
        How many each recipe has; floors, which have no settings, are left out.

    Raises:
        InputError: There are fewer than a family has recipes.

    Example:
        >>> from unrecur.studies.recipes import RECIPES
        >>> dealt(RECIPES, 20)
        {'lstm': 7, 'gru': 7, 'stable-lstm': 6, 'tcn': 20}
    """
    counts: dict[str, int] = {}
    for family in ("recurrent", "feed-forward"):
        names = [name for name, recipe in recipes.items() if recipe.kind == family]
        if trials < len(names):
            raise InputError(
                f"{trials} trials cannot be dealt over {len(names)} {family} recipes "
                f"({', '.join(names)}). Ask for at least {len(names)}."
            )
        for place, name in enumerate(names):
            counts[name] = trials // len(names) + (place < trials % len(names))
    return counts


def tuning_jobs(task: Task, recipes: Mapping[str, Recipe], config: StudyConfig) -> list[Job]:
    """Plan the trials that tune.

    Args:
        task: The task.
        recipes: What is compared, all within the budget of parameters.
        config: The settings of the study.

    Returns:
        The trials; recipes take turns. A setting with which a recipe cannot have as many parameters
        as the others is left out.

    Raises:
        InputError: There are fewer trials than a family has recipes.
    """
    planned: list[tuple[int, Job]] = []
    for place, (name, count) in enumerate(dealt(recipes, config.trials).items()):
        recipe = recipes[name]
        widths: dict[Any, tuple[Spec, TrainConfig] | None] = {}  # matching one takes a while
        for number, settings in enumerate(draws_of(recipe, count, seed=place)):
            changed, layers = with_settings(recipe, settings), settings.get("layers")
            if layers not in widths:
                try:
                    widths[layers] = plan_trial(task, changed, config)
                except BudgetError:
                    widths[layers] = None
            if (plan := widths[layers]) is None:
                continue
            options = {key: changed.options[key] for key in settings if key in changed.options}
            spec = Spec(plan[0].name, plan[0].options | options)
            training = replace(changed.training, epochs=plan[1].epochs)
            job = Job(
                f"tuning {name}",
                f"tuning-{name}-{number}",
                name,
                changed,
                spec,
                training,
                TUNING_SEED,
                settings,
                space_of(recipe),
                number,
            )
            planned.append((number, job))
    return [job for _, job in sorted(planned, key=lambda entry: entry[0])]


def tune(task: Task, job: Job, config: StudyConfig, folder: Path, watch: Watch) -> Finished:
    """Try a setting: train with it and give the best validation metric.

    Args:
        task: The task.
        job: The trial.
        config: The settings of the study.
        folder: The study's folder: takes the checkpoint while the trial trains.
        watch: Hears how it goes; its `epoch` may raise `TrialPruned`.

    Returns:
        What came of it.
    """
    watch.begin(f"{job.name}, setting {job.number}", job.seed)
    checkpoint = checkpoint_of(folder, job.key)
    history: list[dict[str, float]] = []

    def report(progress: Any, batches: int) -> None:
        history[:] = progress.history
        watch.train(progress, batches, job.training.epochs)

    budget = float("inf") if config.budget_seconds is None else config.budget_seconds
    try:
        trained = train(
            job.spec, task, job.training, job.seed, checkpoint, config.device, budget, report
        )
    except TrialPruned:
        return Finished(ended=_told(history), pruned=True)
    except DivergedError as error:
        return Finished(ended=_told(history) | {"reason": str(error)})
    return Finished(trained.progress.best, _told(trained.progress.history))


def checkpoint_of(folder: Path, key: str) -> Path:
    """Say where the checkpoint of a trial is.

    Args:
        folder: The study's folder.
        key: The key of the trial.

    Returns:
        The path.
    """
    return folder / "checkpoints" / f"{key}.safetensors"


def _told(history: list[dict[str, float]]) -> dict[str, Any]:
    return {"seconds": sum(entry["seconds"] for entry in history), "epochs": len(history)}


_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def tried(job: Job, entry: Entry) -> dict[str, Any]:
    """Say what came of a setting.

    Args:
        job: The trial.
        entry: What the storage has of it.

    Returns:
        JSON values, for the results.
    """
    return {
        "model": job.name,
        "family": job.recipe.kind,
        "number": job.number,
        "params": job.params,
        "valid": entry.value if entry.state is TrialState.COMPLETE else None,
        "seconds": entry.ended.get("seconds", 0.0),
        "epochs": entry.ended.get("epochs", 0),
        "state": _STATES[entry.state],
        "reason": entry.ended.get("reason"),
    }


def tuned(recipes: Mapping[str, Recipe], tuning: list[dict[str, Any]]) -> dict[str, Recipe]:
    """Give each recipe the setting that was best on the validation split.

    Args:
        recipes: What is compared.
        tuning: What came of the settings, see `tried`.

    Returns:
        The recipes; one with no complete trial keeps its own setting.
    """
    chosen = dict(recipes)
    for name, recipe in recipes.items():
        complete = [
            found for found in tuning if found["model"] == name and found["valid"] is not None
        ]
        if complete:
            best = min(complete, key=lambda found: (found["valid"], found["number"]))
            chosen[name] = with_settings(recipe, best["params"])
    return chosen


def unsteady(
    tuning: Sequence[Mapping[str, Any]],
    by_name: Mapping[str, Sequence[Mapping[str, Any]]],
    margin: float,
) -> list[str]:
    """Name the models whose best setting did not hold: it was tried with one seed, which may lie.

    Args:
        tuning: What came of the settings, see `tried`.
        by_name: The rows of the final trials of each model.
        margin: Differences up to this are none in practice.

    Returns:
        A sentence for each whose validation metric, the mean over the final seeds, is worse than
        that in tuning by more than the margin.
    """
    sentences = []
    for name, rows in by_name.items():
        tries = [found["valid"] for found in tuning if found["model"] == name]
        best = min((valid for valid in tries if valid is not None), default=math.inf)
        mean = sum(row["metric"]["valid"] for row in rows) / len(rows)
        if mean > (1 + margin) * best:
            sentences.append(
                f"The setting of {name} did not hold: {best:.4g} on the validation split in "
                f"tuning, with one seed, and {mean:.4g} with the final ones. Another may do better."
            )
    return sentences
