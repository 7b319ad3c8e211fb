"""A worker: claims the planned trials of a round one by one until all have ended."""

import functools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from unrecur._check import CorruptFileError, InputError
from unrecur.data.task import Task
from unrecur.studies.claims import WINDOW, Claims, Standing
from unrecur.studies.config import StudyConfig, Workplace
from unrecur.studies.jobs import Finished, Job
from unrecur.studies.listener import Listener
from unrecur.studies.store import Store
from unrecur.studies.trial import run_trial
from unrecur.studies.tuning import checkpoint_of, tune
from unrecur.studies.watch import Deadline, Watch
from unrecur.train.loop import StoppedError

POLL = 0.3  # seconds between two looks at what others do
REDUCTION = 3  # of the draws, a third goes on from one rung of epochs to the next


@dataclass(frozen=True)
class Work:
    """What any worker of a study needs to know, on whatever machine.

    Attributes:
        task: The task.
        config: The settings of the study.
        folder: The study's folder.
        place: Where trials run and are kept.
        identity: What the study is.
        name: Its name in the database.
    """

    task: Task
    config: StudyConfig
    folder: Path
    place: Workplace
    identity: dict[str, Any]
    name: str

    def open(self) -> Store:
        """Open the store.

        Returns:
            The store.
        """
        return Store(self.folder, self.identity, self.place.storage, self.name)

    def claims(self, store: Store, jobs: Sequence[Job], window: int = WINDOW) -> Claims:
        """Take up the planned trials of a round.

        Args:
            store: The store.
            jobs: What is planned.
            window: How many may wait at a time.

        Returns:
            What claims them.
        """
        pruner = None
        if self.config.prune:
            pruner = optuna.pruners.SuccessiveHalvingPruner(1, REDUCTION)
        return Claims(store, jobs, pruner, window)


def run_round(
    work: Work,
    store: Store,
    jobs: Sequence[Job],
    listener: Listener,
    deadline: Deadline,
    before: int = 0,
) -> Standing:
    """Run planned trials in this process, beside any others that do the same.

    Args:
        work: What a worker needs to know.
        store: The store.
        jobs: What is planned.
        listener: Hears how it goes.
        deadline: When to stop.
        before: How many trials of the study ended in earlier rounds.

    Returns:
        How far all are: ended, unless time was up.
    """
    claims = work.claims(store, jobs)
    run = functools.partial(run_job, work, listener=listener, deadline=deadline)
    while True:
        found = claims.tend()
        listener.count(before + len(found.ended), found.running)
        if len(found.ended) == len(claims.jobs) or deadline.over:
            return found
        if not found.waiting:
            listener.stage(f"waiting for {found.running} trials of other workers")
            time.sleep(POLL)
            continue
        try:
            claims.claim(next(iter(found.waiting)), run)
        except StoppedError:
            return claims.standing()


def run_job(
    work: Work, job: Job, trial: optuna.Trial, listener: Listener, deadline: Deadline
) -> Finished:
    """Run one planned trial.

    Args:
        work: What a worker needs to know.
        job: The trial.
        trial: Its trial of optuna's.
        listener: Hears how it goes.
        deadline: When to stop.

    Returns:
        What came of it.

    Raises:
        CorruptFileError: A file of the study is damaged.
        StoppedError: Time was up.
    """

    def epoch(number: int, valid: float) -> None:
        trial.report(valid, number)
        if work.config.prune and trial.should_prune():
            raise optuna.TrialPruned

    tuning = job.number is not None
    folder = work.folder if job.match == "parameters" else work.folder / job.match
    watch = Watch(
        listener, folder, job.key, deadline, work.place.tensorboard, epoch if tuning else None
    )
    try:
        if tuning:
            found = tune(work.task, job, work.config, folder, watch)
            checkpoint_of(folder, job.key).unlink(missing_ok=True)
        else:
            found = _final(work, job, folder, watch)
    except (CorruptFileError, StoppedError):
        raise
    except InputError as error:
        found = Finished(ended={"reason": str(error)})
    finally:
        watch.close()
    if found.value is not None and not math.isfinite(found.value):
        found = Finished(ended={"reason": f"its validation metric is {found.value}"})
    if "reason" in found.ended:
        listener.failed(job.name, found.ended["reason"])
    elif job.number is not None:
        listener.tuned(job.name, job.number, found.value)
    return found


def _final(work: Work, job: Job, folder: Path, watch: Watch) -> Finished:
    """Run a final trial."""
    row = run_trial(
        work.task,
        job.name,
        job.recipe,
        job.spec,
        job.training,
        job.seed,
        work.config,
        folder,
        watch,
    )
    if job.match != "parameters":
        row["match"] = job.match
    return Finished(row["metric"]["valid"], {"seconds": row["wall_seconds"]}, row)
