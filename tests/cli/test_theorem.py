"""`unrecur study theorem --smoke`: runs, and does not run twice."""

import json

import pytest

from unrecur.cli.theorem import run_theorem
from unrecur.studies import theorem_trial


def test_the_experiment_runs_once(tmp_path, capsys, monkeypatch):
    page = run_theorem(tmp_path, smoke=True, command="unrecur study theorem --smoke")
    assert page == tmp_path / "report.html"
    assert "unrecur study theorem --smoke" in page.read_text(encoding="utf-8")
    results = json.loads((tmp_path / "results.json").read_text())
    assert [row["model"] for row in results["rows"]] == [c["name"] for c in results["cases"]]
    assert len(results["rows"]) == 4
    assert results["environment"]["torch"]
    said = capsys.readouterr().out
    assert "stable LSTM, seed 0: weights" in said
    monkeypatch.setattr(theorem_trial, "Runs", pytest.fail)
    run_theorem(tmp_path, smoke=True, command="again")
    assert "4 of 4 runs are finished already." in capsys.readouterr().out
