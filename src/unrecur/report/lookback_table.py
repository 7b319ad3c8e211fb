"""The end of a lookback in the terminal: the least windows, and the answer."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unrecur.report.lookback_sheets import least_sheet
from unrecur.report.rows import Results, lines, section, words

MOST_ROWS = 40


def print_lookback(results: Results, console: Console) -> None:
    """Print the least windows and what they say.

    Args:
        results: The results of `unrecur.studies.lookback.lookback`.
        console: Where to.
    """
    sheet, verdict = least_sheet(results), section(results, "verdict")
    task = words(section(results, "task"), "title", "Lookback")
    table = Table(title=Text(f"{task}: how many last inputs do?"), box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for column in sheet.columns[1:]:
        table.add_column(Text(column), justify="right")
    for row in sheet.rows[:MOST_ROWS]:
        table.add_row(*map(Text, row))
    console.print(table)
    if len(sheet.rows) > MOST_ROWS:
        console.print(f"{len(sheet.rows) - MOST_ROWS} more are on the page.")
    console.print(Text(words(verdict, "headline"), "bold"))
    for sentence in lines(verdict, "sentences"):
        console.print(Text(f"- {sentence}"))
