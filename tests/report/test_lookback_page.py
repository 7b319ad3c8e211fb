"""The page and the table of a lookback: what they say, and that nothing in them breaks out."""

import copy
import io
from unittest import mock

import pytest
from rich.console import Console

from report.browser import chromium, needs_browser, opened
from report.parsed import HOSTILE, Page
from unrecur import InputError
from unrecur.report import frame
from unrecur.report.lookback_figures import (
    columns_figure,
    curve_figure,
    horizons_figure,
    signal_figure,
)
from unrecur.report.lookback_page import render_lookback, write_lookback_page
from unrecur.report.lookback_table import print_lookback

KEYS = ("curve", "horizons", "columns", "signal")


def fake_points(**metrics):
    return [
        {
            "k": int(k[1:]),
            "metric": metric,
            "standard_error": 0.01,
            "above_best": metric - 0.5,
            "above_best_error": 0.002,
            "parameters": 7 + int(k[1:]),
        }
        for k, metric in metrics.items()
    ]


def fake_lookback():
    points = fake_points(k0=1.0, k1=0.8, k2=0.6, k3=0.505, k4=0.5, k8=0.51)
    least = {"measurable": 4, "one_standard_error": 3, "margin": 3, "best": 4}
    return {
        "version": "0.1.0",
        "created": "2026-11-22T03:15:54+00:00",
        "command": "unrecur lookback wind.csv --target load",
        "kind": "lookback",
        "seconds": 12.0,
        "task": {
            "name": "wind",
            "title": "wind: load, 2 steps ahead",
            "metric": "mean absolute error",
            "unit": "MASE",
            "splits": {"train": {"sequences": 72, "steps": 10_973, "hash": "5f2c9a01"}},
            "notes": ["'wind' has 3 missing values."],
        },
        "settings": {"margin": 0.02, "longest": 8, "confidence": 0.95, "model": "linear"},
        "least": least,
        "verdict": {
            "headline": "The last 4 inputs do: 8 add nothing measurable",
            "sentences": ["Within your margin of 2 % of the best, 3 do."],
        },
        "points": points,
        "horizons": [
            {"horizon": step, "least": {**least, "measurable": 5 - step}, "points": points}
            for step in (1, 2)
        ],
        "columns": [
            {"column": "load", "others": 4, "least": {**least, "measurable": 1}, "points": points},
            {"column": "wind", "others": 4, "least": least, "points": points[:4]},
        ],
        "partial_autocorrelation": {"values": [0.7, -0.3, 0.01], "band": 0.02, "n": 9604},
        "information": {
            "estimator": "Gaussian",
            "points": [{"k": 1, "nats": 0.3, "bias": 0.001}, {"k": 4, "nats": 0.7, "bias": 0.002}],
        },
        "notes": ["Windows hold values."],
        "environment": {"torch": "2.13.0+cpu", "git": "407f1f6c"},
    }


def light(results):
    """Render without the five megabytes of plotly."""
    with mock.patch.object(frame, "get_plotlyjs", return_value="/* plotly */"):
        return render_lookback(results)


@pytest.mark.parametrize(
    "text",
    [
        "How many of its last inputs does wind: load, 2 steps ahead need?",
        "The last 4 inputs do: 8 add nothing measurable",
        "Within your margin of 2 % of the best, 3 do.",
        "of wind",
        "2 ahead",
        "95% confidence",
        "unrecur lookback wind.csv --target load",
        "5f2c9a01",
        "407f1f6c",
        "Windows hold values.",
        "'wind' has 3 missing values.",
        "the test split was not looked at",
    ],
)
def test_says(text):
    assert text in " ".join(Page(light(fake_lookback())).text.split())


def test_every_section_has_its_heading_and_links_lead_somewhere():
    page = Page(light(fake_lookback()))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {*KEYS} <= {*ids}
    assert all(section["aria-labelledby"] in ids for section in page.all("section"))
    assert all(link["href"].removeprefix("#") in ids for link in page.all("a"))


def test_the_curve_has_its_band_its_least_windows_and_the_guess_without_inputs():
    figure = curve_figure(fake_lookback())
    band, line, *rings = figure.data
    assert list(line.x) == [1, 2, 3, 4, 8]  # 0 has no place on a logarithmic axis
    assert max(band.y) == pytest.approx(0.81)
    assert [(ring.x[0], ring.y[0]) for ring in rings] == [(4, 0.5), (3, 0.505)]
    assert [shape.y0 for shape in figure.layout.shapes] == [1.0]


def test_horizons_columns_and_signals_are_drawn():
    results = fake_lookback()
    measurable, margin = horizons_figure(results).data
    assert (list(measurable.x), list(measurable.y)) == ([1, 2], [4, 3])
    assert list(margin.y) == [3, 3]
    wind, load = columns_figure(results).data  # the one that reaches furthest back first
    assert (wind.name, load.name) == ("wind", "load")
    assert list(load.x) == [0, 1, 2, 3, 4, 8]
    assert list(load.y)[:2] == pytest.approx([100.0, 60.0])
    bars, information = signal_figure(results).data
    assert list(bars.y) == [0.7, -0.3, 0.01]
    assert list(information.x) == [1, 4]


@pytest.mark.parametrize("part", ["horizons", "columns", "partial_autocorrelation", "information"])
def test_what_does_not_apply_is_left_out(part):
    results = fake_lookback()
    results[part] = None if part in ("partial_autocorrelation", "information") else []
    page = Page(light(results))
    if part in KEYS:
        assert part not in [attrs.get("id") for attrs in page.all("section")]


@pytest.mark.parametrize("part", sorted(set(fake_lookback()) - {"kind"}))
def test_missing_parts_leave_a_page(part):
    results = fake_lookback()
    del results[part]
    assert Page(light(results)).all("h1")
    print_lookback(results, Console(file=io.StringIO()))


def test_what_is_no_lookback_is_refused():
    with pytest.raises(InputError, match="the kind 'lookback'"):
        render_lookback({"rows": []})


def test_hostile_texts_stay_texts():
    def spoilt(found):
        if isinstance(found, dict):
            return {key: spoilt(value) for key, value in found.items()}
        if isinstance(found, list):
            return [spoilt(value) for value in found]
        return HOSTILE if isinstance(found, str) else found

    results = spoilt(copy.deepcopy(fake_lookback())) | {"kind": "lookback"}
    page, plain = Page(light(results)), Page(light(fake_lookback()))
    assert len(page.scripts) == len(plain.scripts)
    assert not page.all("b")
    print_lookback(results, Console(file=io.StringIO()))


def test_the_table_names_every_part():
    out = io.StringIO()
    print_lookback(fake_lookback(), Console(file=out, width=80))
    said = out.getvalue()
    for text in ("of wind", "2 ahead", "The last 4 inputs do", "- Within your margin"):
        assert text in said


@needs_browser
def test_a_browser_draws_every_figure_and_complains_of_nothing(tmp_path):
    path = tmp_path / "report.html"
    write_lookback_page(fake_lookback(), path)
    with chromium() as browser, opened(browser, path) as page:
        for key in KEYS:
            page.see(key)
        page.check_quiet()
