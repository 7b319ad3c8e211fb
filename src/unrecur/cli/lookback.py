"""`unrecur lookback`: how many of its last inputs does this task need?"""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unrecur.cli.task_options import with_task

if TYPE_CHECKING:
    from unrecur.data.task import Task


@with_task
def lookback(
    task: "Task",
    margin: Annotated[
        float, typer.Option(help="How much worse than the best window is as good.")
    ] = 0.02,
    longest: Annotated[
        int | None,
        typer.Option(help="The longest window, in inputs.", show_default="256, or what data allow"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder of the results.", show_default="runs/TASK-lookback"),
    ] = None,
) -> None:
    """Measure how many of its last inputs a task needs, before anything recurrent is trained.

    Cheap models of windows of 1, 2, 4, ... inputs, judged in order of time. Ends with a table, the
    answer and a page, report.html. Run again, it goes on where it was.
    """
    from rich.console import Console

    from unrecur.cli.lookback_progress import Windows
    from unrecur.report.lookback_page import write_lookback_page
    from unrecur.report.lookback_table import print_lookback
    from unrecur.studies.lookback import lookback as run

    folder = out or Path("runs") / f"{task.name}-lookback"
    console = Console()
    listener = Windows(console, task.unit)
    with listener.progress:
        results = run(
            task, folder, margin, longest, listener, shlex.join(["unrecur", *sys.argv[1:]])
        )
    write_lookback_page(results, folder / "report.html")
    print_lookback(results, console)
    page = f"The page: {folder / 'report.html'}"
    console.print(page, soft_wrap=True, highlight=False, markup=False)
