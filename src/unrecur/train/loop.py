"""The training loop: an objective's parts, steps of the optimizer, early stopping, exact resume."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import torch

from unrecur._check import InputError
from unrecur.certificates.project import project_
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, leaves, map_state
from unrecur.data.batches import Batch
from unrecur.data.losses import counted
from unrecur.data.running import start_state
from unrecur.data.task import Task
from unrecur.models.spec import Spec
from unrecur.train.checkpoint import Progress, load_checkpoint, save_checkpoint
from unrecur.train.config import TrainConfig
from unrecur.train.devices import Strategy
from unrecur.train.early_warning import warnings_of
from unrecur.train.evaluate import evaluate
from unrecur.train.fits import check_fits
from unrecur.train.guard import (
    DivergedError,
    check_gradient,
    check_loss,
    first_bad_weight,
    first_overflow,
)
from unrecur.train.monitor import Measurement, measure
from unrecur.train.place import Place
from unrecur.train.whole import whole_state

MOST_LEFT_OUT = 50  # steps in a row, by a loss scale that finds no size that fits
WATCHED = 10  # times an epoch that the gradients are measured, if they are
REMEMBERED = 32  # measurements
SCORING = 0.4  # of the seconds of a training step, one that only scores takes
SAVE_EVERY = 30.0  # seconds between checkpoints within an epoch; one is always written at its end
Report = Callable[[Progress, int], None]


class StoppedError(Exception):
    """A report wants training to stop; the checkpoint goes on from that very batch."""


@dataclass(frozen=True)
class Trained:
    """What a training run ended with.

    Attributes:
        model: The model with the weights of its best epoch, in evaluation mode.
        progress: How far it came, with the history of its epochs.
        stopped: Why it ended: "epochs", "patience", "budget" or "diverged".
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
    strategy: Strategy = "ddp",
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
        budget: The seconds after which to stop, the last scoring on the validation split included.
        report: Called after each batch and each epoch with the progress and the number of batches
            in an epoch. It may raise `StoppedError`.
        strategy: What several processes share, where `torchrun` started them: "ddp", each has the
            whole model, or "fsdp", each keeps a part of it. `batch_size` is that of all together,
            and the weights are those of one process up to rounding.

    Returns:
        The trained model and how it went.

    Raises:
        DivergedError: A loss or gradient is not finite, or the loss stays far above where it began.
            Its `trained` is what the best epoch before has left, or, in the first one, the weights
            before the batch that showed it; None where those are not finite.
        InputError: The model does not fit the task or the objective, or the checkpoint is damaged
            or another run's.
        StoppedError: A report wanted training to stop.
        OSError: The checkpoint cannot be written.
    """
    run = _Run(spec, task, config, seed, checkpoint, device, strategy)
    report = report or (lambda progress, batches: None)
    try:
        while (stopped := run.stopped(budget)) is None:
            if not run.epoch(budget, report):
                stopped = "budget"
                break
    except DivergedError as error:
        error.trained = run.kept(error)
        raise
    except StoppedError:
        run.save()
        raise
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
        strategy: Strategy,
    ) -> None:
        self.spec, self.task, self.config, self.seed = spec, task, config, seed
        self.checkpoint = checkpoint
        self.objective = config.objective
        settings = config.describe()
        for name in ("workers", "watch"):  # they change no number
            del settings[name]
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
        self.bare = spec.build()
        check_fits(spec.name, self.bare, task)
        self.objective.check(self.bare, task)
        self.place = Place(self.bare, config, device, strategy)
        self._project()
        self.progress = Progress()
        self.best: dict[str, torch.Tensor] = {}
        self.state: State | None = None  # after the last batch, where the next one goes on
        if checkpoint is not None and checkpoint.exists():
            self.progress, self.best, carried = load_checkpoint(
                checkpoint, self.identity, self.bare, self.place.optimizer
            )
            if carried:
                values = iter(carried)
                fresh = self.objective.init_state(self.bare, len(carried[0]))
                self.state = map_state(lambda leaf: next(values).to(leaf.device), fresh)
            self.place.load_scale(self.progress.scale)
        self.learnt, self.scoring = 0, math.nan  # steps in this process, seconds of a validation
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
        return "budget" if progress.history and self._spent(budget) else None

    def _spent(self, budget: float) -> bool:
        """Say whether the budget leaves no more time than scoring on the validation split takes."""
        if math.isinf(budget):
            return False
        scoring = self.scoring
        if math.isnan(scoring):  # not measured yet: told from what the steps so far have taken
            each = (time.monotonic() - self.resumed) / max(self.learnt, 1)
            scoring = SCORING * each * self.task.steps("valid") if self.learnt else 0.0
        return self.progress.seconds + scoring >= budget

    def epoch(self, budget: float, report: Report) -> bool:
        """Train to the end of the epoch under way; False when the budget ended before it did."""
        progress = self.progress
        # The order depends on seed and epoch alone, so that a resumed epoch meets the same batches.
        order = torch.Generator().manual_seed(1_000_003 * self.seed + progress.epoch)
        self.place.seed(self.seed, progress.epoch)
        self.place.model.train()
        batches = self.task.batches(
            "train",
            self.config.batch_size,
            order,
            progress.batch,
            self.config.workers,
            self.place.device.type == "cuda",
        )
        for group in _groups(batches, self.config.accumulate):
            self._learn([self.place.share(batch) for batch in group], budget)
            self._clock()
            if time.monotonic() - self.saved > SAVE_EVERY and self.place.processes == 1:
                self.save()
            report(progress, self.batches)
            if self._spent(budget):
                break
        # An epoch cut short by the budget is scored too: it may be the only one, or the best.
        whole = not self._spent(budget)
        self._finish_epoch()
        report(progress, self.batches)
        return whole

    def _learn(self, group: list[Batch], budget: float) -> None:
        """Learn from a batch, or take one step of the optimizer for several."""
        self.place.learning_rate(self._learning_rate(budget))
        watched, together = self._watched(len(group)), 0
        if len(group) > 1:
            counts = [counted(b.target, b.lengths.to(b.target.device)).sum() for b in group]
            together = self.place.total(0.0, int(sum(counts)))[1]
        for batch in group:
            state = start_state(self.bare, batch, self.state)
            loss, steps = 0.0, 0
            for part in self.objective.parts(self.place.model, self.task, batch, state):
                self.state = part.state if self.task.continuous else None
                found = self.place.total(float(part.loss.detach()), part.steps)
                if not math.isfinite(found[0]):
                    raise self._overflow(found[0], batch, state)
                loss, steps = loss + found[0], steps + found[1]
                last = batch is group[-1]
                if among := together or found[1]:  # else nothing counts: there is nothing to learn
                    self.place.backward(part.loss, among, last)
                    if last:
                        watched = watched and self._watch(batch)
                        self._step()
            if steps:
                chance = self.task.chance_level
                check_loss(loss / steps, self.progress.guard, chance, *self.moment, self.batches)
            self.progress.loss += loss
            self.progress.steps += steps
            self.learnt += steps
            self.progress.batch += 1

    def _overflow(self, loss: float, batch: Batch, state: State | None) -> DivergedError:
        """Say in which layer numbers cease to be finite."""
        if self.objective.reads_cells:  # what these carry is no state of the model
            state = start_state(self.bare, batch, None)
        layer = first_overflow(self.place.form, batch, state)
        return DivergedError("loss", loss, *self.moment, layer)

    def _step(self) -> None:
        """Take one step of the optimizer."""
        norm, progress = self.place.clip(), self.progress
        # A loss scale that is too large leaves a step out and is made smaller.
        progress.left_out = 0 if math.isfinite(norm) else progress.left_out + 1
        if not self.place.scales or progress.left_out > MOST_LEFT_OUT:
            check_gradient(self.bare, norm, *self.moment)
        self.place.step()
        self._project()

    @property
    def moment(self) -> tuple[int, int]:
        """The epoch and the batch under way, counted from 1."""
        return self.progress.epoch + 1, self.progress.batch + 1

    def _watched(self, size: int) -> bool:
        """Say whether gradients are to be measured at the next step, of so many batches."""
        every = max(1, self.batches // WATCHED)
        return self.config.watch and -self.progress.batch % every < size

    def _watch(self, batch: Batch) -> bool:
        """Measure the gradients, and note what they warn of; that is enough for this batch."""
        progress = self.progress
        found = measure(self.bare, self.task, batch, *self.moment)
        progress.measured = [*progress.measured, asdict(found)][-REMEMBERED:]
        known = {(one["layer"], one["kind"]) for one in progress.warnings}
        history = [Measurement(**one) for one in progress.measured]
        for warning in warnings_of(history, self.bare, self.task.longest_dependency):
            if (warning.layer, warning.kind) not in known:
                progress.warnings.append(asdict(warning))
        return False

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

    def _finish_epoch(self) -> None:
        """Score the model, remember it if it is the best, and save."""
        progress = self.progress
        start = time.monotonic()
        scores = evaluate(self.place.form, self.task, "valid")
        self.scoring = time.monotonic() - start
        if not int(scores.steps.sum()):
            raise InputError(f"no step of the valid split of task '{self.task.name}' counts.")
        valid = scores.metric
        self._clock()
        seconds = progress.seconds - sum(entry["seconds"] for entry in progress.history)
        progress.epoch += 1
        progress.history.append(
            {
                "epoch": progress.epoch,
                "train": progress.loss / max(progress.steps, 1),
                "valid": valid,
                "seconds": seconds,
            }
        )
        if progress.best is None or not math.isfinite(progress.best) or valid < progress.best:
            progress.best, progress.best_epoch = valid, progress.epoch
            self.best = {name: value.clone() for name, value in whole_state(self.bare).items()}
        progress.batch, progress.loss, progress.steps, self.state = 0, 0.0, 0, None
        self._clock()
        self.save()

    def _clock(self) -> None:
        """Count the time trained, that of earlier processes included."""
        self.progress.seconds = self.seconds_before + time.monotonic() - self.resumed

    def save(self) -> None:
        """Write the checkpoint."""
        self.saved = time.monotonic()
        self.progress.scale = self.place.scale()
        if self.checkpoint is not None:
            save_checkpoint(
                self.checkpoint if self.place.first else None,
                self.identity,
                self.progress,
                self.bare,
                self.best,
                self.place.optimizer,
                [] if self.state is None else leaves(self.state),
            )
            self.place.wait()  # else a process that goes on from the file may find the one before

    def kept(self, error: DivergedError) -> Trained | None:
        """Give what is left of a run that diverged: its best epoch, or the weights before."""
        # A finite loss far too large is that of weights which are spoilt already.
        if not (self.best or math.isfinite(error.value) or first_bad_weight(self.bare)):
            self.best = {name: value.clone() for name, value in whole_state(self.bare).items()}
        return Trained(self.best_model(), self.progress, "diverged") if self.best else None

    def best_model(self) -> AbstractSequenceModel:
        """Give the model with its best weights."""
        # Several processes leave hooks on the model, or parts of it: theirs is a new one.
        model = self.bare if self.place.processes == 1 else self.spec.build()
        model.load_state_dict(self.best)
        return model.to(self.place.device).eval()


def _groups(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """Put together the batches that share a step of the optimizer."""
    iterator = iter(batches)
    while group := list(islice(iterator, size)):
        yield group
