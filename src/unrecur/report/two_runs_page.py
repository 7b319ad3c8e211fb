"""Two studies side by side: their page, and what a terminal shows of it."""

from functools import partial
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unrecur._files import write_atomic
from unrecur.report import provenance
from unrecur.report.frame import Drawing, fill
from unrecur.report.sheets import Sheet
from unrecur.report.text import percent, printable, shorten
from unrecur.report.two_runs import TwoRuns, findings, headline
from unrecur.report.two_runs_sheets import (
    changes_figure,
    changes_sheet,
    settings_sheet,
    verdicts_sheet,
)
from unrecur.report.wording import metric_title

CAPTION = (
    "Each line is the interval of one model's difference from A to B, the grey band the margin of "
    "B's verdict. A line that crosses zero shows no difference."
)
LONGEST_CELL = 28


def write_two_runs_page(runs: TwoRuns, path: Path) -> None:
    """Write the page of two studies as one HTML file; an older one is replaced whole or kept.

    Args:
        runs: The two studies.
        path: Where to; the folder must exist.

    Raises:
        OSError: The file cannot be written.
    """
    write_atomic(path, render_two_runs(runs))


def render_two_runs(runs: TwoRuns) -> str:
    """Render the page of two studies.

    Args:
        runs: The two studies.

    Returns:
        The HTML.
    """
    sheet = partial(changes_sheet, runs)
    part = Drawing("changes", "Model by model", CAPTION, changes_figure(runs), sheet)
    made = [provenance.run_facts(results) for results in runs.results]
    return fill(
        "two_runs.html.jinja",
        [part],
        part=part,
        names=[printable(name) for name in runs.names],
        headline=headline(runs),
        findings=findings(runs),
        metric=metric_title(runs.results[1], "test"),
        confidence=percent(runs.confidence),
        changes=changes_sheet(runs),
        verdicts=verdicts_sheet(runs),
        settings=settings_sheet(runs),
        runs=dict(zip(("Run A", "Run B"), made, strict=True)),
        version=made[1]["unrecur"],
    )


def print_two_runs(runs: TwoRuns, console: Console) -> None:
    """Print two studies: the models, what changed, and the settings that differ.

    Args:
        runs: The two studies.
        console: Where to.
    """
    for letter, name in zip("AB", runs.names, strict=True):
        console.print(Text(f"{letter}: {printable(name)}"))
    title = metric_title(runs.results[1], "test")
    console.print(_table(changes_sheet(runs), title, ("family",)))
    console.print(Text(headline(runs), "bold"))
    for finding in findings(runs):
        console.print(Text(f"- {finding}"))
    settings = settings_sheet(runs)
    if settings.rows:
        console.print(_table(settings, "Settings that differ"))


def _table(sheet: Sheet, title: str, without: tuple[str, ...] = ()) -> Table:
    """Make a table for a terminal of 80 columns."""
    table = Table(title=Text(title), box=box.SIMPLE_HEAD, pad_edge=False)
    kept = [place for place, column in enumerate(sheet.columns) if column not in without]
    for place in kept:
        right = place >= sheet.names and place not in sheet.prose
        table.add_column(Text(sheet.columns[place]), justify="right" if right else "left")
    for row in sheet.rows:
        table.add_row(*(Text(shorten(row[place], LONGEST_CELL)) for place in kept))
    return table
