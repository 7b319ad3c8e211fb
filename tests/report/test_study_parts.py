"""What a study's page adds to its rows: ranks, fronts, tuning, sequences, contexts, matches."""

import math
from statistics import fmean
from unittest import mock

import pytest
from scipy import stats

from report.fake_results import MODELS, crowded_results, fake_results, grown_results
from report.parsed import Page
from unrecur.report import frame
from unrecur.report.context_figures import context_figure, context_sheet
from unrecur.report.differences import differences, differences_figure, differences_sheet
from unrecur.report.fairness import match_sheets
from unrecur.report.fronts import fronts, fronts_figure
from unrecur.report.page import render
from unrecur.report.part import MOST_ROWS, drawing
from unrecur.report.parts import PARTS
from unrecur.report.ranking import ranking, ranking_sheet
from unrecur.report.rows import matched
from unrecur.report.spread import mean_interval
from unrecur.report.tuning import draws, finished, importances, is_wide
from unrecur.report.tuning_figures import draws_figure, draws_sheet, importance_sheet


@pytest.fixture(scope="module")
def grown():
    return grown_results()


@pytest.fixture(scope="module")
def html(grown):
    with mock.patch.object(frame, "get_plotlyjs", return_value="/* plotly */"):
        return render(grown)


def test_the_mean_has_the_interval_of_students_t():
    numbers = [7.58, 7.6, 7.63, 7.55]
    found = mean_interval(numbers, 0.95)
    expected = stats.ttest_1samp(numbers, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert mean_interval([7.58], 0.95).low is None
    assert mean_interval([], 0.95) is None


def test_models_are_ranked_the_best_first_and_the_untested_last():
    results = fake_results()
    for row in results["rows"]:
        if row["model"] == "lstm":
            row["metric"]["test"] = None
    ranks = ranking(results)
    assert [rank.summary.model for rank in ranks][:2] == ["gru", "tcn"]
    assert [rank.place for rank in ranks] == [1, 2, 3, 4, 5, None]
    assert ranks[-1].summary.model == "lstm"
    assert ranks[1].against.startswith("+1.05% [+0.41%")
    results["task"]["lower_is_better"] = False
    assert ranking(results)[0].summary.model == "frequencies"
    sheet = ranking_sheet(results)
    assert {len(row) for row in sheet.rows} == {len(sheet.columns)}
    assert "against gru" in sheet.columns


def test_a_front_holds_what_nothing_as_cheap_surpasses(grown):
    for name, points in fronts(matched(grown)).items():
        for point in points:
            rivals = [p for p in points if p.cost <= point.cost and p is not point]
            beaten = any(
                p.metric < point.metric or (p.metric == point.metric and p.cost < point.cost)
                for p in rivals
            )
            assert point.best != beaten, (name, point)
    memory = {p.model: p.cost for p in fronts(matched(grown))["memory, bytes"]}
    assert memory["gru"] == 4 * 100_408 + 512
    assert "frequencies" not in memory


def test_a_cost_that_was_not_measured_has_no_panel():
    results = fake_results()
    assert "memory, bytes" not in fronts(results)
    assert fronts_figure(results).layout.meta["panels"] == 3
    assert fronts_figure({"rows": []}) is None


def test_the_learning_rate_that_decides_is_the_most_important(grown):
    found = importances(grown)
    assert set(found) == {"lstm", "gru", "stable-lstm", "tcn"}
    for model, shares in found.items():
        assert max(shares, key=shares.get) == "learning_rate", model
        assert sum(shares.values()) == pytest.approx(1)
    assert importances(grown_results(draws=8)) == {}  # the finished ones are fewer than 8


def test_failed_and_pruned_draws_are_tabulated_and_not_drawn(grown):
    all_ = [draw for found in draws(grown).values() for draw in found]
    ended = finished(all_)
    assert {draw.state for draw in all_} == {"complete", "pruned", "failed"}
    assert {draw.state for draw in ended} == {"complete"}
    figure = draws_figure(grown)
    marks = [t for t in figure.data if t.xaxis == "x" and t.marker.symbol != "circle-open"]
    assert sum(len(t.x) for t in marks) == len(ended)
    (ring,) = (
        t
        for t in figure.data
        if t.name == "gru" and t.xaxis == "x" and t.marker.symbol == "circle-open"
    )
    assert ring.y[0] == min(draw.valid for draw in ended if draw.model == "gru")
    assert len(draws_sheet(grown).rows) == len(all_)
    assert len(importance_sheet(grown).rows) == 4 * 3


def test_ranges_drawn_in_logarithms_are_known_from_their_numbers():
    assert is_wide([10 ** (-4 + 0.1 * place) for place in range(21)])
    assert not is_wide([0.005 + 0.025 * place for place in range(21)])
    assert not is_wide([0.0, 0.1, 0.5])


def test_sequences_are_those_of_the_verdicts_pair_and_sorted(grown):
    found = differences(matched(grown))
    assert (found.feed_forward, found.recurrent) == ("tcn", "gru")
    rows = {
        name: [r for r in matched(grown)["rows"] if r["model"] == name] for name in ("tcn", "gru")
    }
    ours, theirs = (
        [fmean(at) for at in zip(*(row["test_losses"] for row in rows[name]), strict=True)]
        for name in ("tcn", "gru")
    )
    expected = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    assert [a / b for _, a, b in found.pairs] == pytest.approx(expected)
    assert found.better() == sum(ratio < 1 for ratio in expected)
    assert len(differences_sheet(matched(grown)).rows) == 77


@pytest.mark.parametrize("losses", [None, [], [1.0, None], "text"])
def test_sequences_need_the_losses_of_all_seeds(losses):
    results = grown_results()
    for row in results["rows"]:
        row["test_losses"] = losses
    assert differences(matched(results)) is None
    assert differences_figure(matched(results)) is None


def test_contexts_are_in_order_of_k_with_their_intervals(grown):
    shuffled = {**grown, "context": grown["context"][::-1]}
    rows = context_sheet(shuffled).rows
    assert [row[0] for row in rows] == ["2", "4", "8", "16"]
    assert rows[0][6] == "+0.50% [\N{MINUS SIGN}0.20%, +1.20%]"
    whiskers = [t for t in context_figure(shuffled).data if t.error_y.array is not None]
    assert whiskers[1].error_y.array[0] == pytest.approx(0.006)


def test_other_matches_are_in_tables_of_their_own_alone(grown):
    sheets = match_sheets(grown)
    assert [title.split()[2] for title in sheets] == ["parameters", "the", "the"]
    assert [len(sheet.rows) for sheet in sheets.values()] == [6, 4, 4]
    assert match_sheets(fake_results()) == {}
    assert ranking(matched(grown)) == ranking(matched({**grown, "rows": fake_grown_rows(grown)}))


def fake_grown_rows(results):
    return [row for row in results["rows"] if "match" not in row]


@pytest.mark.parametrize(
    "text",
    [
        "What you give up without recurrence",
        "tcn trains 3.4 times as many steps per second as gru.",
        "Recurrence stops paying at k = 8 inputs.",
        "About 2 more seeds would decide about tcn.",
        "Matched by the latency of a step",
        "the loss is NaN at epoch 3",
        "no width fits 100,000",
        "1 h 5 min",
    ],
)
def test_says(html, text):
    assert text in " ".join(Page(html).text.split())


def test_every_model_and_family_has_a_box(html):
    boxes = [attrs for attrs in Page(html).all("input")]
    assert {box["data-model"] for box in boxes if "data-model" in box} == {m[0] for m in MODELS}
    families = [box["data-family"] for box in boxes if "data-family" in box]
    assert families == ["recurrent", "feed-forward", "floor"]
    assert all(box["data-of"] in families for box in boxes if "data-model" in box)


@pytest.mark.parametrize("key", ["tuning", "failures", "skipped", "estimate", "context", "verdict"])
@pytest.mark.parametrize("value", [None, [], {}, [None, {}, "x"], "text", math.nan])
def test_damaged_new_parts_render(grown, key, value):
    with mock.patch.object(frame, "get_plotlyjs", return_value="/* plotly */"):
        assert Page(render({**grown, key: value})).all("section")


def test_tables_stop_at_what_a_page_bears():
    results = crowded_results(seeds=100)
    part = next(part for part in PARTS if part.key == "size")
    sheet = drawing(part, matched(results)).sheet()
    assert len(sheet.rows) == MOST_ROWS
    assert sheet.left_out == len(matched(results)["rows"]) - MOST_ROWS > 0
