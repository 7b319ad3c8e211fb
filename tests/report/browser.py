"""Pages opened in a real browser, where there is one."""

import contextlib
import importlib.util
import shutil
from dataclasses import dataclass, field

import pytest

needs_browser = pytest.mark.skipif(
    not shutil.which("chromium") or not importlib.util.find_spec("playwright"),
    reason="needs chromium, and playwright to drive it",
)
PATIENCE = 60_000  # milliseconds: a busy machine takes more


@dataclass
class Opened:
    """A page in a browser, what it complained of, and what it asked for."""

    page: object
    complaints: list = field(default_factory=list)
    requests: list = field(default_factory=list)

    def check_quiet(self):
        """Check that the page complained of nothing and asked for nothing but itself."""
        assert not self.complaints
        assert not self.requests

    def see(self, key):
        """Scroll to a figure and wait until it is drawn."""
        self.page.locator(f'[data-figure="{key}"]').scroll_into_view_if_needed()
        self.page.wait_for_selector(f'[data-figure="{key}"] .main-svg', timeout=PATIENCE)
        return self.page.locator(f'[data-figure="{key}"]')


@contextlib.contextmanager
def chromium():
    """A browser. Leave it before other tests: while it runs, its loop is the thread's."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        options = ["--no-sandbox", "--disable-gpu"]
        yield driver.chromium.launch(executable_path=shutil.which("chromium"), args=options)


@contextlib.contextmanager
def opened(browser, path, **options):
    """A file opened in a new window of a browser, everything else out of its reach."""
    context = browser.new_context(**options)
    opened = Opened(context.new_page())

    def answer(route):
        if route.request.url.split("#")[0] == path.as_uri():
            route.continue_()
        else:
            opened.requests.append(route.request.url)
            route.abort()

    def hear(message):
        if message.type in ("error", "warning"):
            opened.complaints.append(message.text)

    opened.page.route("**/*", answer)
    opened.page.on("console", hear)
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.page.set_default_timeout(PATIENCE)
    opened.page.goto(path.as_uri())
    yield opened
    context.close()


def figures(seen):
    """The figures of a page, in order."""
    return seen.page.eval_on_selector_all(
        "[data-figure]", "plots => plots.map((plot) => plot.dataset.figure)"
    )


def check_drawn(path, expected):
    """Check that a browser draws all figures of a page, and complains of nothing."""
    with chromium() as browser, opened(browser, path) as seen:
        assert figures(seen) == list(expected)
        for key in expected:
            seen.see(key)
        seen.check_quiet()
