"""Two studies side by side: differences with their intervals, ranks, settings, a page."""

import copy
import io
import json
import random
from unittest import mock

import pytest
from rich.cells import cell_len
from rich.console import Console

from report.browser import check_drawn, needs_browser
from report.fake_results import MODELS, fake_results, grown_results
from report.parsed import HOSTILE, Page
from unrecur import _check
from unrecur.report import frame
from unrecur.report.paired import difference
from unrecur.report.text import ABSENT
from unrecur.report.two_runs import differing, findings, headline, two_runs
from unrecur.report.two_runs_page import print_two_runs, render_two_runs, write_two_runs_page
from unrecur.report.two_runs_sheets import changes_figure, changes_sheet

NAMES = ("runs/a", "runs/b")


def changed(factor=1.0, model="tcn"):
    """A study like another, but that one model's losses are another multiple."""
    results = grown_results()
    for row in results["rows"]:
        if row["model"] == model:
            row["metric"]["test"] *= factor
            row["test_losses"] = [factor * loss for loss in row["test_losses"]]
    return results


def drawn(noise, shift, seeds=3, sequences=40):
    """The rows of one model in one run: sequences differ much, seeds little, steps are equal."""
    hard = random.Random("hard")
    level = [hard.uniform(1, 9) for _ in range(sequences)]
    rows = []
    for _ in range(seeds):
        of_seed = noise.gauss(shift, 0.01)
        losses = [each * (1 + of_seed + noise.gauss(0, 0.03)) for each in level]
        rows.append({"metric": {"test": sum(losses) / sequences}, "test_losses": losses})
    return rows


def test_the_intervals_cover_the_truth():
    noise, covered = random.Random(1), 0
    for _ in range(400):
        found = difference(drawn(noise, 0.0), drawn(noise, 0.05), 0.95, same_split=True)
        covered += found.low <= 0.05 <= found.high
    assert 0.92 <= covered / 400 <= 0.995


def test_pairing_over_sequences_is_what_makes_the_interval_short():
    noise = random.Random(2)
    first, second = drawn(noise, 0.0), drawn(noise, 0.05)
    for row in second:
        random.Random(3).shuffle(row["test_losses"])  # as if the sequences were others
    shuffled = difference(first, second, 0.95, same_split=True)
    paired = difference(first, drawn(noise, 0.05), 0.95, same_split=True)
    assert paired.high - paired.low < 0.3 * (shuffled.high - shuffled.low)


def test_a_changed_model_is_found_and_the_others_are_not():
    runs = two_runs(NAMES, (changed(), changed(0.8)))
    found = {change.model: change.difference for change in runs.changes}
    assert found["tcn"].relative_difference == pytest.approx(-0.2)
    assert found["tcn"].high < 0
    assert all(f.relative_difference == 0 for model, f in found.items() if model != "tcn")
    assert all(f.paired for f in found.values())
    said = findings(runs)
    assert said[0].startswith("Better in B, by the whole interval: tcn; worse: none; of 6 models")
    assert "tcn from 3 to 1" in said[1]
    assert runs.changes[0].model == "tcn"


def test_the_same_study_twice_says_so():
    runs = two_runs(NAMES, (changed(), changed()))
    assert headline(runs) == "Both say: recurrence is not needed"
    assert differing(runs) == []
    assert findings(runs)[1] == "The models of both are in the same order."


def test_other_test_splits_are_not_paired_and_it_is_said():
    other = changed()
    other["task"]["splits"]["test"]["hash"] = "another"
    runs = two_runs(NAMES, (changed(), other))
    assert not any(change.difference.paired for change in runs.changes)
    assert "over seeds alone" in findings(runs)[-1]
    missing = changed()
    missing["task"]["splits"]["test"]["hash"] = None
    assert not two_runs(NAMES, (missing, copy.deepcopy(missing))).same_split


def test_models_of_one_run_alone():
    runs = two_runs(NAMES, (fake_results(MODELS[:3]), fake_results(MODELS[1:4])))
    assert "In A alone: lstm." in findings(runs)
    assert "In B alone: tcn." in findings(runs)
    rows = {row[0]: row for row in changes_sheet(runs).rows}
    assert rows["lstm"][3:] == [ABSENT] * 4
    assert rows["tcn"][4:] == [ABSENT] * 3


def test_one_seed_gives_no_interval():
    runs = two_runs(NAMES, (fake_results(seeds=1), fake_results(seeds=1)))
    assert all(change.difference.low is None for change in runs.changes)
    assert "of 0 models with an interval" in findings(runs)[0]
    assert changes_figure(runs) is not None


def test_the_verdicts_differ():
    other = changed()
    other["verdict"]["answer"] = "needed"
    assert headline(two_runs(NAMES, (changed(), other))) == (
        "A says: recurrence is not needed; B says: recurrence is needed"
    )


def test_settings_data_and_recipes_that_differ():
    first, other = changed(), changed()
    other["settings"]["epochs"] = 12
    other["environment"]["torch"] = "2.14.0"
    for row, hidden in [(r, h) for h, run in ((64, first), (80, other)) for r in run["rows"]]:
        row["spec"] = {"name": row["model"], "options": {"hidden": hidden}}
    found = {name: (a, b) for name, a, b in differing(two_runs(NAMES, (first, other)))}
    assert found["settings: epochs"] == ("40", "12")
    assert found["environment: torch"] == ("2.13.0+cpu", "2.14.0")
    assert found["gru: hidden"] == ("64", "80")
    assert len(found) == 2 + len(MODELS)


def test_studies_of_other_metrics_are_refused():
    other = changed()
    other["task"]["metric"] = "error"
    with pytest.raises(_check.InputError, match=r"studies of one metric.*same task"):
        two_runs(NAMES, (changed(), other))


def test_unfinished_studies_are_compared_as_far_as_they_came():
    runs = two_runs(NAMES, ({"rows": []}, {"rows": [{"model": "lstm"}]}))
    text = Page(light(runs)).text
    assert "Both say: no verdict yet" in text
    assert changes_figure(runs) is None


def light(runs):
    with mock.patch.object(frame, "get_plotlyjs", return_value="/* plotly */"):
        return render_two_runs(runs)


def test_the_page_says_all_and_hostile_names_change_no_tag():
    plain = Page(light(two_runs(NAMES, (changed(), changed(0.8)))))
    for text in ("runs/a", "Better in B, by the whole interval: tcn", "Model by model"):
        assert text in plain.text
    assert len(plain.all("caption")) == len(plain.all("table"))
    ids = [attrs["id"] for _, attrs in plain.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    other = changed(0.8)
    other["verdict"]["headline"] = HOSTILE
    hostile = Page(light(two_runs((HOSTILE, HOSTILE), (changed(), other))))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    data = next(script for script in hostile.scripts if script.startswith("{"))
    json.loads(data, parse_constant=pytest.fail)


def test_the_terminal_shows_it_in_80_columns():
    out = io.StringIO()
    other = changed(0.8)
    other["settings"]["epochs"] = 12
    runs = two_runs(NAMES, (changed(), other))
    print_two_runs(runs, Console(file=out, width=80, color_system=None))
    text = out.getvalue()
    assert max(map(cell_len, text.splitlines())) <= 80
    for part in ("A: runs/a", "Both say", "settings: epochs", "\N{MINUS SIGN}20.00%"):
        assert part in text


@needs_browser
def test_a_browser_draws_the_figure(tmp_path):
    page = tmp_path / "compare.html"
    write_two_runs_page(two_runs(NAMES, (changed(), changed(0.8))), page)
    check_drawn(page, ["changes"])
