"""A study's report: one HTML file that needs nothing else, no network either."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from unrecur._files import write_atomic
from unrecur.report import provenance, sheets, wording
from unrecur.report.figures import memory_figure, size_figure, speed_figure, training_figure
from unrecur.report.forest import verdict_figure
from unrecur.report.frame import Drawing, fill
from unrecur.report.rows import Results, by_model, lines, section, words
from unrecur.report.sheets import Sheet
from unrecur.report.summary import tolerance
from unrecur.report.text import percent


@dataclass(frozen=True)
class Part:
    """A section of the page around one figure.

    Args:
        key: Its name in addresses.
        title: Its heading.
        caption: What to read from the figure.
        figure: Draws the figure.
        sheet: Tabulates its numbers.
    """

    key: str
    title: str
    caption: str
    figure: Callable[[Results], go.Figure | None]
    sheet: Callable[[Results], Sheet]


VERDICT = Part(
    "verdict",
    "The verdict",
    "Each line is the interval of one feed-forward model's difference, the grey band the margin. "
    "Recurrence is not needed where one interval ends before the band's edge on the recurrent "
    "side; it is needed where all intervals lie beyond that edge.",
    verdict_figure,
    sheets.verdict_sheet,
)
PARTS = (
    Part(
        "memory",
        "Memory",
        "The first panel shows the metric of a model that sees only its last k inputs; the k from "
        "which on its curve lies on its dotted line (all inputs) is its memory. The second shows "
        "the largest difference of its outputs from those with all inputs, the thin line their "
        "median, the dashed one the certified bound. A ring marks the chosen window.",
        memory_figure,
        sheets.memory_sheet,
    ),
    Part(
        "training",
        "Loss curves",
        "Thick lines are medians over seeds, thin ones the seeds. A validation loss that still "
        "falls at its end was stopped early; one that rises while training loss falls overfits.",
        training_figure,
        sheets.training_sheet,
    ),
    Part(
        "size",
        "Loss against parameters",
        "Each mark is one seed. Marks one above another compare families at equal size; a model "
        "no better than a grey floor has learnt nothing that counting would not show.",
        size_figure,
        sheets.size_sheet,
    ),
    Part(
        "speed",
        "Speed",
        "Medians over seeds. Longer bars are faster for the two rates and slower for the time of "
        "one streaming step. The floors, which are faster by far, are among the numbers.",
        speed_figure,
        sheets.speed_sheet,
    ),
)


def write_page(results: Results, path: Path) -> None:
    """Write the report of a study as one HTML file; an older report is replaced whole or kept.

    Args:
        results: The results of a study.
        path: Where to; the folder must exist.

    Raises:
        InputError: These are no results of a study.
        OSError: The file cannot be written.
    """
    write_atomic(path, render(results))


def render(results: Results) -> str:
    """Render the report of a study.

    Args:
        results: The results of a study.

    Returns:
        The HTML.

    Raises:
        InputError: These are no results of a study.
    """
    verdict, *parts = (drawing(part, results) for part in (VERDICT, *PARTS))
    return fill(
        "page.html.jinja",
        [verdict, *parts],
        verdict=verdict,
        parts=parts,
        **_texts(results),
        **_tables(results),
    )


def drawing(part: Part, results: Results) -> Drawing:
    """Draw a section of a page.

    Args:
        part: The section.
        results: What it shows.

    Returns:
        The figure with its texts and numbers.
    """
    sheet = partial(part.sheet, results)
    return Drawing(part.key, part.title, part.caption, part.figure(results), sheet)


def _texts(results: Results) -> dict[str, Any]:
    verdict, task = section(results, "verdict"), section(results, "task")
    return {
        "answer": wording.answer(results),
        "task": words(task, "title") or words(task, "name", "this task"),
        "headline": words(verdict, "headline"),
        "reasons": lines(verdict, "reasons"),
        "numbers": [
            (wording.interval(pair), wording.compared(pair, results))
            for pair in wording.comparisons(results)
        ],
        "rule": wording.rule(results),
        "metric": wording.metric_title(results, "test"),
        "tolerance": percent(tolerance(results)),
        "truncation": wording.truncation_sentence(results),
    }


def _tables(results: Results) -> dict[str, Any]:
    run = provenance.run_facts(results)
    return {
        "models": len(by_model(results)),
        "summary": sheets.summary_sheet(results),
        "certificates": sheets.certificate_sheet(results),
        "run": run,
        "version": run["unrecur"],
        "settings": provenance.facts(section(results, "settings")),
        "environment": provenance.facts(section(results, "environment")),
        "data": provenance.data_sheet(results),
        "notes": lines(section(results, "task"), "notes"),
        "published": provenance.published_sheet(results),
    }
