"""The page of the theorem's experiment, from a small run and from what is left of one."""

import copy
import functools

import pytest
from rich.console import Console

from unrecur.report.theorem_figures import chosen, outputs_figure, steps_figure, weights_figure
from unrecur.report.theorem_page import render_theorem
from unrecur.report.theorem_sheets import fits_sheet, gaps_sheet, steps_sheet
from unrecur.report.theorem_table import print_theorem

WINDOWS, STEPS = [1, 4, 8, 16, 32], [1, 10]
FIGURES = ("weights", "outputs", "steps", "gradient")


def row(model, seed, rate):
    gaps = [(seed + 1.0) * (rate or 1.0) ** k for k in WINDOWS]
    line = {"slope": -0.69, "plain_slope": -0.6, "difference": -0.0045, "points": 4}
    return {
        "model": model,
        "seed": seed,
        "windows": WINDOWS,
        "parameters": 72,
        "loss": {"start": 0.3, "end": 0.2},
        "radius": {"start": 1.5, "end": 1.6 if rate is None else rate},
        "floor": dict.fromkeys(("weights", "outputs"), 1e-12),
        "gaps": {
            **dict.fromkeys(("weights", "outputs", "same_outputs", "gradient"), gaps),
            "checkpoints": STEPS,
            "weights_by_step": [[gap / 2, gap] for gap in gaps],
            "outputs_by_step": [[gap / 2, 0.0] for gap in gaps],
        },
        "certificate": {"evidence": "PROVED", "rate": rate},
        "proved": {"same_outputs": [5 * gap for gap in gaps], "gradient": None} if rate else {},
        "shapes": {"weights": gaps, "outputs": gaps} if rate else {},
        "fits": {"weights": {**line, "first": 4, "last": 32}, "outputs": None} if rate else {},
    }


@functools.cache
def _results():
    cases = [("stable", 0.5, "attained"), ("unstable", None, "flat")]
    return {
        "version": "0.1.0",
        "command": "unrecur study theorem",
        "headline": "Both gaps fall",
        "holds": True,
        "cases": [
            {
                "name": name,
                "about": f"the {name} one",
                "claim": claim,
                "holds": True,
                "differences": [-0.02, 0.05] if rate else None,
                "decades": [9.0, 9.5],
            }
            for name, rate, claim in cases
        ],
        "settings": {"seeds": 2},
        "rows": [row(name, seed, rate) for seed in (0, 1) for name, rate, _ in cases],
        "environment": {"torch": "2"},
    }


def results():
    return copy.deepcopy(_results())


def test_the_page_says_what_was_found():
    page = render_theorem(results())
    assert "Both gaps fall" in page
    assert 'class="verdict spared"' in page
    assert "falls at the certified rate, within 10%" in page
    assert "the unstable one" in page
    assert page.count('data-figure="') == len(FIGURES)
    failed = results() | {"holds": False, "headline": "They do not"}
    page = render_theorem(failed)
    assert "They do not" in page
    assert 'class="verdict needed"' in page


def test_figures_draw_medians_and_theory():
    figure = weights_figure(results())
    drawn = {(t.name, t.line.dash): t for t in figure.data if t.line.width}
    assert list(drawn["stable", None].y) == pytest.approx([1.5 * 0.5**k for k in WINDOWS])
    assert list(drawn["stable", "dash"].y) == pytest.approx([1.5 * 0.5**k for k in WINDOWS])
    assert ("unstable", "dash") not in drawn
    bounds = [t for t in outputs_figure(results()).data if t.xaxis == "x2" and t.line.dash]
    assert list(bounds[0].y) == pytest.approx([7.5 * 0.5**k for k in WINDOWS])
    assert len(bounds) == 1


def test_gaps_against_steps():
    figure = steps_figure(results())
    names = [t.name for t in figure.data if t.showlegend]
    assert names == [f"{m}, k = {k}" for m in ("stable", "unstable") for k in (4, 8, 16)]
    first = figure.data[0]
    assert list(first.x) == STEPS
    assert list(first.y) == pytest.approx([0.75 * 0.5**4, 1.5 * 0.5**4])
    second = next(t for t in figure.data if t.xaxis == "x2")
    assert second.y[1] is None  # no place for 0 on a logarithmic axis


def test_few_windows_are_chosen_once():
    assert chosen(1) == [0]
    assert chosen(0) == []


def test_tables():
    fits = fits_sheet(results())
    assert len(fits.rows) == 8  # 2 seeds of the stable model, 4 gaps each
    assert fits.rows[0][3:7] == ["0.5000", "-0.6931", "-0.6900", "\N{MINUS SIGN}0.45%"]
    assert len(gaps_sheet(results(), ("weights",)).rows) == 4 * len(WINDOWS)
    assert len(steps_sheet(results()).rows) == 4 * len(WINDOWS) * len(STEPS)
    for sheet in (fits, gaps_sheet(results(), ("weights", "outputs")), steps_sheet(results())):
        assert {len(line) for line in sheet.rows} == {len(sheet.columns)}


def test_the_terminal_says_the_same():
    console = Console(record=True, width=100, file=None, quiet=False, force_terminal=False)
    print_theorem(results(), console)
    text = console.export_text()
    assert "Both gaps fall" in text
    assert "unstable" in text


def test_what_is_missing_leaves_gaps():
    for rows in ([], [{"model": "stable"}], [{"model": "stable", "gaps": 3, "windows": [1, None]}]):
        assert "<main" in render_theorem({"rows": rows})
    holes = results()
    holes["rows"][0]["gaps"] = {"weights": [None], "weights_by_step": [None, 5], "checkpoints": [1]}
    assert "<main" in render_theorem(holes)
    with pytest.raises(ValueError, match="rows"):
        render_theorem({})


def test_texts_are_escaped():
    hostile = results()
    hostile["headline"] = "</script><script>alert(1)"
    hostile["rows"][0]["model"] = "<img src=x onerror=alert(2)>"
    page = render_theorem(hostile)
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page
