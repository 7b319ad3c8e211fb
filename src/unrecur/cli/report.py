"""`unrecur report`: the table and the page of a study, again."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The study's folder.")],
) -> None:
    """Write the page of a finished study again and print its table and verdict."""
    import json

    from rich.console import Console

    from unrecur._check import CorruptFileError, InputError
    from unrecur.report.page import write_page
    from unrecur.report.table import print_results

    path = folder / "results.json"
    if not path.is_file():
        raise InputError(f"there is no {path}. Run the study to its end first: unrecur study TASK.")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorruptFileError(
            f"{path} is damaged ({error}). Run the study again: its trials are kept."
        ) from error
    if not isinstance(results, dict):
        raise CorruptFileError(f"{path} holds no results of a study. Run the study again.")
    write_page(results, folder / "report.html")
    console = Console()
    print_results(results, console)
    console.print(f"The page: {folder / 'report.html'}", soft_wrap=True, highlight=False)
