"""One trial: train a model with one seed, then measure all that the verdict and the report need."""

import math
import time
from pathlib import Path
from typing import Any

from unrecur._check import InputError
from unrecur.audits.memory import MemoryPoint, sight, windows_of
from unrecur.certificates.certificate import Certificate, Evidence
from unrecur.core.model import AbstractConditionalModel, AbstractSequenceModel
from unrecur.data.sequences import SPLITS, Split
from unrecur.data.task import Task
from unrecur.models.fitted import Fitted
from unrecur.models.spec import Spec, save_model
from unrecur.studies.config import StudyConfig
from unrecur.studies.listener import Listener
from unrecur.studies.recipes import Recipe
from unrecur.studies.speed import held_bytes, measure_speed
from unrecur.train.config import TrainConfig
from unrecur.train.devices import fabric_on
from unrecur.train.evaluate import Scores, evaluate, figures
from unrecur.train.loop import train

TRAIN_STEPS, TRAIN_NUMBERS = 2**17, 2**27


def model_file(folder: Path, name: str, seed: int) -> Path:
    """Say where a study keeps a trained model.

    Args:
        folder: The study's folder.
        name: The name of its recipe.
        seed: Its seed.

    Returns:
        The path of its safetensors file.
    """
    return folder / "models" / f"{name}-{seed}.safetensors"


def scored_part(task: Task) -> Task:
    """Leave out what is not scored of a large training split, the least telling of the three.

    Args:
        task: The task.

    Returns:
        The task with evenly spread training sequences, as many steps as the test split has or 2^17
        if that is more, and no more than 2^27 outputs.
    """
    steps = min(max(TRAIN_STEPS, task.steps("test")), TRAIN_NUMBERS // task.out_features)
    return task.part("train", steps)


def run_trial(
    task: Task,
    name: str,
    recipe: Recipe,
    spec: Spec,
    training: TrainConfig,
    seed: int,
    config: StudyConfig,
    folder: Path,
    listener: Listener,
) -> dict[str, Any]:
    """Train one model with one seed and measure it.

    Args:
        task: The task.
        name: The name of the recipe.
        recipe: How the model is made.
        spec: The model, its width matched to the budget.
        training: How it is trained.
        seed: The seed.
        config: The settings of the study.
        folder: The study's folder: takes the checkpoint and the model.
        listener: Hears how it goes.

    Returns:
        The trial's row: JSON values only.

    Raises:
        InputError: A loss is below 0 or not finite.
    """
    listener.begin(name, seed)
    start = time.monotonic()
    row: dict[str, Any] = {
        "model": name,
        "family": recipe.kind,
        "seed": seed,
        "parameters": spec.parameters,
        "spec": {"name": spec.name, "options": spec.options},
    }
    if recipe.kind == "floor":
        model, valid = _fit(spec, task, config.device), None
    else:
        model, found, valid = _train(spec, task, training, name, seed, config, folder, listener)
        row |= found
    listener.stage("scoring")
    scored = scored_part(task)
    # What training has scored already is not scored again.
    splits: tuple[Split, ...] = SPLITS if valid is None else ("train", "test")
    scores: dict[Split, Scores] = {}
    for split in splits[:-1]:
        scores[split] = evaluate(model, scored, split)
    scores["test"], row["scores"] = figures(model, scored, "test")
    if any(float(found.loss.min()) < 0 for found in scores.values()):
        raise InputError(
            f"step_loss of task '{task.name}' gave a loss below 0. A study compares metrics by "
            "their ratio, for which 0 must be the best: use another loss or add a constant."
        )
    metrics = {split: found.metric for split, found in scores.items()}
    row["metric"] = {split: metrics.get(split, valid) for split in SPLITS}
    row["test_losses"] = scores["test"].loss.tolist()
    if recipe.kind == "recurrent" and can_be_truncated(model):
        listener.stage("memory curve")
        row |= _audit(model, task)
    listener.stage("speed")
    row["speed"] = measure_speed(model, task, training.batch_size)
    row["bytes"] = held_bytes(model)
    save_model(model_file(folder, name, seed), spec, model)
    row["wall_seconds"] = time.monotonic() - start
    listener.end(row)
    return row


def _fit(spec: Spec, task: Task, device: str) -> AbstractSequenceModel:
    """Fit a floor."""
    model = spec.build()
    assert isinstance(model, Fitted)  # the study has refused others
    model.fit(task.pair("train", number) for number in range(len(task.splits["train"])))
    return model.to(fabric_on(device).device).eval()


def _train(
    spec: Spec,
    task: Task,
    training: TrainConfig,
    name: str,
    seed: int,
    config: StudyConfig,
    folder: Path,
    listener: Listener,
) -> tuple[AbstractSequenceModel, dict[str, Any], float | None]:
    """Train a model; give it, what its row says about the training, and its validation metric."""
    checkpoint = folder / "checkpoints" / f"{name}-{seed}.safetensors"
    budget = math.inf if config.budget_seconds is None else config.budget_seconds
    trained = train(
        spec,
        task,
        training,
        seed,
        checkpoint,
        config.device,
        budget,
        lambda progress, batches: listener.train(progress, batches, training.epochs),
    )
    progress = trained.progress
    found = {
        "training": training.describe(),
        "stopped": trained.stopped,
        "best_epoch": progress.best_epoch,
        "seconds": progress.seconds,
        "history": progress.history,
    }
    return trained.model, found, progress.best


def can_be_truncated(model: AbstractSequenceModel) -> bool:
    """Say whether a model can be run on its last k inputs alone.

    Args:
        model: The model.

    Returns:
        Whether it is causal and starts from nothing.
    """
    return model.receptive_field.causal and not isinstance(model, AbstractConditionalModel)


def _audit(model: AbstractSequenceModel, task: Task) -> dict[str, Any]:
    """Measure what a recurrent model remembers, and what is proved about it."""
    seen = sight(model, task, "test")
    certificate = seen.certify()
    points = [seen.point(k, certificate) for k in windows_of(seen.longest)]
    return {
        "full_metric": seen.scores.metric,
        "memory": [_point(point) for point in points],
        "certificate": _certificate(certificate),
    }


def _point(point: MemoryPoint) -> dict[str, Any]:
    """Write a point of the memory curve as JSON values."""
    return {
        "k": point.k,
        "metric": point.scores.metric,
        "output_error_median": point.error_median,
        "output_error_max": point.error_max,
        "bound": point.bound,
    }


def _certificate(certificate: Certificate) -> dict[str, Any]:
    """Write a certificate as JSON values."""
    known = certificate.evidence is not Evidence.UNKNOWN
    return {
        "evidence": str(certificate.evidence),
        "norm": certificate.norm,
        "rate": certificate.rate if known else None,
        "assumptions": list(certificate.assumptions),
        "reasons": list(certificate.reasons),
    }
