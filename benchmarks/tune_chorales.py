"""How the recipes of a study were chosen: the same grid for each model, on the validation split.

    python benchmarks/tune_chorales.py --write

Learning rate and dropout of every recipe, and the share of the rate that a stable LSTM's forget
gates may take; one seed each. The test split is not looked at.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import rows

from unrecur.certificates import project
from unrecur.data.task import Task
from unrecur.data.tasks import load_task
from unrecur.studies.budget import matched
from unrecur.studies.config import StudyConfig
from unrecur.studies.recipes import RECIPES
from unrecur.train.loop import train


def measure(task: Task, name: str, learning_rate: float, dropout: float) -> dict[str, Any]:
    """Train one setting and give its row."""
    recipe = RECIPES[name]
    features = {"in_features": task.in_features, "out_features": task.out_features}
    options = {**features, **recipe.options, "dropout": dropout}
    spec = matched(recipe.model, options, StudyConfig().parameters)
    trained = train(spec, task, replace(recipe.training, learning_rate=learning_rate), seed=0)
    return {
        "model": name,
        "learning_rate": learning_rate,
        "dropout": dropout,
        "forget_share": project.FORGET_SHARE if recipe.training.rate else None,
        "epochs": trained.progress.epoch,
        "valid": trained.progress.best,
        "best_epoch": trained.progress.best_epoch,
        "seconds": trained.progress.seconds,
    }


def grid() -> Iterator[dict[str, Any]]:
    """Measure every setting."""
    task = load_task("chorales")
    for name, recipe in RECIPES.items():
        if recipe.kind != "floor":
            for learning_rate in (5e-3, 1e-2, 2e-2):
                for dropout in (0.1, 0.3):
                    yield measure(task, name, learning_rate, dropout)
    for share in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        project.FORGET_SHARE = share
        yield measure(task, "stable-lstm", 1e-2, 0.1)


if __name__ == "__main__":
    rows.run("tune_chorales", grid(), rows.parser(__doc__).parse_args().write)
