"""The training loop: Adam on whole sequences, early stopping, exact resume."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from unrecur._check import InputError
from unrecur.certificates.project import project_
from unrecur.core.model import AbstractSequenceModel
from unrecur.data.task import Batch, Task
from unrecur.models.spec import Spec
from unrecur.train.checkpoint import Progress, load_checkpoint, save_checkpoint
from unrecur.train.config import TrainConfig
from unrecur.train.evaluate import batch_losses, evaluate

SAVE_EVERY = 30.0  # seconds between checkpoints within an epoch; one is always written at its end
Report = Callable[[Progress, int], None]


@dataclass(frozen=True)
class Trained:
    """What a training run ended with.

    Attributes:
        model: The model with the weights of its best epoch, in evaluation mode.
        progress: How far it came, with the history of its epochs.
        stopped: Why it ended: "epochs", "patience" or "budget".
    """

    model: AbstractSequenceModel
    progress: Progress
    stopped: str


def train(
    spec: Spec,
    task: Task,
    config: TrainConfig,
    seed: int,
    checkpoint: Path | None = None,
    device: str = "cpu",
    budget: float = math.inf,
    report: Report | None = None,
) -> Trained:
    """Train a model on a task, with the weights of the epoch that is best on the validation split.

    The same arguments give the same weights; killed at any moment and called again with the same
    checkpoint file, it ends with the same weights as if nothing had happened (on the same device
    with the same number of threads).

    Args:
        spec: The model.
        task: The task.
        config: The settings.
        seed: Decides the first weights, the order of the data and dropout.
        checkpoint: The file to go on from if it exists, and to write to; None keeps nothing.
        device: "cpu", "cuda", "cuda:1", ...
        budget: The seconds of training after which to stop.
        report: Called after each batch and each epoch with the progress and the number of batches
            in an epoch.

    Returns:
        The trained model and how it went.

    Raises:
        InputError: The model looks ahead, a loss or gradient is not finite, or the checkpoint is
            damaged or another run's.
        OSError: The checkpoint cannot be written.
    """
    run = _Run(spec, task, config, seed, checkpoint, device)
    report = report or (lambda progress, batches: None)
    while (stopped := run.stopped(budget)) is None:
        if not run.epoch(budget, report):
            stopped = "budget"
            break
    return Trained(run.best_model(), run.progress, stopped)


class _Run:
    """One training run under way."""

    def __init__(
        self,
        spec: Spec,
        task: Task,
        config: TrainConfig,
        seed: int,
        checkpoint: Path | None,
        device: str,
    ) -> None:
        self.task, self.config, self.seed, self.checkpoint = task, config, seed, checkpoint
        self.identity = {
            "model": spec.name,
            "options": spec.options,
            "config": asdict(config),
            "seed": seed,
            "data": dict(task.hashes),
            "input_box": list(task.input_box),
        }
        torch.manual_seed(seed)
        self.fabric = fabric_on(device)
        self.bare = spec.build()
        check_causal(spec.name, self.bare)
        optimizer = torch.optim.Adam(self.bare.parameters(), lr=config.learning_rate)
        self.model, self.optimizer = self.fabric.setup(self.bare, optimizer)
        self._project()
        self.progress = Progress()
        self.best: dict[str, torch.Tensor] = {}
        if checkpoint is not None and checkpoint.exists():
            self.progress, self.best = load_checkpoint(
                checkpoint, self.identity, self.bare, optimizer
            )
        self.saved = self.resumed = time.monotonic()
        self.seconds_before = self.progress.seconds

    @property
    def batches(self) -> int:
        """The number of batches in an epoch."""
        return math.ceil(len(self.task.splits["train"]) / self.config.batch_size)

    def stopped(self, budget: float) -> str | None:
        """Say why the run is over, between two epochs; None while it is not."""
        progress = self.progress
        if progress.history and progress.epoch - progress.best_epoch >= self.config.patience:
            return "patience"
        if progress.epoch >= self.config.epochs:
            return "epochs"
        return "budget" if progress.history and progress.seconds >= budget else None

    def epoch(self, budget: float, report: Report) -> bool:
        """Train to the end of the epoch under way; False when the budget ended before it did."""
        progress, began = self.progress, time.monotonic()
        # The order depends on seed and epoch alone, so that a resumed epoch meets the same batches.
        order = torch.Generator().manual_seed(1_000_003 * self.seed + progress.epoch)
        self.model.train()
        for number, batch in enumerate(self.task.batches("train", self.config.batch_size, order)):
            if number < progress.batch:
                continue
            self._batch(batch)
            self._clock()
            if time.monotonic() - self.saved > SAVE_EVERY:
                self._save()
            report(progress, self.batches)
            if progress.history and progress.seconds >= budget:
                return False
        self._finish_epoch(time.monotonic() - began)
        report(progress, self.batches)
        return True

    def _batch(self, batch: Batch) -> None:
        """Take one step of the optimizer."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        y, _ = self.model(batch.x.to(self.fabric.device))
        loss = batch_losses(self.task, y, batch).sum()
        steps = int(batch.lengths.sum())
        value = float(loss.detach())
        self._check_finite(value, "loss")
        self.optimizer.zero_grad()
        self.fabric.backward(loss / steps)
        norm = self.fabric.clip_gradients(
            self.model, self.optimizer, max_norm=self.config.clip, error_if_nonfinite=False
        )
        self._check_finite(math.nan if norm is None else float(norm), "gradient")
        self.optimizer.step()
        self._project()
        self.progress.batch += 1
        self.progress.loss += value
        self.progress.steps += steps

    def _check_finite(self, value: float, what: str) -> None:
        """Stop before a number that is none gets into the weights."""
        if not math.isfinite(value):
            raise InputError(
                f"the training {what} is {value} in epoch {self.progress.epoch + 1}, batch "
                f"{self.progress.batch + 1}. Lower learning_rate or clip; the last checkpoint is "
                "kept."
            )

    def _learning_rate(self) -> float:
        """Give the present step size; see `TrainConfig.schedule`."""
        epochs = self.progress.epoch + self.progress.batch / self.batches
        if self.config.schedule == "inverse":
            return self.config.learning_rate / (1 + epochs)
        done = epochs / self.config.epochs
        return self.config.learning_rate * (1 + math.cos(math.pi * done)) / 2

    def _project(self) -> None:
        """Keep the model in the stable set, if it shall be."""
        if self.config.rate is not None:
            project_(self.bare, self.task.input_box, self.config.rate)

    def _finish_epoch(self, seconds: float) -> None:
        """Score the model, remember it if it is the best, and save."""
        progress = self.progress
        valid = evaluate(self.bare, self.task, "valid").metric
        progress.epoch += 1
        progress.history.append(
            {
                "epoch": progress.epoch,
                "train": progress.loss / progress.steps,
                "valid": valid,
                "seconds": seconds,
            }
        )
        if progress.best is None or valid < progress.best:
            progress.best, progress.best_epoch = valid, progress.epoch
            self.best = {name: value.clone() for name, value in self.bare.state_dict().items()}
        progress.batch, progress.loss, progress.steps = 0, 0.0, 0
        self._clock()
        self._save()

    def _clock(self) -> None:
        """Count the time trained, that of earlier processes included."""
        self.progress.seconds = self.seconds_before + time.monotonic() - self.resumed

    def _save(self) -> None:
        """Write the checkpoint."""
        self.saved = time.monotonic()
        if self.checkpoint is not None:
            save_checkpoint(
                self.checkpoint,
                self.identity,
                self.progress,
                self.bare,
                self.best,
                self.optimizer.optimizer,
            )

    def best_model(self) -> AbstractSequenceModel:
        """Give the model with its best weights."""
        self.bare.load_state_dict(self.best)
        return self.bare.eval()


def check_causal(name: str, model: AbstractSequenceModel) -> None:
    """Refuse a model that could read the answers of a task off its inputs.

    Args:
        name: What the model is called, for the message.
        model: The model.

    Raises:
        InputError: It sees inputs to come.
    """
    if not model.receptive_field.causal:
        raise InputError(
            f"a {name} sees the inputs to come, which are what the task asks for. Take a causal "
            "model."
        )


def fabric_on(device: str) -> Fabric:
    """Make the fabric that runs on a device.

    Args:
        device: "cpu", "cuda", "cuda:1", ...

    Returns:
        The fabric.

    Raises:
        InputError: There is no such device.
    """
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
        devices: Any = 1 if place.type == "cpu" or place.index is None else [place.index]
        return Fabric(accelerator=place.type, devices=devices)
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"there is no device '{device}' here ({reason}). Use --device cpu."
        ) from error
