"""One trial of a comparison: an arm with a seed, whose divergence is a result."""

import json
import math
import time
from pathlib import Path

import safetensors

from unrecur.data.task import Task
from unrecur.models.spec import Spec, save_model
from unrecur.studies.findings import Row
from unrecur.studies.listener import Listener
from unrecur.studies.trial import model_file
from unrecur.train.checkpoint import Progress
from unrecur.train.config import TrainConfig
from unrecur.train.evaluate import evaluate
from unrecur.train.guard import DivergedError
from unrecur.train.loop import train


def run_arm(
    task: Task,
    arm: str,
    spec: Spec,
    training: TrainConfig,
    seed: int,
    device: str,
    folder: Path,
    listener: Listener,
) -> Row:
    """Train one arm with one seed and score it.

    Args:
        task: The task.
        arm: The name of the arm.
        spec: Its model.
        training: How it is trained.
        seed: The seed.
        device: Where it runs.
        folder: Takes the checkpoint and the model.
        listener: Hears how it goes.

    Returns:
        The row: JSON values only. Where a loss, a gradient or the scores were not finite,
        "diverged" says in which epoch and batch, and there is no test metric.

    Raises:
        InputError: The checkpoint is another run's.
        CorruptFileError: It is damaged.
    """
    listener.begin(arm, seed)
    start = time.monotonic()
    row: Row = {
        "model": arm,
        "family": spec.name,
        "seed": seed,
        "parameters": spec.parameters,
        "spec": {"name": spec.name, "options": spec.options},
        "training": training.describe(),
    }
    checkpoint = folder / "checkpoints" / f"{arm}-{seed}.safetensors"

    def report(progress: Progress, batches: int) -> None:
        listener.train(progress, batches, training.epochs)

    try:
        trained = train(spec, task, training, seed, checkpoint, device, report=report)
    except DivergedError as error:
        place = f"epoch {error.epoch}, batch {error.batch}"
        row |= _course(_kept(checkpoint)) | {"diverged": place, "test_losses": None}
    else:
        listener.stage("scoring")
        test = evaluate(training.objective.form(trained.model), task, "test")
        finite = math.isfinite(test.metric)  # the last step may have spoilt all weights
        row |= _course(trained.progress, test.metric)
        row["diverged"] = None if finite else f"epoch {trained.progress.epoch}, its scores"
        row["test_losses"] = test.loss.tolist() if finite else None
        save_model(model_file(folder, arm, seed), spec, trained.model)
    row["wall_seconds"] = time.monotonic() - start
    listener.end(row)
    return row


def _kept(checkpoint: Path) -> Progress:
    """Read how far a training had come that diverged, the same however often it was stopped."""
    if not checkpoint.exists():  # within its first epoch
        return Progress()
    with safetensors.safe_open(checkpoint, "pt") as file:
        return Progress(**json.loads(file.metadata()["progress"]))


def _course(progress: Progress, test: float | None = None) -> Row:
    """Describe a training and what it reached as JSON values."""
    return {
        "best_epoch": progress.best_epoch,
        "seconds": progress.seconds,
        "history": [
            {key: _finite(value) for key, value in entry.items()} for entry in progress.history
        ],
        "metric": {"valid": _finite(progress.best), "test": _finite(test)},
    }


def _finite(value: float | None) -> float | None:
    """Give a number that JSON has a place for."""
    return value if value is not None and math.isfinite(value) else None
