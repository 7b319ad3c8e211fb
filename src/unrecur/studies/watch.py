"""What goes on while a trial trains: its log, its scalars, and the moment at which it must stop."""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unrecur._check import extra
from unrecur._files import write_atomic
from unrecur.studies.listener import Listener
from unrecur.train.checkpoint import Progress
from unrecur.train.loop import StoppedError


class Deadline:
    """The moment at which a study must stop.

    Args:
        seconds: How far off; None for never.
    """

    def __init__(self, seconds: float | None) -> None:
        self.end = None if seconds is None else time.monotonic() + seconds

    @property
    def over(self) -> bool:
        """Whether it has passed."""
        return self.end is not None and time.monotonic() >= self.end

    @property
    def left(self) -> float | None:
        """The seconds until then; None where there is no end."""
        return None if self.end is None else max(self.end - time.monotonic(), 0.0)


class Watch(Listener):
    """Passes on what a trial does, logs its epochs, and stops it when time is up.

    Args:
        listener: Who wants to know.
        folder: The study's folder.
        key: What tells the trial's files from those of others.
        deadline: When to stop.
        tensorboard: Whether to write scalars for TensorBoard.
        epoch: Called with the number of each epoch, from 1, and its validation metric.
    """

    def __init__(
        self,
        listener: Listener,
        folder: Path,
        key: str,
        deadline: Deadline,
        tensorboard: bool = False,
        epoch: Callable[[int, float], None] | None = None,
    ) -> None:
        self.listener, self.deadline, self.epoch = listener, deadline, epoch
        self.log = folder / "logs" / f"{key}.jsonl"
        self.scalars = _Scalars(folder / "tensorboard" / key) if tensorboard else None
        self.written = 0

    def begin(self, model: str, seed: int) -> None:
        """Pass on; see `Listener.begin`."""
        self.listener.begin(model, seed)

    def train(self, progress: Progress, batches: int, epochs: int) -> None:
        """Log what epochs are new; see `Listener.train`."""
        self.listener.train(progress, batches, epochs)
        new, self.written = progress.history[self.written :], len(progress.history)
        if new:
            lines = [json.dumps(entry) + "\n" for entry in progress.history]
            write_atomic(self.log, "".join(lines))
        for entry in new:
            if self.scalars:
                self.scalars.write(entry)
            if self.epoch:
                self.epoch(int(entry["epoch"]), entry["valid"])
        self._stop()

    def stage(self, what: str) -> None:
        """Pass on; see `Listener.stage`."""
        self.listener.stage(what)
        self._stop()

    def end(self, row: dict[str, Any]) -> None:
        """Pass on; see `Listener.end`."""
        self.listener.end(row)

    def close(self) -> None:
        """Write what is left of the scalars."""
        if self.scalars:
            self.scalars.close()

    def _stop(self) -> None:
        if self.deadline.over:
            raise StoppedError("the study's time is up")


class _Scalars:
    """The event file of a trial; one that goes on from a checkpoint writes it anew."""

    def __init__(self, folder: Path) -> None:
        module = extra("torch.utils.tensorboard", "tensorboard")
        for old in folder.glob("events.*"):
            with contextlib.suppress(FileNotFoundError):  # another process had the same thought
                old.unlink()
        self.writer = module.SummaryWriter(folder)

    def write(self, entry: dict[str, float]) -> None:
        """Write an epoch."""
        for name in ("train", "valid", "seconds"):
            self.writer.add_scalar(name, entry[name], int(entry["epoch"]))
        self.writer.flush()

    def close(self) -> None:
        """Close the file."""
        self.writer.close()
