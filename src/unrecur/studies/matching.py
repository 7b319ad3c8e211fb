"""Other ways to be fair: the same latency of a step, or the same time of training.

The same number of parameters is one choice among several. Where a step may take a certain time,
each recipe gets the largest model whose step takes no longer than the slowest one's at matched
parameters; where training may, each gets as many epochs as the slowest needs for its own. What is
measured for that is settled once for a study, so that all workers and a resumed run have the same
models.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from unrecur.data.task import Task
from unrecur.models.spec import Spec
from unrecur.studies.budget import BudgetError, matched
from unrecur.studies.config import Match
from unrecur.studies.recipes import Recipe
from unrecur.studies.speed import step_speed
from unrecur.train.config import TrainConfig
from unrecur.train.devices import fabric_on

Plan = Mapping[str, tuple[Spec, TrainConfig]]

MOST = 16  # times as many parameters, or epochs, as at matched parameters
FINER = 2**0.25  # between two sizes that are tried
SLACK = 1.02  # of the target, for what differs between two measurements


def settle_match(
    kind: Match,
    task: Task,
    recipes: Mapping[str, Recipe],
    plan: Plan,
    seconds: Mapping[str, float],
    device: str,
) -> dict[str, Any]:
    """Measure what is to be equal, and settle each recipe's model and epochs for it.

    Args:
        kind: What is to be equal.
        task: The task.
        recipes: What is compared.
        plan: The model and the training of each at matched parameters.
        seconds: How long a trial of each is estimated to take.
        device: Where models run.

    Returns:
        JSON values: the target in seconds; for each recipe its spec's options, its epochs, and what
        it reaches; and what is left out and why.
    """
    trained = {name: plan[name] for name in plan if recipes[name].kind != "floor"}
    return _by_latency(task, trained, device) if kind == "latency" else _by_time(trained, seconds)


def match_plan(settled: Mapping[str, Any], plan: Plan) -> dict[str, tuple[Spec, TrainConfig]]:
    """Read what was settled.

    Args:
        settled: What `settle_match` gave.
        plan: The model and the training of each recipe at matched parameters.

    Returns:
        The model and the training of each recipe.
    """
    found = {}
    for name, entry in settled["models"].items():
        spec, training = plan[name]
        training = replace(training, epochs=entry["epochs"])
        found[name] = Spec(spec.name, entry["options"]), training
    return found


def _by_latency(task: Task, plan: Plan, device: str) -> dict[str, Any]:
    """Give each recipe the largest model whose step is as quick as the slowest one's."""
    own = {name: _step(spec, task, training, device) for name, (spec, training) in plan.items()}
    skipped = [
        {"model": name, "reason": "it has no streaming step"}
        for name, step in own.items()
        if step is None
    ]
    steps = {name: step for name, step in own.items() if step is not None}
    target = max(steps.values(), default=None)
    models = {}
    for name, step in steps.items():
        spec, training = plan[name]
        assert target is not None  # there is a step
        if step < target:
            spec, step = _largest(spec, task, training, device, target, step)
        models[name] = {"options": spec.options, "epochs": training.epochs, "reached": step}
    return {"target": target, "models": models, "skipped": skipped}


def _largest(
    spec: Spec, task: Task, training: TrainConfig, device: str, target: float, step: float
) -> tuple[Spec, float]:
    """Find the largest model whose step takes no longer than the target."""
    found = {0: (spec, step)}

    def too_slow(rung: int) -> bool:
        options = {key: value for key, value in spec.options.items() if key != "hidden"}
        try:
            wider = matched(spec.name, options, round(spec.parameters * FINER**rung))
        except BudgetError:  # between two widths: the size below tells
            return rung > 1 and too_slow(rung - 1)
        taken = _step(wider, task, training, device)
        if taken is None or taken > SLACK * target:
            return True
        found[rung] = wider, taken
        return False

    rungs = range(1, round(math.log(MOST, FINER)) + 1)
    bisect_right(rungs, False, key=too_slow)
    return found[max(found)]


def _step(spec: Spec, task: Task, training: TrainConfig, device: str) -> float | None:
    """Measure a step of a model whose weights are fresh; None where it has none."""
    model = spec.build().to(fabric_on(device).device).eval()
    return step_speed(model, task, training.batch_size).get("step_seconds")


def _by_time(plan: Plan, seconds: Mapping[str, float]) -> dict[str, Any]:
    """Give each recipe as many epochs as it takes to train as long as the slowest."""
    target = max(seconds[name] for name in plan)
    models = {}
    for name, (spec, training) in plan.items():
        times = min(target / seconds[name], MOST) if seconds[name] > 0 else 1.0
        epochs = max(1, round(training.epochs * times))
        reached = seconds[name] * epochs / training.epochs
        models[name] = {"options": spec.options, "epochs": epochs, "reached": reached}
    return {"target": target, "models": models, "skipped": []}
