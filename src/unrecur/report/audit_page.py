"""An audit's report: one HTML file that needs nothing else, no network either."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from unrecur._files import write_atomic
from unrecur.report import audit_facts, audit_sheets, audit_windows, audit_wording
from unrecur.report.audit_captions import CAPTIONS
from unrecur.report.audit_figures import gates_figure, units_figure
from unrecur.report.audit_flow import gradients_figure
from unrecur.report.audit_memory import cost_figure, memory_figure
from unrecur.report.audit_rows import recurrences
from unrecur.report.audit_spectra import spectra_figure
from unrecur.report.frame import Drawing, fill
from unrecur.report.rows import Row, lines, words
from unrecur.report.sheets import Sheet
from unrecur.report.text import ABSENT


@dataclass(frozen=True)
class Part:
    """A section of the page about one recurrence, around one figure.

    Args:
        key: Its name in addresses, after the recurrence's.
        title: Its heading.
        figure: Draws the figure.
        sheet: Tabulates its numbers.
        table: Makes a table that stands beside the figure; none if left out.
        about: What that table shows.
        optional: Whether the section is left out where there is no figure.
    """

    key: str
    title: str
    figure: Callable[[Row], go.Figure | None]
    sheet: Callable[[Row], Sheet]
    table: Callable[[Row], Sheet] | None = None
    about: str = ""
    optional: bool = False


PARTS = (
    Part("memory", "Memory", memory_figure, audit_sheets.memory_sheet),
    Part("cost", "What a window costs", cost_figure, audit_sheets.cost_sheet, optional=True),
    Part(
        "units",
        "Units",
        units_figure,
        audit_sheets.units_sheet,
        audit_sheets.kinds_sheet,
        "Numbers of the state that stand out",
    ),
    Part("gradients", "Gradients", gradients_figure, audit_sheets.gradients_sheet),
    Part(
        "gates",
        "Gates",
        gates_figure,
        audit_sheets.gates_sheet,
        audit_sheets.gate_table,
        "How far gates are open, over units and steps",
        optional=True,
    ),
    Part("spectra", "Spectra", spectra_figure, audit_sheets.spectra_sheet, optional=True),
)


@dataclass(frozen=True)
class Section:
    """A section as the page shows it.

    Args:
        key: Its name in addresses.
        title: Its heading.
        drawing: Its figure.
        table: A table beside it.
        about: What that table shows.
    """

    key: str
    title: str
    drawing: Drawing
    table: Sheet | None
    about: str


def write_audit_page(record: Mapping[str, Any], path: Path) -> None:
    """Write the report of an audit as one HTML file; an older report is replaced whole or kept.

    Args:
        record: The record of an audit, as `to_record` makes it.
        path: Where to; the folder must exist.

    Raises:
        InputError: This is no record of an audit.
        OSError: The file cannot be written.
    """
    write_atomic(path, render_audit(record))


def render_audit(record: Mapping[str, Any]) -> str:
    """Render the report of an audit.

    Args:
        record: The record of an audit, as `to_record` makes it.

    Returns:
        The HTML.

    Raises:
        InputError: This is no record of an audit.
    """
    # Names of recurrences may be anything and the same twice; places are neither.
    shown = [_recurrence(found, f"r{place}") for place, found in enumerate(recurrences(record))]
    drawings = [section.drawing for each in shown for section in each["sections"]]
    return fill(
        "audit.html.jinja",
        drawings,
        source=words(record, "source", "this model"),
        recurrences=shown,
        version=words(record, "unrecur", ABSENT),
    )


def _recurrence(found: Row, key: str) -> dict[str, Any]:
    """Gather what the page says about one recurrence."""
    drawn = [(part, _drawing(part, found, f"{key}-{part.key}")) for part in PARTS]
    return {
        "key": key,
        "name": words(found, "name", ABSENT),
        "shape": audit_wording.shape(found),
        "advice": audit_wording.advice(found),
        "windows": audit_windows.window_sheet(found),
        "statements": audit_windows.statements(found),
        "gaps": audit_windows.gaps(found),
        "sections": [
            Section(
                key=drawing.key,
                title=part.title,
                drawing=drawing,
                table=part.table(found) if part.table else None,
                about=part.about,
            )
            for part, drawing in drawn
            if drawing.figure is not None or not part.optional
        ],
        "proofs": audit_facts.proof_facts(found),
        "lists": audit_facts.proof_lists(found),
        "data": audit_facts.data_facts(found),
        "sizes": audit_facts.size_facts(found),
        "notes": lines(found, "notes"),
    }


def _drawing(part: Part, found: Row, key: str) -> Drawing:
    sheet = partial(part.sheet, found)
    return Drawing(key, part.title, CAPTIONS[part.key](found), part.figure(found), sheet)
