"""The table of tasks."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from unrecur import _check
from unrecur.data.music import chorales, piano_roll_file
from unrecur.data.task import Task

TASKS: dict[str, Callable[[Path | None], Task]] = {
    "chorales": chorales,
    "jsb": partial(piano_roll_file, "jsb", "JSB Chorales, next quarter note", "JSB_Chorales.mat"),
    "nottingham": partial(
        piano_roll_file, "nottingham", "Nottingham folk tunes, next frame", "Nottingham.mat"
    ),
}


def load_task(name: str, data_dir: Path | None = None) -> Task:
    """Load a task by its name.

    Args:
        name: A name of `TASKS`.
        data_dir: The folder with its data, for a task whose data do not come with the package.

    Returns:
        The task.

    Raises:
        InputError: The name is unknown, or the data are missing or malformed.
    """
    return TASKS[_check.known_name(name, TASKS, "task")](data_dir)
