"""The end of the theorem's experiment in the terminal."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unrecur.report.rows import Results, words
from unrecur.report.theorem_sheets import cases_sheet


def print_theorem(results: Results, console: Console) -> None:
    """Print the headline and what came of each case.

    Args:
        results: The results of `unrecur.studies.theorem.theorem`.
        console: Where to.
    """
    sheet = cases_sheet(results)
    table = Table(title=Text("Training on windows"), box=box.SIMPLE_HEAD, pad_edge=False)
    for column in sheet.columns:
        table.add_column(Text(column))
    for row in sheet.rows:
        table.add_row(*map(Text, row))
    console.print(table)
    style = "bold green" if results.get("holds") is True else "bold yellow"
    console.print(Text(words(results, "headline"), style))
