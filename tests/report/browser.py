"""Pages opened in a browser, where there is one."""

import shutil
import subprocess

import pytest

needs_browser = pytest.mark.skipif(not shutil.which("chromium"), reason="needs a browser")
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-sync --dump-dom "
    "--disable-quic --disable-background-networking --disable-component-update "
    "--enable-logging=stderr"
)


def check_drawn(page, figures):
    """Check that a browser draws all figures of a page, and complains of nothing."""
    for milliseconds in (5_000, 20_000):  # of the page's own time: a busy machine takes more
        profile = f"--user-data-dir={page.parent / f'profile{milliseconds}'}"
        options = [*OPTIONS.split(), f"--virtual-time-budget={milliseconds}", profile]
        command = ["chromium", *options, page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200)
        if done.stdout.count('class="main-svg"') >= len(figures):
            break
    assert done.stdout.count('data-figure="') == len(figures)
    for key in figures:
        start = done.stdout.index(f'data-figure="{key}"')
        assert 'class="main-svg"' in done.stdout[start : done.stdout.index("<figcaption", start)]
    assert "CONSOLE" not in done.stderr
