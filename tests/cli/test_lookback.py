"""`unrecur lookback`: a table, the answer and a page; run again it measures nothing twice."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from unrecur.cli.main import app


def run(*arguments, code=0):
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "80"}, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


@pytest.fixture(autouse=True)
def table(tmp_path, monkeypatch):
    """A table whose load follows the wind of three steps before."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    wind, noise = random.normal(size=(2, 1000))
    load = np.concatenate([noise[:3], wind[:-3] + 0.3 * noise[3:]])
    rows = np.stack([load, wind], 1)
    np.savetxt("my.csv", rows, delimiter=",", header="load,wind", comments="")


def test_it_ends_with_an_answer_and_a_page(tmp_path):
    options = ("lookback", "my.csv", "--target", "load", "--longest", "8", "--margin", "0.05")
    said = run(*options)
    assert "The last 3 inputs do: a 4th adds nothing measurable" in said
    assert "Within your margin of 5 % of the best, 3 do." in said
    assert "of wind 3 3 3 3" in said
    folder = tmp_path / "runs" / "my-lookback"
    results = json.loads((folder / "results.json").read_text())
    assert results["least"]["measurable"] == 3
    assert "The last 3 inputs do" in (folder / "report.html").read_text()
    assert "windows are measured already" in run(*options)
    assert "The last 3 inputs do" in run("report", str(folder))


def test_bad_input_is_one_message():
    options = ("lookback", "my.csv", "--target", "load")
    assert "expected a margin" in run(*options, "--margin", "2", code=2)
    assert "longest window of 1 to" in run(*options, "--longest", "900", code=2)
    assert "expected a column 'tide'" in run("lookback", "my.csv", "--target", "tide", code=2)
