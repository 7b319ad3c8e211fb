"""The page of a lookback: how many last inputs do, the curves, what the data alone say."""

from pathlib import Path
from typing import Any

from unrecur._check import InputError
from unrecur._files import write_atomic
from unrecur.report import lookback_figures as figures
from unrecur.report import lookback_sheets as sheets
from unrecur.report import provenance
from unrecur.report.frame import fill
from unrecur.report.part import Part, drawings
from unrecur.report.rows import Results, lines, section, value, words
from unrecur.report.text import percent
from unrecur.report.wording import metric_title

PARTS = (
    Part(
        "curve",
        "The metric against the window",
        "Each mark is a model of the last k inputs, judged on steps that it was not fitted on; all "
        "marks are about the same steps. The band is one standard error, from the spread over "
        "blocks of steps. Rings mark the least windows; the dotted line is the best guess without "
        "any input. A line that rises to the right shows the price of inputs that say nothing.",
        figures.curve_figure,
        sheets.curve_sheet,
    ),
    Part(
        "horizons",
        "By horizon",
        "How many last inputs each step ahead needs by itself.",
        figures.horizons_figure,
        sheets.horizons_sheet,
        optional=True,
    ),
    Part(
        "columns",
        "By column",
        "How far back each column matters: its own window is cut to k inputs, the others keep the "
        "best one. A line that is flat from 0 on is a column that is not needed. Where there are "
        "many, those that reach furthest back are drawn.",
        figures.columns_figure,
        sheets.columns_sheet,
        optional=True,
    ),
    Part(
        "signal",
        "What the data alone say",
        "First panel: the partial autocorrelation of the target, which of an autoregressive "
        "process of order p is 0 beyond p; 95 of 100 lags without any lie between the dotted lines "
        "(\N{PLUS-MINUS SIGN}1.96/\N{SQUARE ROOT}n). Second: an estimate of the mutual information "
        "of the last k inputs and the target; where it stops rising, older inputs add nothing. Its "
        "bias on few data is corrected for, and the correction is among the numbers.",
        figures.signal_figure,
        sheets.signal_sheet,
        optional=True,
    ),
)


def write_lookback_page(results: Results, path: Path) -> None:
    """Write the page of a lookback as one HTML file; an older one is replaced whole or kept.

    Args:
        results: The results of `unrecur.studies.lookback.lookback`.
        path: Where to; the folder must exist.

    Raises:
        InputError: These are no results of a lookback.
        OSError: The file cannot be written.
    """
    write_atomic(path, render_lookback(results))


def render_lookback(results: Results) -> str:
    """Render the page of a lookback.

    Args:
        results: The results of `unrecur.studies.lookback.lookback`.

    Returns:
        The HTML.

    Raises:
        InputError: These are no results of a lookback.
    """
    if results.get("kind") != "lookback":
        raise InputError(
            "expected the results of a lookback, with the kind 'lookback', got the keys "
            f"{sorted(map(str, results))}. Pass what it returned, or its results.json."
        )
    parts = drawings(PARTS, results)
    return fill("lookback.html.jinja", parts, parts=parts, **_texts(results))


def _texts(results: Results) -> dict[str, Any]:
    verdict, task, run = (
        section(results, "verdict"),
        section(results, "task"),
        provenance.run_facts(results),
    )
    settings = section(results, "settings")
    return {
        "headline": words(verdict, "headline", "Nothing has been measured yet"),
        "sentences": lines(verdict, "sentences"),
        "task": words(task, "title") or words(task, "name", "a task"),
        "metric": metric_title(results, "cross-validated"),
        "confidence": percent(value(settings, "confidence")),
        "least": sheets.least_sheet(results),
        "remarks": lines(results, "notes"),
        "run": run,
        "version": run["unrecur"],
        "settings": provenance.facts(settings),
        "environment": provenance.facts(section(results, "environment")),
        "data": provenance.data_sheet(results),
        "notes": lines(task, "notes"),
    }
