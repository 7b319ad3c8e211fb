"""The page and the table of a comparison: what they say, and that nothing in them breaks out."""

import copy
import io
import json
from unittest import mock

import pytest
from rich.console import Console

from report.browser import check_drawn, needs_browser
from report.parsed import HOSTILE, Page
from unrecur import InputError
from unrecur.report import frame
from unrecur.report.comparison_figures import by_epoch, curves_figure, seeds_figure
from unrecur.report.comparison_page import render_comparison, write_comparison_page
from unrecur.report.comparison_table import print_comparison


def fake_row(arm, seed, valid, test):
    return {
        "model": arm,
        "family": "elman",
        "seed": seed,
        "parameters": 9999,
        "spec": {"name": "elman", "options": {"activation": arm, "hidden": 66}},
        "training": {"learning_rate": 0.003, "objective": {"name": "Full", "segment": None}},
        "diverged": None if test else "epoch 3, batch 7",
        "history": [
            {"epoch": epoch, "train": metric, "valid": metric, "seconds": 2.5}
            for epoch, metric in enumerate(valid, 1)
        ],
        "metric": {"valid": min(valid), "test": test},
        "best_epoch": len(valid),
        "seconds": 2.5 * len(valid),
    }


def spread(low, middle, high):
    return {"median": middle, "low": low, "high": high}


def fake_comparison():
    rows = [fake_row("tanh", s, (2.0, 1.0 + s / 10, 0.5), 0.51 + s / 100) for s in range(3)]
    rows += [fake_row("relu", s, (2.1, 2.0), 1.9 if s else None) for s in range(3)]
    arm = {"parameters": 9999, "seeds": 3, "diverged": 0, "reached": 3}
    arm |= {"valid": spread(0.4, 0.5, 0.6), "test": spread(0.51, 0.52, 0.53)}
    return {
        "version": "0.1.0",
        "created": "2026-11-22T03:15:54+00:00",
        "command": "unrecur study activation",
        "seconds": 100.0,
        "comparison": {
            "name": "activation",
            "title": "The activation",
            "question": "Which activation learns best?",
            "reference": "tanh",
            "level": 1.0,
        },
        "task": {
            "name": "recall",
            "title": "Delayed recall",
            "metric": "loss",
            "unit": "nats",
            "chance_level": 2.08,
            "splits": {"train": {"sequences": 1000, "steps": 60_000, "hash": "5f2c9a01"}},
            "notes": ["The first 10 steps do not count."],
        },
        "settings": {"seeds": 3, "confidence": 0.95, "device": "cpu"},
        "arms": [{"arm": "tanh", **arm}, {"arm": "relu", **arm, "diverged": 1, "valid": None}],
        "differences": [
            {
                "arm": "relu",
                "reference": "tanh",
                "seeds": 2,
                "relative_difference": 2.6,
                "low": 1.5,
                "high": 4.0,
            }
        ],
        "headline": "Relu is worse than tanh; relu diverged with 1 of 3 seeds",
        "findings": ["relu diverged with seed 0: epoch 3, batch 7."],
        "rows": rows,
        "environment": {"torch": "2.13.0+cpu", "git": "407f1f6c"},
    }


def light(results):
    """Render without the five megabytes of plotly."""
    with mock.patch.object(frame, "get_plotlyjs", return_value="/* plotly */"):
        return render_comparison(results)


@pytest.mark.parametrize(
    "text",
    [
        "Which activation learns best?",
        "Relu is worse than tanh; relu diverged with 1 of 3 seeds",
        "relu diverged with seed 0: epoch 3, batch 7.",
        "0.520 [0.510, 0.530]",
        "+260%",
        "Full(segment=None)",
        "unrecur study activation",
        "5f2c9a01",
        "407f1f6c",
        "Settings that are not the same for all arms",
        "The first 10 steps do not count.",
    ],
)
def test_says(text):
    assert text in " ".join(Page(light(fake_comparison())).text.split())


def test_every_section_has_its_heading_and_links_lead_somewhere():
    page = Page(light(fake_comparison()))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert all(section["aria-labelledby"] in ids for section in page.all("section"))
    assert all(link["href"].removeprefix("#") in ids for link in page.all("a"))


def test_curves_have_a_band_a_median_and_the_level_in_each_panel():
    figure = curves_figure(fake_comparison())
    lines = [trace for trace in figure.data if trace.fill is None]
    bands = [trace for trace in figure.data if trace.fill == "toself"]
    assert len(lines) == len(bands) == 4  # two arms, two panels
    assert list(lines[0].x) == [1, 2, 3]
    assert list(lines[0].y) == pytest.approx([2.0, 1.1, 0.5])
    assert sorted(bands[0].y) == pytest.approx([0.5, 0.5, 1.0, 1.2, 2.0, 2.0])
    by_seconds = [trace for trace in lines if trace.xaxis == "x2"]
    assert [list(trace.x) for trace in by_seconds] == [[2.5, 5.0, 7.5], [2.5, 5.0]]
    assert len({trace.line.color for trace in lines}) == 2  # one colour an arm
    assert [shape.y0 for shape in figure.layout.shapes] == [1.0, 1.0]


def test_a_curve_ends_where_the_first_seed_does():
    rows = [fake_row("a", 0, (3.0, 2.0, 1.0), 1.0), fake_row("a", 1, (5.0, 4.0), 1.0)]
    assert by_epoch(rows) == [(1, 3.0, 4.0, 5.0), (2, 2.0, 3.0, 4.0)]
    assert by_epoch([fake_row("a", 0, (3.0,), 1.0) | {"history": []}]) == []


def test_seeds_are_marks_and_chance_a_line_where_it_is_near():
    figure = seeds_figure(fake_comparison())
    marks = [trace for trace in figure.data if trace.mode == "markers"]
    assert [len(trace.x) for trace in marks] == [3, 2]  # one diverged
    assert [shape.x0 for shape in figure.layout.shapes] == [2.08]
    far = fake_comparison()
    far["task"]["chance_level"] = 61.0
    assert not seeds_figure(far).layout.shapes


@pytest.mark.parametrize("part", [None, *fake_comparison()])
def test_missing_parts_leave_a_page(part):
    results = fake_comparison()
    if part == "rows":
        results["rows"] = []
    elif part is not None:
        del results[part]
    page = Page(light(results))
    assert page.all("h1")
    print_comparison(results, Console(file=io.StringIO()))


def test_what_is_no_comparison_is_refused():
    with pytest.raises(InputError, match="a list 'rows'"):
        render_comparison({"something": 1})


def test_hostile_texts_stay_texts():
    def spoilt(found):
        if isinstance(found, dict):
            return {HOSTILE * (key == "segment") or key: spoilt(v) for key, v in found.items()}
        if isinstance(found, list):
            return [spoilt(value) for value in found]
        return HOSTILE if isinstance(found, str) else found

    plain, results = light(fake_comparison()), spoilt(copy.deepcopy(fake_comparison()))
    page = Page(light(results))
    assert len(page.all("script")) == len(Page(plain).all("script"))
    assert not page.all("b")
    json.loads(page.scripts[0])
    stream = io.StringIO()
    print_comparison(results, Console(file=stream))
    assert "\x00" not in stream.getvalue()


def test_the_terminal_shows_the_answer_in_80_columns():
    stream = io.StringIO()
    print_comparison(fake_comparison(), Console(file=stream, width=80))
    said = stream.getvalue()
    assert "Relu is worse than tanh" in said
    assert "0.520 [0.510, 0.530]" in said


@needs_browser
def test_a_browser_draws_both_figures(tmp_path):
    page = tmp_path / "report.html"
    write_comparison_page(fake_comparison(), page)
    check_drawn(page, ["curves", "seeds"])
