"""The progress of `unrecur lookback`: one bar, and a line for each window."""

from typing import Any

from rich.console import Console
from rich.markup import escape

from unrecur.cli.progress import bars
from unrecur.studies.listener import Listener


class Windows(Listener):
    """Shows how many windows are measured.

    Args:
        console: Where to show them.
        unit: The unit of the metric.
    """

    def __init__(self, console: Console, unit: str) -> None:
        self.console, self.unit = console, unit
        self.progress = bars(console)
        self.whole = self.progress.add_task("lookback", total=None)
        self.left = 0

    def start(self, trials: int, finished: int) -> None:
        """Show how many windows there are at first; see `Listener.start`."""
        self.left = trials
        self.progress.update(self.whole, total=trials, completed=0)
        if finished:
            self.console.print(f"{finished} of {trials} windows are measured already.")

    def stage(self, what: str) -> None:
        """Name what is measured; windows beyond the first make the bar longer."""
        self.progress.update(self.whole, description=escape(what))

    def end(self, row: dict[str, Any]) -> None:
        """Count a window and write its line; see `Listener.end`."""
        self.left -= 1
        total = self.progress.tasks[self.whole].total or 0
        if self.left < 0:  # between powers of two
            self.progress.update(self.whole, total=total + 1)
        self.progress.advance(self.whole)
        said = f"k = {row['k']}: {row['metric']:.4f} {self.unit}"
        self.console.print(said, highlight=False, markup=False)
