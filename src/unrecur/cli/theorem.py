"""`unrecur study theorem`: its runs, a table, and a page."""

from pathlib import Path
from typing import Any

from rich.console import Console

from unrecur.cli.progress import bars
from unrecur.studies.listener import Listener


class Runs(Listener):
    """Shows the experiment as one bar, and a line for each finished run.

    Args:
        console: Where to show them.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = bars(console)
        self.whole = self.progress.add_task("theorem", total=None)
        self.name = ""

    def start(self, trials: int, finished: int) -> None:
        """Show how many runs there are; see `Listener.start`."""
        self.progress.update(self.whole, total=trials, completed=finished)
        if finished:
            self.console.print(f"{finished} of {trials} runs are finished already.")

    def begin(self, model: str, seed: int) -> None:
        """Name the run; see `Listener.begin`."""
        self.name = f"{model}, seed {seed}"

    def stage(self, what: str) -> None:
        """Name what is trained; see `Listener.stage`."""
        self.progress.update(self.whole, description=f"{self.name}: {what}")

    def end(self, row: dict[str, Any]) -> None:
        """Count the run and write its line; see `Listener.end`."""
        self.progress.advance(self.whole)
        windows, gaps = row["windows"], row["gaps"]["weights"]
        self.console.print(
            f"{self.name}: weights {gaps[0]:.1e} apart with k = {windows[0]}, {gaps[-1]:.1e} with "
            f"k = {windows[-1]}",
            highlight=False,
        )


def run_theorem(folder: Path, smoke: bool, command: str) -> Path:
    """Run the theorem's experiment, with bars, and write its page.

    Args:
        folder: Where the results go.
        smoke: Whether to run it small: it then shows that everything runs.
        command: What to type to do it again, for the page.

    Returns:
        The page.

    Raises:
        InputError: The folder holds other results, or is in use.
        CorruptFileError: A file of the folder is damaged.
        OSError: The folder cannot be written.
    """
    from unrecur.report.theorem_page import write_theorem_page
    from unrecur.report.theorem_table import print_theorem
    from unrecur.studies.theorem import theorem
    from unrecur.studies.theorem_data import SMOKE, TheoremConfig

    console = Console()
    listener = Runs(console)
    with listener.progress:
        results = theorem(folder, SMOKE if smoke else TheoremConfig(), listener, command)
    page = folder / "report.html"
    write_theorem_page(results, page)
    print_theorem(results, console)
    console.print(f"The page: {page}", soft_wrap=True, highlight=False)
    return page
