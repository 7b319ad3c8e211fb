"""Progress bars of a study and of a training run."""

from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from unrecur.studies.listener import Listener
from unrecur.train import checkpoint

MEMORY = 3600.0  # seconds over which the speed is averaged: trials differ, so longer is truer


def bars(console: Console) -> Progress:
    """Make the bars: what runs, how far it is, how long it took and will take.

    Args:
        console: Where to draw them.

    Returns:
        The bars, empty.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        speed_estimate_period=MEMORY,
    )


class Bars(Listener):
    """Shows a study as two bars, and a line for each finished trial.

    Args:
        console: Where to show them.
        unit: The unit of the metric.
    """

    def __init__(self, console: Console, unit: str) -> None:
        self.console, self.unit = console, unit
        self.progress = bars(console)
        self.whole = self.progress.add_task("study", total=None)
        self.part = self.progress.add_task("", total=1.0, visible=False)
        self.finished = 0
        self.name = ""

    def __enter__(self) -> "Bars":
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def start(self, trials: int, finished: int) -> None:
        """Show how many trials there are; see `Listener.start`."""
        self.finished = finished
        self.progress.update(self.whole, total=trials, completed=finished)
        self.progress.update(self.whole, description=f"study, {trials} trials")
        if finished:
            self.console.print(f"{finished} of {trials} trials are finished already.")

    def estimate(self, seconds: float, tuning: int, final: int) -> None:
        """Say how long it will take; see `Listener.estimate`."""
        parts = [f"{tuning} tuning trials"] * bool(tuning) + [f"{final} final ones"]
        self.console.print(
            f"About {_duration(seconds)} of training for one worker: {', '.join(parts)}."
        )

    def count(self, finished: int, running: int) -> None:
        """Count the trials of all workers; see `Listener.count`."""
        self.finished = finished
        self.progress.update(self.whole, completed=finished)

    def begin(self, model: str, seed: int) -> None:
        """Name the trial; see `Listener.begin`."""
        tuning = "setting" in model
        self.name = model if tuning else f"{model}, seed {seed}"
        self.progress.reset(self.part, description=self.name, visible=True)

    def train(self, progress: checkpoint.Progress, batches: int, epochs: int) -> None:
        """Show the epoch and the best score so far; see `Listener.train`."""
        share = (progress.epoch + progress.batch / batches) / epochs
        best = "" if progress.best is None else f", best {progress.best:.3f}"
        text = f"{self.name}: epoch {min(progress.epoch + 1, epochs)} of {epochs}{best}"
        self.progress.update(self.part, completed=share, description=text)
        self.progress.update(self.whole, completed=self.finished + 0.9 * share)

    def stage(self, what: str) -> None:
        """Name what is done after training; see `Listener.stage`."""
        self.progress.update(self.part, description=f"{self.name}: {what}", completed=1.0)

    def end(self, row: dict[str, Any]) -> None:
        """Count the trial and write its line; see `Listener.end`."""
        self.finished += 1
        self.progress.update(self.whole, completed=self.finished)
        epoch = f", epoch {row['best_epoch']}" if "best_epoch" in row else ""
        test = row["metric"]["test"]
        said = "diverged" if test is None else f"test {test:.4f} {self.unit}"
        self.console.print(
            f"{self.name}: {said} ({row['parameters']:,} parameters{epoch})", highlight=False
        )
        self.name = "study"

    def tuned(self, model: str, number: int, value: float | None) -> None:
        """Count the trial and write its line; see `Listener.tuned`."""
        self.finished += 1
        self.progress.update(self.whole, completed=self.finished)
        said = "given up early" if value is None else f"valid {value:.4f} {self.unit}"
        self.console.print(f"{model}, setting {number}: {said}", highlight=False)
        self.name = "study"

    def failed(self, model: str, reason: str) -> None:
        """Say what failed; see `Listener.failed`."""
        self.console.print(f"{model}: {reason}", style="yellow", highlight=False)


def _duration(seconds: float) -> str:
    """Write a duration in the unit that fits it."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"
