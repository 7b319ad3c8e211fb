"""The page of the theorem's experiment: one HTML file that needs nothing else."""

from functools import partial
from pathlib import Path

from unrecur._files import write_atomic
from unrecur.report import provenance
from unrecur.report import theorem_sheets as sheets
from unrecur.report.frame import fill
from unrecur.report.part import Part, drawing
from unrecur.report.rows import Results, by_model, entries, section, words
from unrecur.report.theorem_figures import (
    gradient_figure,
    outputs_figure,
    steps_figure,
    weights_figure,
)

LAMBDA_K = "\N{GREEK SMALL LETTER LAMDA}\N{MODIFIER LETTER SMALL K}"


PARTS = (
    Part(
        "weights",
        "How far apart training ends",
        "|w_recurrent \N{MINUS SIGN} w_truncated| after the last step. Lines with marks are "
        "medians over seeds, bands reach from the lowest to the highest seed. Dashed: the shape of "
        f"the theorem's bound, k {LAMBDA_K} with its constants, moved to the height of the gaps, "
        "as its factor is too large to draw. Marks that fall as the dashed line does are the "
        "theorem come true; at the bottom only rounding is left.",
        weights_figure,
        partial(sheets.gaps_sheet, names=("weights",)),
    ),
    Part(
        "outputs",
        "How far apart predictions are",
        "max |y \N{MINUS SIGN} y\N{MODIFIER LETTER SMALL K}| over all sequences and steps that "
        "count. First panel: each model with the weights of its own training, and dashed the shape "
        f"{LAMBDA_K}, moved to the gaps' height. Second panel: both with the weights of the full "
        "training, and dashed the bound that is proved for them, which is not moved.",
        outputs_figure,
        partial(sheets.gaps_sheet, names=("outputs", "same_outputs")),
    ),
    Part(
        "steps",
        "The gaps against the number of steps",
        "Medians over seeds, for three windows, written in their dashes. Steps shrink like "
        "\N{GREEK SMALL LETTER ALPHA} / n, so that gaps grow slower and slower: the theorem allows "
        "a power of N.",
        steps_figure,
        sheets.steps_sheet,
    ),
    Part(
        "gradient",
        "The gradient through windows",
        "The distance between the gradients through windows and through the full recurrence, both "
        "at the weights of the full training. Dashed: the proved bound, every constant of which is "
        "from the weights; it is not moved. There is none for the LSTM and the unstable model.",
        gradient_figure,
        partial(sheets.gaps_sheet, names=("gradient",)),
    ),
)


def write_theorem_page(results: Results, path: Path) -> None:
    """Write the page of the theorem's experiment; an older one is replaced whole or kept.

    Args:
        results: The results of `unrecur.studies.theorem.theorem`.
        path: Where to; the folder must exist.

    Raises:
        InputError: These are no results of the experiment.
        OSError: The file cannot be written.
    """
    write_atomic(path, render_theorem(results))


def render_theorem(results: Results) -> str:
    """Render the page of the theorem's experiment.

    Args:
        results: The results of `unrecur.studies.theorem.theorem`.

    Returns:
        The HTML.

    Raises:
        InputError: These are no results of the experiment.
    """
    parts = [drawing(part, results) for part in PARTS]
    run = provenance.run_facts(results)
    return fill(
        "theorem.html.jinja",
        parts,
        parts=parts,
        headline=words(results, "headline", "Nothing has finished yet"),
        kind=_kind(results),
        cases=sheets.cases_sheet(results),
        about=[(words(c, "name"), words(c, "about")) for c in entries(results, "cases")],
        fits=sheets.fits_sheet(results),
        runs=sheets.runs_sheet(results),
        run=run,
        version=run["unrecur"],
        settings=provenance.facts(section(results, "settings")),
        environment=provenance.facts(section(results, "environment")),
    )


def _kind(results: Results) -> str:
    """Choose the colour of the headline."""
    if not by_model(results):
        return "open"
    return "spared" if results.get("holds") is True else "needed"
