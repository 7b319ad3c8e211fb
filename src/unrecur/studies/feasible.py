"""What of a study can be done: checked before anything is trained."""

from collections.abc import Mapping
from typing import Any

from unrecur._check import InputError
from unrecur.data.task import Task
from unrecur.models.spec import Spec
from unrecur.studies.budget import BudgetError
from unrecur.studies.config import StudyConfig
from unrecur.studies.plan import plan_trial, suggested_budget
from unrecur.studies.recipes import Recipe
from unrecur.studies.tuning import dealt
from unrecur.train.config import TrainConfig

Plan = Mapping[str, tuple[Spec, TrainConfig]]
FAMILIES = ("recurrent", "feed-forward")


def budget_of(task: Task, recipes: Mapping[str, Recipe], config: StudyConfig) -> int:
    """Settle the number of parameters.

    Args:
        task: The task.
        recipes: What is compared.
        config: The settings of the study.

    Returns:
        The number asked for; else one near to the task's that all recipes can have; else the task's
        own, which some cannot have.

    Raises:
        InputError: There is no recurrent recipe.
    """
    if not any(recipe.kind == "recurrent" for recipe in recipes.values()):
        raise InputError(
            f"a study needs at least one recurrent recipe, got {', '.join(recipes) or 'none'}."
        )
    if config.parameters is not None:
        return config.parameters
    try:
        return suggested_budget(task, recipes)
    except BudgetError:
        return task.parameters


def planned(
    task: Task, recipes: Mapping[str, Recipe], config: StudyConfig
) -> tuple[dict[str, tuple[Spec, TrainConfig]], list[dict[str, Any]]]:
    """Settle the width and the training of each recipe; leave out those that cannot be matched.

    Args:
        task: The task.
        recipes: What is compared.
        config: The settings of the study.

    Returns:
        The plan of each recipe, and what is left out and why: JSON values.

    Raises:
        InputError: A whole family is left out, or a model does not fit the task.
    """
    plan, skipped = {}, []
    for name, recipe in recipes.items():
        try:
            plan[name] = plan_trial(task, recipe, config)
        except BudgetError as error:
            skipped.append({"model": name, "family": recipe.kind, "reason": str(error)})
    for family in FAMILIES:
        out = [entry for entry in skipped if entry["family"] == family]
        if out and not any(recipes[name].kind == family for name in plan):
            reasons = " ".join(f"{entry['model']}: {entry['reason']}" for entry in out)
            raise InputError(f"no {family} recipe can have so many parameters. {reasons}")
    return plan, skipped


def check_limits(recipes: Mapping[str, Recipe], plan: Plan, config: StudyConfig) -> None:
    """Check that the limits leave room for a study.

    Args:
        recipes: What is compared.
        plan: What is left of it.
        config: The settings of the study.

    Raises:
        InputError: They do not.
    """
    draws = 0
    if config.trials:
        draws = sum(dealt({name: recipes[name] for name in plan}, config.trials).values())
    if config.max_trials is not None and config.max_trials < draws + len(plan):
        first = f"{draws} that tune and " if draws else ""
        raise InputError(
            f"max_trials={config.max_trials} leaves no final trial for some recipe: there are "
            f"{first}{len(plan)} recipes. Allow at least {draws + len(plan)} trials."
        )
