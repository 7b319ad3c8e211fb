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
from unrecur.core.model import AbstractConditionalModel, AbstractSequenceModel
from unrecur.core.state import State, detach, leaves, map_state
from unrecur.data.batches import Batch
from unrecur.data.running import lengths_for, start_state
from unrecur.data.task import Task
from unrecur.models.spec import Spec
from unrecur.train.checkpoint import Progress, load_checkpoint, save_checkpoint
from unrecur.train.config import TrainConfig
from unrecur.train.evaluate import evaluate, summed_losses

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
        InputError: The model does not fit the task, a loss or gradient is not finite, or the
            checkpoint is damaged or another run's.
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
        settings = asdict(config)
        del settings["workers"]  # they change no number
        self.box = task.box("train") if config.rate is not None else None
        self.identity = {
            "model": spec.name,
            "options": spec.options,
            "config": settings,
            "seed": seed,
            "data": dict(task.hashes),
            "input_box": self.box,
        }
        torch.manual_seed(seed)
        self.fabric = fabric_on(device)
        self.bare = spec.build()
        check_fits(spec.name, self.bare, task)
        optimizer = torch.optim.Adam(self.bare.parameters(), lr=config.learning_rate)
        self.model, self.optimizer = self.fabric.setup(self.bare, optimizer)
        self._project()
        self.progress = Progress()
        self.best: dict[str, torch.Tensor] = {}
        self.state: State | None = None  # after the last batch, where the next one goes on
        if checkpoint is not None and checkpoint.exists():
            self.progress, self.best, carried = load_checkpoint(
                checkpoint, self.identity, self.bare, optimizer
            )
            if carried:
                values = iter(carried)
                fresh = self.bare.init_state(len(carried[0]))
                self.state = map_state(lambda leaf: next(values).to(leaf.device), fresh)
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
        batches = self.task.batches(
            "train",
            self.config.batch_size,
            order,
            progress.batch,
            self.config.workers,
            self.fabric.device.type == "cuda",
        )
        for batch in batches:
            self._batch(batch.to(self.fabric.device), budget)
            self._clock()
            if time.monotonic() - self.saved > SAVE_EVERY:
                self._save()
            report(progress, self.batches)
            if progress.seconds >= budget:
                break
        # An epoch cut short by the budget is scored too: it may be the only one, or the best.
        whole = progress.seconds < budget
        self._finish_epoch(time.monotonic() - began)
        report(progress, self.batches)
        return whole

    def _batch(self, batch: Batch, budget: float) -> None:
        """Take one step of the optimizer."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(budget)
        state = start_state(self.bare, batch, self.state)
        y, after = self.model(batch.x, state, lengths_for(self.bare, batch))
        self.state = detach(after) if self.task.continuous else None
        losses, counts = summed_losses(self.task, y, batch.target, batch.lengths)
        loss, steps = losses.sum(), int(counts.sum())
        value = float(loss.detach())
        self._check_finite(value, "loss")
        self.optimizer.zero_grad()
        self.fabric.backward(loss / max(steps, 1))
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

    def _learning_rate(self, budget: float) -> float:
        """Give the present step size; where the budget ends first, the cosine follows the time."""
        epochs = self.progress.epoch + self.progress.batch / self.batches
        if self.config.schedule == "inverse":
            return self.config.learning_rate / (1 + epochs)
        done = min(max(epochs / self.config.epochs, self.progress.seconds / budget), 1.0)
        return self.config.learning_rate * (1 + math.cos(math.pi * done)) / 2

    def _project(self) -> None:
        """Keep the model in the stable set, if it shall be."""
        if self.config.rate is not None:
            project_(self.bare, self.box, self.config.rate)

    def _finish_epoch(self, seconds: float) -> None:
        """Score the model, remember it if it is the best, and save."""
        progress = self.progress
        valid = evaluate(self.bare, self.task, "valid").metric
        progress.epoch += 1
        progress.history.append(
            {
                "epoch": progress.epoch,
                "train": progress.loss / max(progress.steps, 1),
                "valid": valid,
                "seconds": seconds,
            }
        )
        if progress.best is None or valid < progress.best:
            progress.best, progress.best_epoch = valid, progress.epoch
            self.best = {name: value.clone() for name, value in self.bare.state_dict().items()}
        progress.batch, progress.loss, progress.steps, self.state = 0, 0.0, 0, None
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
                [] if self.state is None else leaves(self.state),
            )

    def best_model(self) -> AbstractSequenceModel:
        """Give the model with its best weights."""
        self.bare.load_state_dict(self.best)
        return self.bare.eval()


def check_fits(name: str, model: AbstractSequenceModel, task: Task) -> None:
    """Refuse a model that cannot be trained on a task, or that could read its answers.

    Args:
        name: What the model is called, for the message.
        model: The model.
        task: The task.

    Raises:
        InputError: It sees inputs to come that the task asks for; or it reads tokens where there
            are numbers, or the other way round; or it needs a source where there is none.
    """
    if not (task.whole or model.receptive_field.causal):
        raise InputError(
            f"a {name} sees the inputs to come, which are what the task asks for. Take a causal "
            "model."
        )
    if model.takes_tokens is not task.tokens:
        given = "token ids" if task.tokens else "numbers"
        raise InputError(
            f"a {name} built so does not read {given}, which are the inputs of the task "
            f"'{task.name}'. Many models read tokens with the option tokens=True."
        )
    if isinstance(model, AbstractConditionalModel) is not bool(task.sources):
        raise InputError(
            f"the task '{task.name}' has a source to start from, and a {name} reads none."
            if task.sources
            else f"a {name} starts from a source, and the task '{task.name}' has none."
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
