"""How long a study will take, from a few batches of each recipe."""

import contextlib
import itertools
import time
from collections.abc import Sequence
from typing import Any

from unrecur.data.task import Task
from unrecur.studies.config import StudyConfig
from unrecur.studies.jobs import Job
from unrecur.studies.trial import scored_part
from unrecur.train.checkpoint import Progress
from unrecur.train.guard import DivergedError
from unrecur.train.loop import StoppedError, train

SECONDS = 0.3  # of training for each recipe
LEAST = 3  # batches; the first, which warms up, is not counted
FORWARD = 0.35  # of a training step: the share of a step that only scores


def estimate(task: Task, jobs: Sequence[Job], config: StudyConfig) -> dict[str, Any]:
    """Estimate how long one worker needs for each trial of each recipe, training and scoring.

    The memory curve and the speeds, measured after a final trial, are not in it.

    Args:
        task: The task.
        jobs: What is planned: the first trial of each recipe is tried.
        config: The settings of the study.

    Returns:
        The seconds of a trial by recipe, and those of all trials: JSON values.
    """
    first: dict[str, Job] = {}
    for job in jobs:
        first.setdefault(job.name, job)
    seconds = {name: _seconds(task, job, config) for name, job in first.items()}
    return {"seconds": sum(seconds[job.name] for job in jobs), "by_model": seconds}


def _seconds(task: Task, job: Job, config: StudyConfig) -> float:
    """Estimate the seconds of a trial; a floor, which is fitted, takes hardly any."""
    if job.recipe.kind == "floor":
        return 0.0
    times: list[float] = []

    def report(progress: Progress, batches: int) -> None:
        times.append(time.monotonic())
        if len(times) >= LEAST and times[-1] - times[0] > SECONDS:
            raise StoppedError
        if progress.epoch:  # all batches there are
            raise StoppedError

    start = time.monotonic()
    with contextlib.suppress(StoppedError, DivergedError):
        train(job.spec, task, job.training, job.seed, None, config.device, report=report)
    counted = [end - begin for begin, end in itertools.pairwise(times)]
    batch = sum(counted) / len(counted) if counted else time.monotonic() - start
    epoch = batch * -(-len(task.splits["train"]) // job.training.batch_size)
    steps = {split: task.steps(split) for split in ("train", "valid", "test")}
    scoring = FORWARD * epoch / max(steps["train"], 1)
    training = job.training.epochs * (epoch + scoring * steps["valid"])
    if config.budget_seconds is not None:
        training = min(training, config.budget_seconds)
    return training + scoring * (scored_part(task).steps("train") + steps["test"])
