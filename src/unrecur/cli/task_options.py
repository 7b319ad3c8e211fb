"""The options that name a task: one of the table, or the user's own data."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unrecur.cli.options import DataDir, filled

if TYPE_CHECKING:
    from pathlib import Path

    from unrecur.data.task import Task

OWN = "Your own data"


def load(
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK", help="A task of `unrecur data`, or your own file, folder or hf://NAME."
        ),
    ],
    data_dir: DataDir = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="The column to predict; may be given often.", rich_help_panel=OWN),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            help="A column to predict from; may be given often.",
            show_default="all",
            rich_help_panel=OWN,
        ),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(help="The column of times.", show_default="rows", rich_help_panel=OWN),
    ] = None,
    id: Annotated[
        str | None,
        typer.Option(help="The column that tells series apart.", rich_help_panel=OWN),
    ] = None,
    horizon: Annotated[
        int | None,
        typer.Option(
            min=0, help="Steps ahead; 0 for the step itself.", show_default="1", rich_help_panel=OWN
        ),
    ] = None,
    season: Annotated[
        int | None,
        typer.Option(min=1, help="Steps of a season, 24 for hours of a day.", rich_help_panel=OWN),
    ] = None,
    quantile: Annotated[
        list[float] | None,
        typer.Option(help="A quantile to forecast; may be given often.", rich_help_panel=OWN),
    ] = None,
    known: Annotated[
        list[str] | None,
        typer.Option(help="A column whose future is known.", rich_help_panel=OWN),
    ] = None,
    static: Annotated[
        list[str] | None,
        typer.Option(help="A column with one value a series.", rich_help_panel=OWN),
    ] = None,
    frequency: Annotated[
        str | None,
        typer.Option(
            help="How long a step is: 30s, 15m, 1h, 1d, 1w.",
            show_default="the commonest",
            rich_help_panel=OWN,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Train, valid, test: fractions, numbers of steps, or the two times between.",
            show_default="0.7,0.1,0.2",
            rich_help_panel=OWN,
        ),
    ] = None,
    level: Annotated[
        str | None,
        typer.Option(
            help="Of a text: word, character, byte or bpe.",
            show_default="character; word in a folder",
            rich_help_panel=OWN,
        ),
    ] = None,
) -> "Task":
    """Load the task that a command line names.

    Args:
        task: A name of the table, a place, or an address.
        data_dir: The folder of the data, for a task of the table.
        target: What is predicted.
        inputs: The columns it is predicted from.
        time: The column of times.
        id: The column that tells series apart.
        horizon: How many steps ahead.
        season: How many steps a season has.
        quantile: The quantiles that are forecast.
        known: Columns whose future is known.
        static: Columns with one value a series.
        frequency: How long a step is.
        split: How the steps are split.
        level: What a token of a text is.

    Returns:
        The task.

    Raises:
        InputError: The task is unknown, an option does not fit it, or its data are malformed.
    """
    given = {
        "inputs": inputs,
        "time": time,
        "id": id,
        "horizon": horizon,
        "season": season,
        "quantiles": quantile,
        "known": known,
        "static": static,
        "frequency": frequency,
        "split": None if split is None else splitting(split),
        "level": level,
    }
    options = {name: value for name, value in given.items() if value is not None}
    with _progress():
        return _load(task, data_dir, target or (), options)


@contextlib.contextmanager
def _progress() -> Iterator[None]:
    """Show how far a text is tokenized, on the error stream."""
    from rich.console import Console

    from unrecur.cli.progress import bars
    from unrecur.data.corpus import watched

    progress = bars(Console(stderr=True))
    bar = progress.add_task("tokenizing", total=None)

    def show(done: int, total: int) -> None:
        progress.start()  # not before: a bar that never moves would leave an empty line
        progress.update(bar, completed=done, total=total)

    try:
        with watched(show):
            yield
    finally:
        if progress.live.is_started:
            progress.stop()


def _load(
    task: str, data_dir: "Path | None", target: Sequence[str], options: dict[str, Any]
) -> "Task":
    """Load a task of the table, or make one of data of one's own."""
    from pathlib import Path

    from unrecur._check import InputError
    from unrecur.data.hub import PREFIX
    from unrecur.data.own import own_task
    from unrecur.data.tasks import TASKS, load_task

    if task in TASKS or not (task.startswith(PREFIX) or Path(task).exists() or "." in task):
        if options or target:
            named = ", ".join(f"--{name}" for name in [*["target"] * bool(target), *options])
            raise InputError(f"'{task}' is a task of the table, which has no {named}.")
        return load_task(task, data_dir)
    return own_task(task, target, **options)


def splitting(text: str) -> list[float] | list[int] | list[str]:
    """Read how steps are split.

    Args:
        text: Three fractions, three whole numbers or two times, with commas between.

    Returns:
        Them.

    Example:
        >>> splitting("8640,2880,2880"), splitting("0.7,0.1,0.2"), splitting("2017-01,2018-01")
        ([8640, 2880, 2880], [0.7, 0.1, 0.2], ['2017-01', '2018-01'])
    """
    parts = [part.strip() for part in text.split(",")]
    for kind in (int, float):
        try:
            return [kind(part) for part in parts]
        except ValueError:
            continue
    return parts


with_task = filled("task", load)
