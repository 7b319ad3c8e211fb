"""What is to be run: one planned trial, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from unrecur.models.spec import Spec
from unrecur.studies.recipes import Recipe
from unrecur.studies.store import FINAL, LARGEST_SEED
from unrecur.train.config import TrainConfig


@dataclass(frozen=True)
class Job:
    """A planned trial.

    Attributes:
        part: The part of the store that it belongs to.
        key: What tells it from the others of its part; names its files.
        name: The name of its recipe.
        recipe: How its model is made.
        spec: The model.
        training: How it is trained.
        seed: Its seed.
        params: What optuna is to show of it.
        distributions: What each of these was drawn from.
        number: Which draw of its recipe's search space it tries; None for a final trial.
        match: What is equal in all models that it is compared with: "parameters", or what else.
            Others than the first have their files in a folder of that name.
    """

    part: str
    key: str
    name: str
    recipe: Recipe
    spec: Spec
    training: TrainConfig
    seed: int
    params: dict[str, Any]
    distributions: dict[str, BaseDistribution]
    number: int | None = None
    match: str = "parameters"


@dataclass(frozen=True)
class Finished:
    """What came of a planned trial.

    Attributes:
        value: The validation metric; None where it failed.
        ended: Seconds, epochs and, where it failed, the reason: small JSON values.
        row: The row of a final trial.
        pruned: Whether it was ended early because others were better.
    """

    value: float | None = None
    ended: dict[str, Any] = field(default_factory=dict)
    row: dict[str, Any] | None = None
    pruned: bool = False


def final_jobs(
    recipes: Mapping[str, Recipe],
    plan: Mapping[str, tuple[Spec, TrainConfig]],
    seeds: int,
    match: str = "parameters",
) -> list[Job]:
    """Plan the final trials: each recipe with each seed; floors once, nothing in them is random.

    Args:
        recipes: What is compared.
        plan: The model and the training of each.
        seeds: How many seeds.
        match: What is equal in all of them.

    Returns:
        The trials, by seed.
    """
    named = CategoricalDistribution(list(plan))
    return [
        Job(
            FINAL if match == "parameters" else match,
            f"{name}-{seed}",
            name,
            recipes[name],
            *plan[name],
            seed,
            {"model": name, "seed": seed},
            {"model": named, "seed": IntDistribution(0, LARGEST_SEED)},
            match=match,
        )
        for seed in range(seeds)
        for name in plan
        if recipes[name].kind != "floor" or seed == 0
    ]
