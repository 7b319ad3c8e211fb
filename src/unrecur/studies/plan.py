"""What a study trains: the model of each recipe, its width matched to the budget."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from unrecur._check import InputError, known_name
from unrecur.data.task import Task
from unrecur.models import MODELS
from unrecur.models.fitted import Fitted
from unrecur.models.spec import Spec
from unrecur.studies.budget import common_budget, matched
from unrecur.studies.config import StudyConfig
from unrecur.studies.recipes import Recipe
from unrecur.train.config import TrainConfig
from unrecur.train.fits import check_fits


def suggested_budget(task: Task, recipes: Mapping[str, Recipe], share: float = 1.0) -> int:
    """Find a number of parameters for a study, near to that which the task suggests.

    Args:
        task: The task.
        recipes: What is compared.
        share: Which part of the suggested number it shall be.

    Returns:
        A number that all recipes can have within 2 %.

    Raises:
        InputError: There is none.
    """
    models = [
        (recipe.model, _options(task, recipe))
        for recipe in recipes.values()
        if recipe.kind != "floor"
    ]
    return common_budget(models, round(share * task.parameters))


def _options(task: Task, recipe: Recipe) -> dict[str, Any]:
    """Give what the builder of a recipe's model takes beside its width."""
    return {
        "in_features": task.in_features,
        **recipe.options,
        "out_features": task.out_features,
    }


def plan_trial(task: Task, recipe: Recipe, config: StudyConfig) -> tuple[Spec, TrainConfig]:
    """Settle a recipe's width and training.

    Args:
        task: The task.
        recipe: The recipe.
        config: The settings of the study.

    Returns:
        The model and how it is trained.

    Raises:
        InputError: No width comes within 2 % of the parameters, or the model does not fit the task.
    """
    training = recipe.training
    if config.epochs is not None:
        training = replace(training, epochs=config.epochs)
    if recipe.kind == "floor":
        return _floor(task, recipe), training
    spec = matched(recipe.model, _options(task, recipe), config.parameters or task.parameters)
    with torch.device("meta"):
        check_fits(spec.name, spec.build(), task)
    return spec, training


def _floor(task: Task, recipe: Recipe) -> Spec:
    """Settle a floor, which has no width: the features that it takes, and its options."""
    build = MODELS[known_name(recipe.model, MODELS, "model")].build
    taken = inspect.signature(build).parameters
    features = {
        "in_features": task.in_features,
        "out_features": task.out_features,
        "tokens": task.tokens,
    }
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
