"""What figures and tables say: numbers against the rows, gaps where nothing was measured."""

import math
from statistics import median

import pytest

from report.fake_results import MODELS, fake_results
from unrecur.report import sheets
from unrecur.report.figures import memory_figure, size_figure, speed_figure, training_figure
from unrecur.report.forest import verdict_figure
from unrecur.report.series import Window, windows
from unrecur.report.style import COLOURS, GREY, looks, scale
from unrecur.report.summary import least_k
from unrecur.report.wording import metric_title, truncation_sentence


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", [*COLOURS, GREY])
@pytest.mark.parametrize("page", ["#ffffff", "#14181d"])
def test_colours_stand_out_from_light_and_dark_pages(colour, page):
    high, low = sorted([luminance(colour), luminance(page)], reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 3  # WCAG 2.2, 1.4.11


def test_no_two_of_thirty_models_look_the_same():
    found = looks({"rows": [{"model": f"m{i}", "family": "recurrent"} for i in range(30)]})
    assert len({(look.colour, look.dash) for look in found.values()}) == 30
    assert len({(look.colour, look.symbol) for look in found.values()}) == 30


def named(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def test_memory_shows_the_median_the_bound_and_the_chosen_window():
    results = fake_results()
    figure = memory_figure(results)
    metric, *_ = (t for t in named(figure, "lstm") if t.showlegend)
    rows = [row for row in results["rows"] if row["model"] == "lstm"]
    assert list(metric.x) == [1, 2, 4, 8, 16, 32, 64]
    assert metric.y[3] == median(row["memory"][3]["metric"] for row in rows)
    rings = [t for t in figure.data if t.mode == "markers"]
    assert [(t.x, t.y) for t in rings] == [((8,), (7.7291,)), ((8,), (0.084,))]
    dashed = [t for t in figure.data if t.line.dash == "dash"]
    assert [t.name for t in dashed] == ["stable-lstm"]  # the infinite bounds of others are none
    assert dashed[0].y[0] == pytest.approx(31 * 0.7 + 3e-6)


def test_an_error_of_zero_leaves_a_gap_on_the_logarithmic_axis():
    results = fake_results(MODELS[:1], 1)
    results["truncation"] = None
    results["rows"][0]["memory"][-1] |= {"output_error_max": 0.0, "output_error_median": 0.0}
    errors = [t for t in memory_figure(results).data if t.yaxis == "y2"]
    assert errors
    assert all(t.y[-1] is None and t.y[0] > 0 for t in errors)


def test_a_bound_that_some_seeds_lack_is_none():
    results = fake_results((MODELS[2],), 2)
    results["rows"][1]["memory"][0]["bound"] = None
    first, second, *_ = windows(results["rows"])
    assert first.bound is None
    assert second.bound == pytest.approx(31 * 0.49 + 3e-6)


def test_the_median_history_ends_where_the_first_seed_does():
    figure = training_figure(fake_results(MODELS[:1]))
    thick = next(t for t in figure.data if t.showlegend)
    assert max(thick.x) == 30
    losses = [row["history"][0]["train"] for row in fake_results(MODELS[:1])["rows"]]
    assert thick.y[0] == median(losses)
    band = next(t for t in figure.data if t.fill == "toself")
    assert (band.y[0], band.y[-1]) == (max(losses), min(losses))


def test_floors_are_lines_across_the_sizes_of_the_others():
    figure = size_figure(fake_results())
    (floor,) = named(figure, "markov (floor)")
    marks = [t for t in figure.data if t.mode == "markers"]
    assert [t.name for t in marks] == ["lstm", "gru", "stable-lstm", "tcn"]
    assert floor.y[0] == floor.y[1] == pytest.approx(8.24, abs=0.05)
    sizes = [x for t in marks for x in t.x]
    assert floor.x[0] < min(sizes) < max(sizes) < floor.x[1]


def test_speed_bars_are_medians_in_the_unit_of_their_title():
    results = fake_results()
    steps = [row["speed"]["step_seconds"] for row in results["rows"] if row["model"] == "gru"]
    for row in results["rows"]:
        if row["model"] == "tcn":
            row["speed"]["train_steps_per_second"] = None
    figure = speed_figure(results)
    (step,) = (bar for bar in named(figure, "gru") if bar.xaxis == "x3")
    assert step.x == (pytest.approx(1e6 * median(steps)),)
    (train,) = (bar for bar in named(figure, "tcn") if bar.xaxis == "x")
    assert (train.x, train.text) == ((None,), ("",))
    assert "markov" not in figure.layout.yaxis.ticktext, "floors are in the table only"


def test_the_forest_keeps_margin_and_intervals_in_view():
    results = fake_results()
    figure = verdict_figure(results)
    assert [t.x for t in figure.data] == [(0.0041, 0.0105, 0.0168), (-0.0009, 0.0052, 0.0117)]
    low, high = figure.layout.xaxis.range
    assert low < -0.02
    assert high > 0.02
    band = figure.layout.shapes[0]
    assert (band.x0, band.x1) == (-0.02, 0.02)
    results["verdict"]["comparisons"][0]["high"] = 0.31
    assert verdict_figure(results).layout.xaxis.range[1] > 0.31


def test_the_forest_says_which_side_is_better():
    results = fake_results()
    lower = verdict_figure(results).layout.xaxis.title.text
    results["task"]["lower_is_better"] = False
    higher = verdict_figure(results).layout.xaxis.title.text
    assert lower == "← feed-forward better · recurrent better →"
    assert higher == "← recurrent better · feed-forward better →"
    assert metric_title(results, "test").endswith("(higher is better)")


@pytest.mark.parametrize(
    "draw", [verdict_figure, memory_figure, training_figure, size_figure, speed_figure]
)
def test_nothing_measured_is_no_figure(draw):
    assert draw({"rows": [{"model": "lstm"}]}) is None


def curve(*metrics):
    return [Window(2**i, metric, None, None, None, None, None) for i, metric in enumerate(metrics)]


@pytest.mark.parametrize(
    ("metrics", "lower", "expected"),
    [
        ((2.0, 1.05, 1.005, 1.0), True, 4),
        ((1.0, 2.0, 1.0, 1.0), True, 4),  # within by chance at k = 1, not from there on
        ((0.5, 0.9, 0.995, 1.0), False, 4),
        ((2.0, 2.0, 2.0, 2.0), True, None),
        ((1.0, 1.0, None, 1.0), True, 8),
    ],
)
def test_least_k(metrics, lower, expected):
    assert least_k(curve(*metrics), 1.0, 0.01, lower_is_better=lower) == expected


def test_least_k_needs_a_tolerance_and_a_full_metric():
    assert least_k(curve(1.0), None, 0.01, lower_is_better=True) is None
    assert least_k(curve(1.0), 1.0, None, lower_is_better=True) is None


def test_sheets_hold_one_line_for_each_measurement():
    results = fake_results()
    assert len(sheets.size_sheet(results).rows) == 18
    assert len(sheets.training_sheet(results).rows) == 4 * 30
    assert len(sheets.memory_sheet(results).rows) == 4 * (7 + 1)
    assert len(sheets.speed_sheet(results).rows) == 6
    for name in ("verdict", "size", "memory", "training", "speed", "certificate"):
        sheet = getattr(sheets, f"{name}_sheet")(results)
        assert {len(row) for row in sheet.rows} == {len(sheet.columns)}, name


def test_certificates_that_say_the_same_share_a_row():
    results = fake_results((MODELS[2],))
    results["rows"][1]["certificate"]["rate"] = 0.75
    results["rows"][2]["certificate"]["evidence"] = "unknown"
    proved, unknown = sheets.certificate_sheet(results).rows
    assert proved[:5] == ["stable-lstm", "0, 1", "proved", "sup", "0.7500"]
    assert unknown[1:3] == ["2", "unknown"]


def test_the_truncation_claims_no_bound_it_does_not_have():
    results = fake_results()
    results["truncation"]["bound"] = math.inf
    assert truncation_sentence(results).endswith("no bound is certified.")
    results["truncation"]["bound"] = 0.0
    assert truncation_sentence(results).endswith("the certified bound is 0.")


def test_scale_is_logarithmic_for_wide_positive_ranges_only():
    assert [scale(n) for n in ([7, 9], [1, 9], [-1, 9], [])] == [
        "linear",
        "log",
        "linear",
        "linear",
    ]
