"""A study's report: one HTML file that needs nothing else, no network either."""

from pathlib import Path
from typing import Any

from unrecur._files import write_atomic
from unrecur.report import provenance, sheets, wording
from unrecur.report.fairness import failures_sheet, match_sheets, skipped_sheet
from unrecur.report.frame import fill
from unrecur.report.part import drawing, drawings
from unrecur.report.parts import PARTS, VERDICT
from unrecur.report.ranking import ranking_sheet
from unrecur.report.rows import Results, by_model, lines, matched, section, words
from unrecur.report.spread import confidence_of
from unrecur.report.style import looks
from unrecur.report.summary import tolerance
from unrecur.report.text import percent

OTHER = "other"
FAMILIES = ("recurrent", "feed-forward", "floor", OTHER)


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
    main = matched(results)
    verdict, parts = drawing(VERDICT, main), drawings(PARTS, main)
    return fill(
        "page.html.jinja",
        [verdict, *parts],
        verdict=verdict,
        parts=parts,
        filters=_filters(main),
        matches=match_sheets(results),
        **_texts(main),
        **_tables(main),
    )


def _filters(results: Results) -> dict[str, list[tuple[str, str]]]:
    """Give the models by family, each with what legends call it."""
    names = looks(results)
    found: dict[str, list[tuple[str, str]]] = {family: [] for family in FAMILIES}
    for model, rows in by_model(results).items():
        family = words(rows[0], "family")
        found[family if family in FAMILIES else OTHER].append((model, names[model].name))
    return {family: members for family, members in found.items() if members}


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
        "consequences": wording.consequences(results),
        "confidence": percent(confidence_of(results)),
        "metric": wording.metric_title(results, "test"),
        "tolerance": percent(tolerance(results)),
        "truncation": wording.truncation_sentence(results),
    }


def _tables(results: Results) -> dict[str, Any]:
    run = provenance.run_facts(results)
    return {
        "models": len(by_model(results)),
        "summary": ranking_sheet(results),
        "failures": failures_sheet(results),
        "skipped": skipped_sheet(results),
        "certificates": sheets.certificate_sheet(results),
        "run": run,
        "version": run["unrecur"],
        "settings": provenance.facts(section(results, "settings")),
        "environment": provenance.facts(section(results, "environment")),
        "data": provenance.data_sheet(results),
        "notes": lines(section(results, "task"), "notes"),
        "published": provenance.published_sheet(results),
    }
