"""A study's page in a real browser: filters, labels, legends, themes, paper, keyboard, size."""

import re

import pytest

from report.browser import chromium, figures, needs_browser, opened
from report.fake_results import crowded_results, grown_results
from unrecur.report.page import write_page
from unrecur.report.text import ABSENT

pytestmark = needs_browser
DARK, WHITE = "rgb(20, 24, 29)", "rgb(255, 255, 255)"
MEGABYTES, SECONDS = 10, 2


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    place = tmp_path_factory.mktemp("page") / "report.html"
    write_page(grown_results(), place)
    return place


@pytest.fixture
def look(browser, path):
    """Open the page with options; at the end, it must have been quiet."""
    with_ends = []

    def open_page(**options):
        entered = opened(browser, path, **options)
        with_ends.append((entered, entered.__enter__()))
        return with_ends[-1][1]

    yield open_page
    for entered, seen in with_ends:
        seen.check_quiet()
        entered.__exit__(None, None, None)


def shown_models(seen, section):
    """The models whose rows a section's first table shows, in order."""
    rows = f"#{section} table >> nth=0 >> tbody tr:not([hidden]) th"
    return seen.page.locator(rows).all_text_contents()


def drawn_models(seen, key):
    """The models whose lines a figure draws."""
    return seen.page.evaluate(
        """(key) => {
            const plot = document.querySelector(`[data-figure="${key}"]`);
            const seen = plot._fullData.filter((trace) => trace.visible === true);
            return [...new Set(seen.map((trace) => trace.legendgroup))].sort();
        }""",
        key,
    )


def test_filters_hide_lines_and_rows_everywhere(look):
    seen = look()
    seen.see("memory")
    assert drawn_models(seen, "memory") == ["gru", "lstm", "stable-lstm", "tcn"]
    seen.page.locator("#filters summary").click()
    seen.page.locator('[data-model="lstm"]').uncheck()
    assert seen.page.locator("#filtered").text_content() == "Models shown: 5 of 6"
    assert seen.page.evaluate("document.querySelector('[data-family=recurrent]').indeterminate")
    hidden = seen.page.locator("tr[hidden]")
    assert hidden.count() > 20
    assert set(hidden.locator("th").all_text_contents()) == {"lstm"}
    assert "lstm" not in shown_models(seen, "summary")
    for key in ("memory", "training", "size", "fronts", "tuning", "importance", "speed"):
        seen.see(key)
        seen.page.wait_for_timeout(100)
        assert "lstm" not in drawn_models(seen, key), key
        assert {"gru", "stable-lstm", "tcn"} <= set(drawn_models(seen, key)), key
    seen.page.locator("[data-family=recurrent]").set_checked(False)
    assert shown_models(seen, "summary") == ["tcn", "markov", "frequencies"]
    seen.page.locator("[data-family=recurrent]").set_checked(True)
    assert len(shown_models(seen, "summary")) == 6
    assert seen.page.locator("tr[hidden]").count() == 0


def test_a_mark_says_what_it_is_and_the_legend_hides_it(look):
    seen = look()
    plot = seen.see("size")
    plot.locator(".scatterlayer .trace path.point").first.hover(force=True)
    seen.page.wait_for_selector('[data-figure="size"] .hoverlayer .hovertext')
    said = plot.locator(".hovertext").text_content()
    assert re.search(r"lstm.*99,928 parameters: 7\.\d", said), said
    before = drawn_models(seen, "size")
    plot.locator(".legend .traces", has_text=re.compile("^gru$")).locator(".legendtoggle").click()
    expected = [model for model in before if model != "gru"]
    wait_until(seen, "plot._fullData.some((trace) => trace.visible === 'legendonly')")
    assert drawn_models(seen, "size") == expected
    seen.page.set_viewport_size({"width": 900, "height": 700})  # drawn anew, and still hidden
    wait_until(seen, "plot._fullLayout.width < 890")
    assert drawn_models(seen, "size") == expected


def wait_until(seen, holds):
    """Wait until something holds for the figure of sizes; the page's policy lets no text be run."""
    for _ in range(200):
        plot = "document.querySelector('[data-figure=size]')"
        if seen.page.evaluate(f"() => {{ const plot = {plot}; return {holds}; }}"):
            return
        seen.page.wait_for_timeout(50)
    raise AssertionError(holds)


@pytest.mark.parametrize(("scheme", "back"), [("dark", DARK), ("light", WHITE)])
def test_the_page_and_its_figures_follow_the_theme(look, scheme, back):
    seen = look(color_scheme=scheme)
    seen.see("memory")
    style = "(of) => getComputedStyle(document.querySelector(of[0]))[of[1]]"
    assert seen.page.evaluate(style, ["body", "backgroundColor"]) == back
    text = seen.page.evaluate(style, ["body", "color"])
    for part in (".xaxislayer-above text", ".legendtext", ".annotation text"):
        of_figure = [f"[data-figure=memory] {part}", "fill"]
        assert seen.page.evaluate(style, of_figure) == text, part


def test_paper_has_every_figure_in_black_on_white(look, tmp_path):
    seen = look(color_scheme="dark")
    drawn = "document.querySelectorAll('[data-figure] > .plot-container').length"
    assert seen.page.evaluate(drawn) < 10
    sheets = seen.page.pdf()
    assert sheets.startswith(b"%PDF")
    assert len(re.findall(rb"/Type */Page\b", sheets)) > 3
    assert seen.page.evaluate(drawn) == 10
    seen.page.emulate_media(media="print")
    style = "getComputedStyle(document.body).backgroundColor"
    assert seen.page.evaluate(style) == WHITE
    for part in ("nav", "#filters", "details"):
        assert not seen.page.locator(part).first.is_visible(), part
    assert seen.page.locator("#summary table").is_visible()


def test_paper_says_which_models_are_hidden(look):
    seen = look()
    seen.page.locator("#filters summary").click()
    seen.page.locator('[data-model="lstm"]').uncheck()
    seen.page.emulate_media(media="print")
    assert seen.page.locator("#filtered").is_visible()


def focus(seen):
    return seen.page.evaluate("document.activeElement.outerHTML.slice(0, 80)")


def test_the_keyboard_reaches_and_works_everything(look):
    seen = look()
    keys = seen.page.keyboard
    keys.press("Tab")
    assert 'class="skip"' in focus(seen)
    keys.press("Tab")
    assert 'href="#summary"' in focus(seen)
    seen.page.locator("#filters summary").focus()
    keys.press("Enter")
    keys.press("Tab")
    assert 'data-family="recurrent"' in focus(seen)
    keys.press("Space")
    assert shown_models(seen, "summary") == ["tcn", "markov", "frequencies"]
    keys.press("Space")
    for _ in range(20):
        keys.press("Tab")
        if "<button" in focus(seen):
            break
    assert focus(seen) == '<button type="button"><span>model</span></button>'
    keys.press("Enter")
    head = seen.page.locator("#summary th >> nth=0")
    assert head.get_attribute("aria-sort") == "ascending"
    models = shown_models(seen, "summary")
    assert models == sorted(models)
    keys.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert shown_models(seen, "summary") == models[::-1]
    for _ in range(3):
        keys.press("Tab")
    keys.press("Enter")  # the fourth column: numbers
    assert head.get_attribute("aria-sort") is None
    tests = seen.page.locator("#summary tbody td:nth-child(4)").all_text_contents()
    assert tests == sorted(tests, key=float)


def test_numbers_sort_as_numbers_and_what_is_absent_comes_last(look):
    seen = look()
    seen.page.locator("#summary th button", has_text="least k").click()
    column = "#summary tbody td:last-child"
    assert seen.page.locator(column).all_text_contents() == ["8", "8", "16", "16", ABSENT, ABSENT]
    seen.page.locator("#summary th button", has_text="least k").click()
    assert seen.page.locator(column).all_text_contents() == ["16", "16", "8", "8", ABSENT, ABSENT]


def test_a_telephone_scrolls_one_way_only(look):
    seen = look(viewport={"width": 400, "height": 800})
    for key in ("verdict", "memory", "fronts", "tuning"):
        seen.see(key)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 400
    places = seen.page.evaluate(
        """() => {
            const layout = document.querySelector('[data-figure=fronts]')._fullLayout;
            return ['yaxis', 'yaxis2', 'yaxis3', 'yaxis4'].map((axis) => layout[axis].domain[0]);
        }"""
    )
    assert places == sorted(places, reverse=True)  # panels stand one below another
    assert len(set(places)) == 4


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    place = tmp_path_factory.mktemp("crowded") / "report.html"
    results = crowded_results()
    assert len(results["rows"]) > 1000
    assert len(results["tuning"]) == 1000
    write_page(results, place)
    return place


@pytest.mark.slow
def test_a_thousand_trials_make_a_page_of_a_few_megabytes(crowded):
    assert crowded.stat().st_size < MEGABYTES * 2**20


@pytest.mark.slow
def test_a_thousand_trials_open_at_once_and_all_is_drawn(browser, crowded):
    text, figure = [], []
    for _ in range(3):
        with opened(browser, crowded) as seen:
            loaded = "performance.getEntriesByType('navigation')[0].loadEventEnd"
            text.append(seen.page.evaluate(loaded) / 1000)
            seen.page.wait_for_selector("[data-figure=verdict] .main-svg", state="attached")
            figure.append(processor_seconds(seen))
            for key in figures(seen):
                seen.see(key)
            seen.check_quiet()
    assert min(text) < SECONDS, text
    assert min(figure) < SECONDS, figure


def processor_seconds(seen):
    """What the page has cost so far: on an idle machine the time, on a busy one less than that."""
    meter = seen.page.context.new_cdp_session(seen.page)
    meter.send("Performance.enable")
    metrics = meter.send("Performance.getMetrics")["metrics"]
    return next(each["value"] for each in metrics if each["name"] == "ProcessTime")
