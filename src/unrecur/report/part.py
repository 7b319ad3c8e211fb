"""A section of a page around one figure, and how it is drawn from results."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import plotly.graph_objects as go

from unrecur.report.frame import Drawing
from unrecur.report.rows import Results
from unrecur.report.sheets import Sheet

MOST_ROWS = 1500  # of a table: a page of a thousand trials must open at once
MOST_NAMES = 24  # in a legend, before it takes the figure's place


@dataclass(frozen=True)
class Part:
    """A section of the page around one figure.

    Args:
        key: Its name in addresses.
        title: Its heading.
        caption: What to read from the figure.
        figure: Draws the figure.
        sheet: Tabulates its numbers.
        optional: Whether the section is left out where there is no figure.
    """

    key: str
    title: str
    caption: str
    figure: Callable[[Results], go.Figure | None]
    sheet: Callable[[Results], Sheet]
    optional: bool = False


def drawing(part: Part, results: Results) -> Drawing:
    """Draw a section of a page.

    Args:
        part: The section.
        results: What it shows.

    Returns:
        The figure with its texts and numbers.
    """
    figure = part.figure(results)
    if figure is not None and sum(bool(trace.showlegend) for trace in figure.data) > MOST_NAMES:
        figure.update_layout(showlegend=False)
    sheet = partial(_bounded, part.sheet, results)
    return Drawing(part.key, part.title, part.caption, figure, sheet)


def drawings(parts: tuple[Part, ...], results: Results) -> list[Drawing]:
    """Draw the sections of a page, but for the optional ones that have no figure.

    Args:
        parts: The sections.
        results: What they show.

    Returns:
        The figures with their texts and numbers.
    """
    drawn = [(part, drawing(part, results)) for part in parts]
    return [shown for part, shown in drawn if shown.figure is not None or not part.optional]


def _bounded(sheet: Callable[[Results], Sheet], results: Results) -> Sheet:
    """Tabulate no more rows than a page bears."""
    full = sheet(results)
    rest = len(full.rows) - MOST_ROWS
    return replace(full, rows=full.rows[:MOST_ROWS], left_out=rest) if rest > 0 else full
