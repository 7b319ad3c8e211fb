"""The end of a comparison in the terminal: the arms, the answer, what was found."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unrecur.report.comparison_sheets import arms_sheet
from unrecur.report.rows import Results, lines, section, words
from unrecur.report.wording import metric_title

SHOWN = ("arm", "diverged", "test")
MOST = ("epochs to", "seconds to")


def comparison_table(results: Results) -> Table:
    """Make the table of the arms, for a terminal of 80 columns.

    Args:
        results: The results of a comparison.

    Returns:
        The table, one line an arm.
    """
    sheet = arms_sheet(results)
    caption = f"{metric_title(results, 'test')}, medians [lowest, highest seed]"
    table = Table(
        title=Text(words(section(results, "comparison"), "title", "A comparison")),
        caption=Text(caption),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    kept = [
        place
        for place, column in enumerate(sheet.columns)
        if column in SHOWN or column.startswith(MOST)
    ]
    for place in kept:
        table.add_column(Text(sheet.columns[place]), justify="left" if place == 0 else "right")
    for row in sheet.rows:
        table.add_row(*(Text(row[place]) for place in kept))
    return table


def print_comparison(results: Results, console: Console) -> None:
    """Print what a comparison found.

    Args:
        results: The results of a comparison.
        console: Where to.
    """
    console.print(comparison_table(results))
    console.print(Text(words(section(results, "comparison"), "question")))
    console.print(Text(words(results, "headline"), "bold"))
    for finding in lines(results, "findings"):
        console.print(Text(f"- {finding}"))
