"""The page of an audit: its numbers are the record's, and no record breaks it."""

import copy
import json
import math
from itertools import pairwise
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from report.browser import check_drawn, needs_browser
from report.fake_audit import all_proved, emptied, two_recurrences
from report.parsed import HOSTILE, Page, strings
from unrecur import _check
from unrecur.report import frame
from unrecur.report.audit_memory import memory_figure
from unrecur.report.audit_page import PARTS, render_audit, write_audit_page
from unrecur.report.audit_windows import TIERS, window_sheet
from unrecur.report.text import ABSENT

SHEETS = [part.sheet for part in PARTS] + [part.table for part in PARTS if part.table]


def light(record):
    """Render without the five megabytes of plotly."""
    with mock.patch.object(frame, "get_plotlyjs", return_value="/* plotly */"):
        return render_audit(record)


def figures(parsed):
    data = next(script for script in parsed.scripts if script.startswith("{"))
    return json.loads(data, parse_constant=pytest.fail)  # NaN would be no JSON


@pytest.fixture(scope="module")
def proved():
    return all_proved()


@pytest.fixture(scope="module")
def two():
    return two_recurrences()


def test_every_recurrence_has_its_sections_and_no_two_the_same_id(two):
    parsed = Page(light(two))
    assert [attrs["id"] for attrs in parsed.all("article")] == ["r0", "r1"]
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [link["href"] for link in parsed.all("a")]
    assert all(link.removeprefix("#") in ids for link in links)
    keys = ("memory", "cost", "units", "gradients", "gates", "spectra")
    expected = [f"r{place}-{key}" for place in (0, 1) for key in keys]
    assert sorted(figures(parsed)) == sorted(expected)
    assert [plot["data-figure"] for plot in parsed.all("div") if "data-figure" in plot] == expected
    assert all(figure["data"] for figure in figures(parsed).values())


def test_needs_nothing_from_outside(two):
    html = light(two)
    parsed = Page(html)
    assert "http:" not in html
    assert "https:" not in html
    policy = next(m["content"] for m in parsed.all("meta") if "http-equiv" in m)
    assert "default-src 'none'" in policy
    for _, attrs in parsed.tags:
        for name in {"src", "href", "srcset", "action"} & set(attrs):
            assert attrs[name].startswith(("#", "data:")), attrs


def test_accessible_structure(two):
    parsed = Page(light(two))
    assert len(parsed.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in parsed.tags if tag in {"h1", "h2", "h3", "h4"}]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(parsed.all("caption")) == len(parsed.all("table"))
    ids = {attrs["id"] for _, attrs in parsed.tags if "id" in attrs}
    named = [attrs["aria-labelledby"] for _, attrs in parsed.tags if "aria-labelledby" in attrs]
    assert set(named) <= ids


def test_says_the_advice_with_its_numbers_the_proofs_and_the_notes(proved):
    found = proved["recurrences"][0]
    found["notes"] = ["a note"]
    text = " ".join(Page(light(proved)).text.split())
    for each in found["advice"]:
        assert each["say"] in text
        assert each["why"] in text
    for said in (*found["proofs"]["assumptions"], *found["proofs"]["reasons"], "a note"):
        assert said in text
    assert f"{found['proofs']['rate']:.4g}" in text
    assert "1 layer of 4 units; 120 sequences, 1,440 steps" in text


def test_the_table_of_windows_is_the_records(proved, two):
    for found in (*proved["recurrences"], *two["recurrences"]):
        rows = {
            (row[0], row[1]): dict(zip(TIERS, row[2:], strict=True))
            for row in window_sheet(found).rows
        }
        errors = {0.01: "1% change", 0.001: "0.1% change", 0.0: "none changes"}
        for window in found["windows"]:
            eps = window["eps"]
            said = errors[eps] if window["of"] == "decision" else f"{eps:g}"
            cell = rows[window["of"], said][window["tier"]]
            if not window["known"]:
                assert cell == ABSENT
            elif window["k"] is None:
                assert cell == "none" or cell.startswith("more than ")
            else:
                assert cell == str(window["k"])


def test_a_window_beyond_the_evidence_says_how_far_it_reaches(proved):
    found = copy.deepcopy(proved["recurrences"][0])
    for window in found["windows"]:
        window["k"], window["known"] = None, window["of"] in {"state", "decision"}
    state, *_, decision = window_sheet(found).rows
    reach = found["curve"]["limit"], found["curve"]["levels"][-1]["k"]
    inputs = int(found["proofs"]["on_inputs"]["k"][-1])
    said = [f"more than {k}" for k in (inputs, reach[1], reach[0])]
    assert state[2:] == ["none", *said]
    assert decision[3] == "none"  # it comes of a proof from the weights, at any length


def test_why_a_tier_is_missing(two):
    text = " ".join(Page(light(two)).text.split())
    notes = {w["note"] for r in two["recurrences"] for w in r["windows"] if not w["known"]}
    assert notes
    for note in notes:
        assert " ".join(note.split()) in text


def test_memory_draws_what_was_measured_and_proved(proved):
    found = proved["recurrences"][0]
    figure = memory_figure(found)
    worst = next(t for t in figure.data if t.name == "measured: worst from k on")
    kept = [y or None for y in found["curve"]["state"]["onward"]]
    assert list(worst.y) == kept
    assert list(worst.x) == found["curve"]["state"]["k"]
    bounds = [t for t in figure.data if t.name == "proved"]
    keys = ("state", "output")
    assert [list(t.y) for t in bounds] == [[b[k] for b in found["proofs"]["bounds"]] for k in keys]
    assert {t.line.dash for t in bounds} == {"dash"}


def test_a_bound_on_the_recurrence_is_not_drawn_as_one_on_the_model(proved):
    found = copy.deepcopy(proved["recurrences"][0])
    found["proofs"]["of"] = "the recurrence's outputs"
    figure = memory_figure(found)
    assert [a.text for a in figure.layout.annotations][:3] == [
        "Error of the state",
        "Error of the hidden state",
        "Error of the output",
    ]
    assert {t.xaxis for t in figure.data if t.name == "proved"} == {"x", "x2"}


@pytest.mark.parametrize("make", [all_proved, two_recurrences])
def test_a_record_with_null_everywhere(make):
    record = emptied(make())
    parsed = Page(light(record))
    assert len(parsed.all("article")) == len(record["recurrences"])
    assert not {"nan", "none", "inf", "null"} & set(parsed.text.lower().split())


def test_no_proofs_no_advice_no_cells(proved):
    found = copy.deepcopy(proved["recurrences"][0])
    for key in ("proofs", "advice", "cells", "windows", "inputs"):
        found[key] = None
    text = Page(light({"recurrences": [found]})).text
    assert "No advice yet" in text
    assert "No windows were compared." in text
    assert "Nothing was measured to draw here." in text


def test_no_recurrence_and_no_record():
    assert "No recurrence was looked at." in Page(light({"recurrences": []})).text
    with pytest.raises(_check.InputError, match="a list 'recurrences'"):
        light({"rows": []})


def with_strings(tree, change):
    if isinstance(tree, dict):
        return {key: with_strings(part, change) for key, part in tree.items()}
    if isinstance(tree, list):
        return [with_strings(entry, change) for entry in tree]
    return change(tree) if isinstance(tree, str) else tree


def test_hostile_strings_change_no_tag(two):
    two["recurrences"][0]["notes"] = ["a note"]
    expected = Page(light(with_strings(two, lambda text: f"{text} harmless")))
    html = light(with_strings(two, lambda text: f"{text} {HOSTILE}"))
    got = Page(html)
    assert [tag for tag, _ in got.tags] == [tag for tag, _ in expected.tags]
    assert len(got.scripts) == 3
    assert not {"\u202e", "\x00"} & set(html)
    assert "<script>alert(1)</script><b>'\"&amp;{{7*7}}" in got.text


def test_a_figure_shows_tags_in_names_as_they_are(two):
    name = '<a href="javascript:alert(1)">x</a>'
    hostile = with_strings(two, lambda _: name)
    texts = list(strings(figures(Page(light(hostile)))))
    # Plotly makes links and bold text of tags; it shows entities as characters.
    assert any("&lt;a href" in text for text in texts)
    assert not any("<a" in text for text in texts)


def test_sheets_are_rectangular(proved, two):
    for found in (*proved["recurrences"], *two["recurrences"]):
        for sheet in SHEETS:
            made = sheet(found)
            assert made.rows
            assert {len(row) for row in made.rows} == {len(made.columns)}


def places(tree, path=()):
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, part in pairs:
        yield (*path, key)
        if isinstance(part, dict | list):
            yield from places(part, (*path, key))


WRONG = [None, math.nan, math.inf, -1, 0, 2.5, 1e308, 1e-308, True, "", "text", "\ud800", [], {}]
WRONG += [[None], ["text"], {"k": None}]


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_damaged_records_render_or_are_refused(data):
    record = data.draw(st.sampled_from([all_proved, two_recurrences]))()
    del record["recurrences"][:-1]
    for _ in range(data.draw(st.integers(1, 6))):
        # A part of each size is as likely: most places are in the lists of numbers.
        depth = data.draw(st.integers(1, 8))
        found = [path for path in places(record) if len(path) <= depth]
        if not found:
            break
        *path, last = data.draw(st.sampled_from(found))
        part = record
        for key in path:
            part = part[key]
        part[last] = copy.deepcopy(data.draw(st.sampled_from(WRONG)))
    try:
        Page(light(record))
    except _check.InputError as error:
        assert "expected" in str(error)  # noqa: PT017


def test_writes_the_rendered_page(tmp_path, two):
    write_audit_page(two, tmp_path / "audit.html")
    assert (tmp_path / "audit.html").read_bytes().decode() == render_audit(two)


@needs_browser
def test_a_browser_draws_every_figure_under_the_policy(tmp_path, proved):
    write_audit_page(proved, tmp_path / "audit.html")
    check_drawn(tmp_path / "audit.html", [f"r0-{part.key}" for part in PARTS])
