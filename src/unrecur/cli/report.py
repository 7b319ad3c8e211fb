"""`unrecur report`: the table and the page of a study, again; or two studies side by side."""

from pathlib import Path
from typing import Annotated, Any

import typer

COMPARE = Path("compare")


def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The study's; or: compare")],
    run_a: Annotated[Path | None, typer.Argument(metavar="[RUN_A]", show_default=False)] = None,
    run_b: Annotated[Path | None, typer.Argument(metavar="[RUN_B]", show_default=False)] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The page of compare.", show_default="RUN_B/compare.html"),
    ] = None,
) -> None:
    """Write the page of a finished study again and print its table and verdict.

    Or compare two studies: unrecur report compare RUN_A RUN_B shows the settings that differ, both
    verdicts, and for each model the difference with its interval, in a table and a page.
    """
    if folder == COMPARE and run_a is not None and run_b is not None:
        _compare(run_a, run_b, out)
    elif run_a is not None or out is not None or (folder == COMPARE and not folder.is_dir()):
        _refuse()
    else:
        _report(folder)


def _report(folder: Path) -> None:
    """Show one study, or one lookback."""
    from rich.console import Console

    from unrecur.report.lookback_page import write_lookback_page
    from unrecur.report.lookback_table import print_lookback
    from unrecur.report.page import write_page
    from unrecur.report.table import print_results

    results, page, console = _read(folder), folder / "report.html", Console()
    if results.get("kind") == "lookback":
        write_lookback_page(results, page)
        print_lookback(results, console)
    else:
        write_page(results, page)
        print_results(results, console)
    _say_where(page, console)


def _compare(run_a: Path, run_b: Path, out: Path | None) -> None:
    """Show two studies side by side."""
    from rich.console import Console

    from unrecur.report.two_runs import two_runs
    from unrecur.report.two_runs_page import print_two_runs, write_two_runs_page

    found = two_runs((str(run_a), str(run_b)), (_read(run_a), _read(run_b)))
    page, console = out or run_b / "compare.html", Console()
    write_two_runs_page(found, page)
    print_two_runs(found, console)
    _say_where(page, console)


def _refuse() -> None:
    """Say what may stand after the verb."""
    from unrecur._check import InputError

    raise InputError(
        "expected one FOLDER, or compare and two folders. Two studies side by side: unrecur "
        "report compare RUN_A RUN_B."
    )


def _say_where(page: Path, console: Any) -> None:
    console.print(f"The page: {page}", soft_wrap=True, highlight=False, markup=False)


def _read(folder: Path) -> dict[str, Any]:
    """Read the results of a finished study."""
    import json

    from unrecur._check import CorruptFileError, InputError

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
    return results
