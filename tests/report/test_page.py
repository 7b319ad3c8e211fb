"""The page: self-contained, safe against hostile strings, written whole or not at all."""

import copy
import json
import math
import os
from itertools import pairwise
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly.offline import get_plotlyjs

from attacking import examples
from report.browser import check_drawn, needs_browser
from report.fake_results import MODELS, fake_results
from report.parsed import HOSTILE, Page, strings
from unrecur import _check
from unrecur.report import frame
from unrecur.report.figures import size_figure
from unrecur.report.page import render, write_page

FIGURES = ["verdict", "memory", "training", "size", "fronts", "speed"]
SECTIONS = ["verdict", "summary", *FIGURES[1:], "certificates"]


def light(results):
    """Render without the five megabytes of plotly."""
    with mock.patch.object(frame, "get_plotlyjs", return_value="/* plotly */"):
        return render(results)


@pytest.fixture(scope="module")
def html():
    return render(fake_results())


@pytest.fixture(scope="module")
def parsed():
    return Page(light(fake_results()))


def test_every_section_is_there_with_its_heading_and_a_link(parsed):
    sections = parsed.all("section")
    assert [section["id"] for section in sections] == [*SECTIONS, "provenance"]
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for section in sections:
        assert section["aria-labelledby"] in ids
    links = {link["href"] for link in parsed.all("a")}
    assert links == {"#main", *(f"#{key}" for key in [*SECTIONS[1:], "provenance"])}


@pytest.mark.parametrize(
    "text",
    [
        "→ Recurrence is not needed",
        "+1.05% [+0.41%, +1.68%]",
        "tcn (7.660) against gru (7.580) nats per frame",
        "95% confidence",
        "Both families beat the Markov floor (8.24 nats per frame) in every seed.",
        "The least window within 1% of the metric of stable-lstm, chosen on the validation split",
        "7.729 against 7.709 nats per frame",
        "at most 0.084 as measured; the certified bound is 1.8",
        "every input lies in [0, 1]; float32 arithmetic",
        "unrecur study chorales --seeds 3 --out runs/chorales",
        "1 h 10 min",
        "learning_rate",
        "2.13.0+cpu",
        "train5f2c9a01",
    ],
)
def test_says(parsed, text):
    assert text in " ".join(parsed.text.split())


@pytest.mark.parametrize(
    ("answer", "headline"),
    [
        ("needed", "↻ Recurrence is needed"),
        ("undecided", "? Undecided"),
        ("no such answer", "… No verdict yet"),
    ],
)
def test_the_headline_follows_the_answer(answer, headline):
    results = fake_results(MODELS[:1], 1)
    results["verdict"]["answer"] = answer
    assert headline in Page(light(results)).text


def test_accessible_structure(parsed):
    assert parsed.tags[0] == ("html", {"lang": "en"})
    for tag in ("h1", "main", "header", "nav", "footer", "title"):
        assert len(parsed.all(tag)) == 1, tag
    levels = [int(tag[1]) for tag, _ in parsed.tags if tag in {"h1", "h2", "h3"}]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(parsed.all("caption")) == len(parsed.all("table")) == 9
    assert all(cell["scope"] in {"row", "col"} for cell in parsed.all("th"))
    plots = [attrs for attrs in parsed.all("div") if attrs.get("class") == "plot"]
    captions = {attrs["id"] for attrs in parsed.all("figcaption")}
    assert len(plots) == len(parsed.all("figure")) == 6
    for plot in plots:
        assert plot["role"] == "img"
        assert plot["aria-label"]
        assert plot["aria-describedby"] in captions
    scrolling = [attrs for attrs in parsed.all("div") if attrs.get("class") == "scroll"]
    assert len(scrolling) == 9
    assert all(attrs["tabindex"] == "0" and attrs["aria-label"] for attrs in scrolling)


def test_needs_nothing_from_outside(html):
    parsed = Page(html)
    assert html.count(get_plotlyjs()) == 1
    assert len(parsed.scripts) == 3
    policy = next(m["content"] for m in parsed.all("meta") if "http-equiv" in m)
    assert "default-src 'none'" in policy
    assert "http" not in policy.replace("http-equiv", "")
    loading = {"src", "href", "srcset", "action", "poster", "background", "xlink:href"}
    for _, attrs in parsed.tags:
        for name in loading & set(attrs):
            assert attrs[name].startswith(("#", "data:")), attrs
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_each_figure_has_its_data_once_in_strict_json(parsed):
    data = [script for script in parsed.scripts if script.startswith("{")]
    assert len(data) == 1
    figures = json.loads(data[0], parse_constant=pytest.fail)  # NaN would be no JSON
    plots = [attrs["data-figure"] for attrs in parsed.all("div") if "data-figure" in attrs]
    assert sorted(figures) == sorted(plots)
    assert plots == FIGURES
    assert all(figure["data"] for figure in figures.values())
    assert figures["size"] == json.loads(size_figure(fake_results()).to_json())


def with_strings(tree, change, key=""):
    """Change every text and every key of the settings; not what the report must understand."""
    if isinstance(tree, dict):
        free = key == "settings"
        return {(change(k) if free else k): with_strings(v, change, k) for k, v in tree.items()}
    if isinstance(tree, list):
        return [with_strings(entry, change, key) for entry in tree]
    return change(tree) if isinstance(tree, str) and key not in {"family", "answer"} else tree


def test_hostile_strings_change_no_tag():
    results = fake_results(MODELS[:5], 2)
    benign = light(with_strings(results, lambda text: f"{text} harmless"))
    hostile = light(with_strings(results, lambda text: f"{text} {HOSTILE}"))
    expected, got = Page(benign), Page(hostile)
    assert [tag for tag, _ in got.tags] == [tag for tag, _ in expected.tags]
    assert [sorted(attrs) for _, attrs in got.tags] == [sorted(a) for _, a in expected.tags]
    assert len(got.scripts) == 3
    data = next(script for script in got.scripts if script.startswith("{"))
    assert not set("<>&") & set(data)
    assert not set("\u202e\x00") & set(hostile)
    assert "<script>alert(1)</script><b>'\"&amp;{{7*7}}" in got.text


def test_a_figure_shows_tags_in_names_as_they_are():
    results = fake_results(MODELS[:2], 1)
    results["rows"][0]["model"] = '<a href="javascript:alert(1)">x</a>'
    results["task"]["metric"] = "<b>loss</b>"
    data = next(s for s in Page(light(results)).scripts if s.startswith("{"))
    # Plotly makes links and bold text of tags; it shows entities as characters.
    texts = list(strings(json.loads(data)))
    assert any("&lt;a href" in text for text in texts)
    assert not any(tag in text for text in texts for tag in ("<a", "<b>"))


@pytest.mark.parametrize("key", [*fake_results(MODELS[:1], 1)])
@pytest.mark.parametrize("value", [None, "deleted"])
def test_a_part_of_the_study_is_missing(key, value):
    results = fake_results(MODELS[:4], 1)
    results[key] = value
    if value == "deleted":
        del results[key]
        if key == "rows":
            with pytest.raises(_check.InputError, match="a list 'rows'"):
                light(results)
            return
    sections = [attrs["id"] for attrs in Page(light(results)).all("section")]
    assert sections == [*SECTIONS, "provenance"]


@pytest.mark.parametrize("key", [key for key in fake_results()["rows"][0] if key != "model"])
@pytest.mark.parametrize("value", [None, math.nan, math.inf, "text"])
def test_a_part_of_every_row_is_missing(key, value):
    results = fake_results(MODELS[:2], 1)
    for row in results["rows"]:
        row[key] = value
    parsed = Page(light(results))
    assert "nan" not in parsed.text.lower().split()
    assert len(parsed.all("section")) == len(SECTIONS) + 1


def test_a_study_stopped_before_its_first_row_says_so():
    text = Page(light({"rows": []})).text
    for sentence in (
        "No verdict yet",
        "No model has finished yet.",
        "The study measured nothing to draw here.",
        "No window is known",
        "No model was certified.",
        "Not recorded.",
    ):
        assert sentence in text


def places(tree, path=()):
    """All paths of keys that lead to a part of a tree."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, part in pairs:
        yield (*path, key)
        if isinstance(part, dict | list):
            yield from places(part, (*path, key))


WRONG = [None, math.nan, math.inf, -1, 0, 2.5, 1e308, 10**400, True, "", "text", "\ud800", [], {}]
WRONG += [[None], ["text"], {"k": None}]


@pytest.mark.slow
@examples(fixed=25, search=1000)
@given(st.data())
def test_damaged_results_render_or_are_refused(data):
    results = fake_results((MODELS[2], MODELS[3], MODELS[5]), 2)
    for row in results["rows"]:
        row["history"] = row["history"][:2]
    for _ in range(data.draw(st.integers(1, 6))):
        found = list(places(results))
        if not found:
            break
        *path, last = data.draw(st.sampled_from(found))
        part = results
        for key in path:
            part = part[key]
        if data.draw(st.booleans()):
            del part[last]
        else:
            part[last] = copy.deepcopy(data.draw(st.sampled_from(WRONG)))
    try:
        html = light(results)
    except _check.InputError as error:
        assert "expected" in str(error)  # noqa: PT017
        return
    assert len(Page(html).all("section")) == len(SECTIONS) + 1


def test_refuses_rows_without_a_model():
    with pytest.raises(_check.InputError, match="row 1 does not"):
        light({"rows": [{"model": "lstm"}, {"seed": 3}]})


def test_writes_the_rendered_page(tmp_path, html):
    write_page(fake_results(), tmp_path / "report.html")
    assert (tmp_path / "report.html").read_bytes().decode() == html


def test_writes_half_a_surrogate_pair(tmp_path):
    results = fake_results(MODELS[:1], 1)
    results["task"]["title"] = json.loads('"chorales \\ud800"')
    write_page(results, tmp_path / "report.html")
    assert "chorales ?" in (tmp_path / "report.html").read_text("utf-8")


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_failure_leaves_the_old_page(tmp_path, monkeypatch, function):
    place = tmp_path / "report.html"
    place.write_text("the old page")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, function, full)
    with pytest.raises(OSError, match="No space"):
        write_page(fake_results(MODELS[:1], 1), place)
    assert place.read_text() == "the old page"
    assert list(tmp_path.iterdir()) == [place]


@needs_browser
def test_a_browser_draws_every_figure_under_the_policy(tmp_path):
    write_page(fake_results(), tmp_path / "report.html")
    check_drawn(tmp_path / "report.html", FIGURES)
