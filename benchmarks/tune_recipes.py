"""How the recipes' learning rates were chosen: one grid for all models, on validation splits.

    python benchmarks/tune_recipes.py --data-dir DIR --write

Every recipe of several tasks of each kind is trained for a few epochs on a part of the training
split, at each rate of the grid; one seed, one thread each. `valid` is the best
validation metric. Test splits are not looked at.
"""

import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import rows
import torch

from unrecur.data.task import Task
from unrecur.data.tasks import load_task
from unrecur.studies.config import StudyConfig
from unrecur.studies.plan import plan_trial, suggested_budget
from unrecur.studies.recipes import recipes_for
from unrecur.train.guard import DivergedError
from unrecur.train.loop import train

RATES = (5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2)
EPOCHS = 4
# Steps of the training split that are seen in an epoch.
STEPS = {
    "etth1": 100_000,  # all
    "fsdd": 200_000,
    "fsdd-digits": 400_000,
    "snips": 120_000,  # all
    "snips-intent": 120_000,  # all
    "tinyshakespeare": 400_000,
    "wikitext2-bpe": 200_000,
    "multi30k": 120_000,
}


@cache
def task_of(name: str, data_dir: Path) -> Task:
    """Load a task."""
    return load_task(name, data_dir)


def measure(
    setting: tuple[str, str, float], data_dir: Path, batch_size: int | None
) -> dict[str, Any]:
    """Train one setting and give its row."""
    torch.set_num_threads(1)
    name, model, rate = setting
    task = task_of(name, data_dir)
    recipes = recipes_for(task)
    config = StudyConfig(parameters=suggested_budget(task, recipes), epochs=EPOCHS)
    spec, training = plan_trial(task, recipes[model], config)
    training = replace(training, learning_rate=rate, batch_size=batch_size or training.batch_size)
    row = {"task": name, "model": model, "learning_rate": rate, "parameters": spec.parameters}
    small = task.part("train", STEPS[name]).part("valid", STEPS[name] // 4)
    try:
        progress = train(spec, small, training, seed=0).progress
    except DivergedError as error:
        return row | {"batch_size": training.batch_size, "valid": None, "why": str(error)}
    return row | {
        "batch_size": training.batch_size,
        "valid": progress.best,
        "best_epoch": progress.best_epoch,
        "seconds": progress.seconds,
    }


def grid(data_dir: Path, names: list[str], batch_size: int | None) -> Iterator[dict[str, Any]]:
    """Measure every setting, as many at once as there are cores."""
    settings = [
        (name, model, rate)
        for name in names
        for model, recipe in recipes_for(task_of(name, data_dir)).items()
        if recipe.kind != "floor"
        for rate in RATES
    ]
    with multiprocessing.get_context("spawn").Pool() as pool:
        yield from pool.imap(partial(measure, data_dir=data_dir, batch_size=batch_size), settings)


def main() -> None:
    """Print the rows."""
    parser = rows.parser(__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--only", choices=STEPS, help="this task; the rows of others stay")
    parser.add_argument("--batch-size", type=int, help="smaller: more steps; all rows stay")
    args = parser.parse_args()
    names = [args.only] if args.only else list(STEPS)
    kept = rows.everything if args.batch_size else rows.others("task", args.only)
    rows.run("tune_recipes", grid(args.data_dir, names, args.batch_size), args.write, kept)


if __name__ == "__main__":
    main()
