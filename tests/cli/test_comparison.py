"""Experiments in the place of a task: `unrecur study NAME`."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from unrecur.cli.main import app
from unrecur.cli.study import COMPARISONS, THEOREM


def run(*arguments, code=0):
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "80"})
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_comparison_ends_with_an_answer_and_a_page(tmp_path):
    options = ("study", "exact-memory", "--smoke", "--seeds", "1")
    said = run(*options)
    assert "LSTM against RNN on delayed recall" in said
    assert (tmp_path / "runs" / "exact-memory-smoke" / "report.html").exists()
    assert "2 of 2 trials are finished already" in run(*options, "--device", "cpu")


def test_the_help_names_every_experiment():
    said = run("study", "--help")
    assert all(name in said for name in (THEOREM, *COMPARISONS))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("stability", "--epochs", "3"), "'stability' is an experiment of its own, which has no"),
        (("stability", "--target", "load", "--horizon", "2"), "--horizon, --target"),
        (("theorem", "--seeds", "3"), "which has no --seeds"),
        (("stability", "--seeds", "0"), "seeds must be a whole number"),
        (("stability", "--device", "tpu"), "no device 'tpu'"),
    ],
)
def test_bad_options_are_refused(options, said):
    assert said in run("study", *options, code=2)


def test_the_theorem_has_its_own_command(monkeypatch):
    calls = []
    fake = ModuleType("unrecur.cli.theorem")
    fake.run_theorem = lambda *given: calls.append(given)
    monkeypatch.setitem(sys.modules, "unrecur.cli.theorem", fake)
    monkeypatch.setattr(sys, "argv", ["unrecur", "study", "theorem"])
    run("study", "theorem")
    run("study", "theorem", "--smoke", "--out", "here")
    command = "unrecur study theorem"
    assert calls == [(Path("runs/theorem"), False, command), (Path("here"), True, command)]
