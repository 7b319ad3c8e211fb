"""What tuning may change of a recipe, and the draws: settled before the first is tried.

Both families have the same space: learning rate, dropout, limit of the gradient, and layers where
the model is made of equal ones. Width is none of it: it follows from the number of parameters. Nor
is what a model sees (a TCN's levels and taps), which is a factor of the study and not a setting.
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from unrecur.studies.recipes import Recipe

FACTOR = 10.0  # learning rates go from a tenth of the recipe's to ten times it
DROPOUT = (0.0, 0.5)
CLIP = (0.25, 4.0)
LAYERS = (1, 3)
LAYERED = ("transformer_encoder", "transformer_pair")


def space_of(recipe: Recipe) -> dict[str, BaseDistribution]:
    """Give what tuning may change of a recipe.

    Args:
        recipe: The recipe.

    Returns:
        What each setting is drawn from.
    """
    rate = recipe.training.learning_rate
    space: dict[str, BaseDistribution] = {
        "learning_rate": FloatDistribution(rate / FACTOR, rate * FACTOR, log=True),
        "clip": FloatDistribution(*_around(CLIP, recipe.training.clip), log=True),
    }
    if "dropout" in recipe.options:
        space["dropout"] = FloatDistribution(*_around(DROPOUT, recipe.options["dropout"]))
    if recipe.model in LAYERED and "layers" in recipe.options:
        space["layers"] = IntDistribution(*_around(LAYERS, recipe.options["layers"]))
    return space


def _around(limits: tuple[Any, Any], own: Any) -> tuple[Any, Any]:
    """Widen limits so that they hold a recipe's own setting."""
    return min(limits[0], own), max(limits[1], own)


def draws_of(recipe: Recipe, count: int, seed: int) -> list[dict[str, Any]]:
    """Draw settings: first the recipe's own, then evenly over its space (a scrambled Halton row).

    They depend on nothing that is found, so that any number of workers tries the same ones.

    Args:
        recipe: The recipe.
        count: How many.
        seed: Decides the draws.

    Returns:
        The settings.
    """
    space = space_of(recipe)
    own = {name: _own(recipe, name) for name in space}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.QMCSampler(
            qmc_type="halton", scramble=True, seed=seed, warn_independent_sampling=False
        )
    study = optuna.create_study(sampler=sampler)
    # optuna reads the space off the first complete trial; its value bears on nothing.
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.COMPLETE, params=own, distributions=space, value=0.0
        )
    )
    drawn = [study.ask(space).params for _ in range(count - 1)]
    return [own, *drawn][:count]


def _own(recipe: Recipe, name: str) -> Any:
    """Give a recipe's own setting."""
    if name in recipe.options:
        return recipe.options[name]
    return getattr(recipe.training, name)


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """Change the settings of a recipe.

    Args:
        recipe: The recipe.
        settings: Values by name.

    Returns:
        The recipe with these.
    """
    options = {name: value for name, value in settings.items() if name in recipe.options}
    others = {name: value for name, value in settings.items() if name not in recipe.options}
    return replace(
        recipe,
        options=recipe.options | options,
        training=replace(recipe.training, **others),
    )
