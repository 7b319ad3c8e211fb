"""An audit in the terminal: its least windows, the units that do not forget, the advice."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unrecur.report.audit_rows import recurrences
from unrecur.report.audit_windows import TIERS, gaps, statements, window_sheet
from unrecur.report.audit_wording import advice, never_forget, shape
from unrecur.report.rows import Row, lines, words
from unrecur.report.text import ABSENT, shorten

LONGEST_NAME = 40
LONGEST_REASON = 150
HEADS = dict(zip(TIERS, ("proved", "proved on inputs", "statistical", "measured"), strict=True))


def print_audit(record: Mapping[str, Any], console: Console) -> None:
    """Print what an audit found.

    Args:
        record: The record of an audit, as `to_record` makes it.
        console: Where to.

    Raises:
        InputError: This is no record of an audit.
    """
    found = recurrences(record)
    # Text, not str, everywhere: rich would read the brackets of a name as markup.
    if not found:
        console.print(Text("No recurrence was looked at."))
    for each in found:
        _print(each, console)


def windows_table(found: Row) -> Table:
    """Make the table of least windows, for a terminal of 80 columns.

    Args:
        found: What was found about a recurrence.

    Returns:
        The table, one line for each quantity and error.
    """
    caption = Text(f"least window k by what it rests on; {ABSENT}: no evidence of that kind")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=caption)
    sheet = window_sheet(found)
    for place, head in enumerate(sheet.columns):
        numbers = place >= sheet.names
        table.add_column(HEADS.get(head, head), justify="right" if numbers else "left")
    before = ""
    for name, *cells in sheet.rows:
        shown = [name if name != before else "", *(c.replace("more than ", ">") for c in cells)]
        table.add_row(*map(Text, shown))
        before = name
    return table


def _print(found: Row, console: Console) -> None:
    name = shorten(words(found, "name", ABSENT), LONGEST_NAME)
    console.print(Text.assemble((name, "bold"), f": {shape(found)}"))
    console.print(windows_table(found))
    said_of = {tier for tier, _, _ in statements(found)}
    for tier, reasons in gaps(found):
        if tier not in said_of:
            console.print(Text(shorten(f"{ABSENT} {HEADS[tier]}: {reasons[0]}", LONGEST_REASON)))
    console.print(Text(never_forget(found)))
    said = advice(found)
    for place, (say, why) in enumerate(said):
        mark = Text.assemble("→ " if place == 0 else "- ", (say, "bold" if place == 0 else ""))
        console.print(mark.append(f" {why}"))
    for note in lines(found, "notes"):
        console.print(Text(f"Note: {note}"))
    console.print()
