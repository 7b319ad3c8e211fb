"""The page of a comparison: its question, the answer, curves, tables, how it was made."""

from functools import partial
from pathlib import Path
from typing import Any

from unrecur._files import write_atomic
from unrecur.report import provenance
from unrecur.report.comparison_figures import curves_figure, seeds_figure
from unrecur.report.comparison_sheets import (
    arms_sheet,
    curves_sheet,
    differences_sheet,
    runs_sheet,
    settings_sheet,
    trained,
)
from unrecur.report.frame import Drawing, fill
from unrecur.report.rows import Results, lines, section, value, words
from unrecur.report.text import percent
from unrecur.report.wording import metric_title

CURVES = (
    "Thick lines are medians over seeds, bands reach from the lowest to the highest seed, and a "
    "line ends where the first seed ends. The dotted line is the level whose first reaching is "
    "counted. The second panel shows the same against the seconds trained."
)
SEEDS = (
    "Each mark is one seed, the line their median; the dotted line is chance. Marks of one seed "
    "share first batches and, where the arms have the same weights, the first weights."
)


def write_comparison_page(results: Results, path: Path) -> None:
    """Write the page of a comparison as one HTML file; an older one is replaced whole or kept.

    Args:
        results: The results of a comparison.
        path: Where to; the folder must exist.

    Raises:
        InputError: These are no results of a comparison.
        OSError: The file cannot be written.
    """
    write_atomic(path, render_comparison(results))


def render_comparison(results: Results) -> str:
    """Render the page of a comparison.

    Args:
        results: The results of a comparison.

    Returns:
        The HTML.

    Raises:
        InputError: These are no results of a comparison.
    """
    parts = [
        Drawing(
            "curves",
            "Learning curves",
            CURVES,
            curves_figure(results),
            partial(curves_sheet, results),
        ),
        Drawing("seeds", "Every seed", SEEDS, seeds_figure(results), partial(runs_sheet, results)),
    ]
    return fill("comparison.html.jinja", parts, parts=parts, **_texts(results))


def _texts(results: Results) -> dict[str, Any]:
    asked, task, run = (
        section(results, "comparison"),
        section(results, "task"),
        provenance.run_facts(results),
    )
    return {
        "title": words(asked, "title", "A comparison"),
        "question": words(asked, "question"),
        "headline": words(results, "headline", "Nothing has finished yet"),
        "findings": lines(results, "findings"),
        "task": words(task, "title") or words(task, "name", "a task"),
        "metric": metric_title(results, "test"),
        "arms": arms_sheet(results),
        "differences": differences_sheet(results),
        "confidence": percent(value(results, "settings", "confidence")),
        "shared": _shared(results),
        "differing": settings_sheet(results),
        "run": run,
        "version": run["unrecur"],
        "settings": provenance.facts(section(results, "settings")),
        "environment": provenance.facts(section(results, "environment")),
        "data": provenance.data_sheet(results),
        "notes": lines(task, "notes"),
    }


def _shared(results: Results) -> dict[str, str]:
    """Give the settings that all arms have."""
    first, *others = trained(results).values() or [{}]
    return {
        name: chosen
        for name, chosen in first.items()
        if all(found.get(name) == chosen for found in others)
    }
