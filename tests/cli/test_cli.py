"""The command line: its verbs and flags are pinned, its errors are one message and exit code 2."""

import datetime
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from small import small_task
from unrecur import _files
from unrecur.cli.main import app
from unrecur.data import tasks
from unrecur.data.tasks import Entry
from unrecur.models import MODELS

TASK = {
    "TASK",
    "--data-dir",
    "--target",
    "--inputs",
    "--time",
    "--id",
    "--horizon",
    "--season",
    "--quantile",
    "--known",
    "--static",
    "--frequency",
    "--split",
    "--level",
}
FLAGS = {
    "audit": {
        "MODEL",
        "[TASK]",
        "--data",
        "--hook",
        "--select",
        "--decision",
        "--eps",
        "--box",
        "--out",
        "--data-dir",
        "--device",
    },
    "truncate": {
        "MODEL",
        "--out",
        "--eps",
        "-k",
        "--data",
        "--hook",
        "--select",
        "--box",
        "--evidence",
        "--overwrite",
    },
    "export": {
        "MODEL",
        "OUT",
        "--form",
        "-k",
        "--eps",
        "--box",
        "--quantize",
        "--aot",
        "--overwrite",
    },
    "models": set(),
    "report": {"FOLDER", "[RUN_A]", "[RUN_B]", "--out"},
    "stream": {"MODEL", "--wav", "--out", "--block", "--rate"},
    "data": TASK,
    "lookback": TASK | {"--margin", "--longest", "--out"},
    "study": TASK
    | {
        "--seeds",
        "--budget-seconds",
        "--out",
        "--parameters",
        "--device",
        "--epochs",
        "--smoke",
        "--trials",
        "--prune",
        "--match",
        "--max-trials",
        "--max-seconds",
        "--storage",
        "--ray",
        "--cpus-per-trial",
        "--gpus-per-trial",
        "--tensorboard",
    },
    "train": TASK
    | {
        "MODEL",
        "--out",
        "--stable",
        "--rate",
        "--parameters",
        "--epochs",
        "--dropout",
        "--seed",
        "--device",
        "--strategy",
        "--patience",
        "--batch-size",
        "--learning-rate",
        "--optimizer",
        "--schedule",
        "--objective",
        "--update-every",
        "--look-back",
        "--window",
        "--segment",
        "--burn-in",
        "--clip",
        "--clip-by",
        "--watch",
        "--compile",
        "--accumulate",
        "--precision",
        "--workers",
    },
}


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """A task of seconds, in an empty folder."""
    monkeypatch.setitem(
        tasks.TASKS, "small", Entry(lambda data_dir: small_task(), "A small task", "music")
    )
    monkeypatch.setattr("unrecur.studies.speed.SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)


def run(*arguments, code=0):
    """Run a command line in this process and give what it printed."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_verbs_and_flags():
    command = typer.main.get_command(app)
    found = {
        name: {
            option
            for parameter in verb.params
            for option in (
                [parameter.metavar] if parameter.param_type_name == "argument" else parameter.opts
            )
        }
        - {"--help", "-h"}
        for name, verb in command.commands.items()
    }
    assert found == FLAGS


def test_help_and_version_need_no_torch():
    code = (
        "import sys\n"
        "sys.argv = ['unrecur', '{}']\n"
        "from unrecur.cli.main import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {{'torch', 'numpy', 'plotly', 'optuna', 'scipy'}} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    for flag in ("--help", "--version"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(flag)], capture_output=True, text=True, check=True
        )
        assert "unrecur" in done.stdout


def test_help_is_quick():
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "unrecur", "--help"], capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    # 0.5 s is the promise on an idle machine (benchmarks/startup.py); tests share theirs.
    assert min(times) < 1.5


def test_a_study_ends_with_a_verdict_and_a_page(tmp_path):
    output = run("study", "small", "--smoke", "--seeds", "2")
    folder = tmp_path / "runs" / "small-smoke"
    verdict = json.loads((folder / "results.json").read_text())["verdict"]
    assert verdict["answer"] in output.lower()
    page = (folder / "report.html").read_text()
    assert page.startswith("<!DOCTYPE html>") or page.startswith("<!doctype html>")
    assert "tcn, seed 1: test" in output
    again = run("study", "small", "--smoke", "--seeds", "2")
    assert "10 of 10 trials are finished already" in again
    assert "seed 1: test" not in again
    (folder / "report.html").unlink()
    assert verdict["answer"] in run("report", str(folder)).lower()
    assert (folder / "report.html").exists()


def test_a_trained_model_is_exported(tmp_path):
    pytest.importorskip("onnxscript")
    path = tmp_path / "m.safetensors"
    short = ["--parameters", "2700", "--epochs", "1", "--stable", "--rate", "0.5"]
    run("train", "small", "lstm", "--out", str(path), *short)
    window = ["--form", "window", "--eps", "0.5", "--box", "1"]
    said = run("export", str(path), str(tmp_path / "m.onnx"), *window)
    assert "proved bound" in said
    assert (tmp_path / "m.onnx").exists()
    assert "is there already" in run("export", str(path), str(tmp_path / "m.onnx"), *window, code=2)


def test_a_model_is_trained_on_windows_and_watched():
    short = ["--parameters", "2700", "--epochs", "1", "--watch"]
    said = run("train", "small", "lstm", "--objective", "windowed", "--window", "3", *short)
    assert "test negative log-likelihood" in said


def test_a_rate_that_diverges_is_stopped_or_said():
    wild = ["--parameters", "2700", "--optimizer", "sgd", "--learning-rate", "1e30"]
    short = [*wild, "--clip", "1e30", "--epochs", "3"]  # too short to know that it stays so
    assert "no better than knowing nothing" in run("train", "small", "elman", *short)
    long = [*wild, "--clip", "1e29", "--epochs", "30", "--patience", "30", "--seed", "1"]
    assert "stayed far above" in run("train", "small", "elman", *long, code=2)


def test_a_model_is_trained_and_audited(tmp_path):
    path = str(tmp_path / "m.safetensors")
    arguments = ["--out", path, "--stable", "--parameters", "2700", "--epochs", "2"]
    assert "test negative log-likelihood" in run("train", "small", "lstm", *arguments)
    output = run("audit", path, "small")
    record = json.loads((tmp_path / "runs" / "audit-m" / "audit.json").read_text())
    [found] = record["recurrences"]
    assert found["proofs"]["evidence"] == "proved"
    assert "every input in [0, 1]" in found["proofs"]["assumptions"]
    assert found["advice"][0]["say"] in " ".join(output.split())


def test_a_model_of_anybodys_is_audited(tmp_path):
    torch.manual_seed(0)
    torch.save(torch.nn.GRU(3, 4).state_dict(), tmp_path / "m.pt")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(2, 40, 3)))
    given = ("audit", str(tmp_path / "m.pt"), "--data", str(tmp_path / "x.npy"))
    output = run(*given, "--decision", "argmax", "--eps", "0.05", "--out", str(tmp_path / "out"))
    page = (tmp_path / "out" / "audit.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "0.05" in output
    assert "decision" in output


HOOK = """
import numpy as np, torch
def inputs(data, model): return [np.load(data)[:, None] * np.ones((1, 3))]
def outputs(y, model): return y[..., :1] - y[..., 1:2]
def decision(out): return out > 0
def metric(out): return float(out.mean())
"""


def test_a_hook_says_what_is_around_the_recurrence(tmp_path):
    torch.manual_seed(0)
    torch.save(torch.nn.GRU(3, 4).state_dict(), tmp_path / "m.pt")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=40))
    (tmp_path / "hook.py").write_text(HOOK)
    names = {"--data": "x.npy", "--hook": "hook.py", "--out": "out"}
    options = [part for name, file in names.items() for part in (name, str(tmp_path / file))]
    run("audit", str(tmp_path / "m.pt"), *options)
    [found] = json.loads((tmp_path / "out" / "audit.json").read_text())["recurrences"]
    assert found["outputs"]["decided"]
    assert found["outputs"]["metric"] is not None
    (tmp_path / "hook.py").write_text("def outputs(y, model): return y")
    message = run("audit", str(tmp_path / "m.pt"), *options, code=2)
    assert "expected a function inputs(data, model)" in message


BAD = [
    (("study", "chorale"), "Did you mean 'chorales'"),
    (("study", "jsb"), "--data-dir"),
    (("study", "small", "--seeds", "0"), "seeds must be a whole number"),
    (("study", "small", "--budget-seconds", "-1"), "budget_seconds must be"),
    (("study", "small", "--budget-seconds", "nan"), "budget_seconds must be"),
    (("study", "small", "--device", "tpu"), "no device 'tpu'"),
    (("study",), "Missing argument 'TASK'"),
    (("study", "small", "--target", "load"), "which has no --target"),
    (("study", "missing.csv", "--target", "load"), "no file or folder missing.csv"),
    (("data", "small", "--season", "24"), "which has no --season"),
    (("study", "small", "--sedes", "3"), "--seeds"),
    (("train", "small", "lsmt"), "Did you mean 'lstm'"),
    (("train", "small", "tcn", "--stable"), "no projection"),
    (("train", "small", "bidirectional_gru"), "sees the inputs to come"),
    (("train", "small", "lstm", "--stable", "--rate", "1.5"), "rate must be"),
    (("train", "small", "lstm", "--objective", "trunc"), "Did you mean 'truncated'"),
    (("train", "small", "lstm", "--objective", "windowed"), "needs --window"),
    (("train", "small", "lstm", "--window", "3"), "an option of the objective windowed"),
    (("train", "small", "lstm", "--optimizer", "adamw"), "Did you mean 'adam'"),
    (("train", "small", "lstm", "--precision", "8"), "precision"),
    (("train", "small", "lstm", "--objective", "rtrl", "--precision", "bf16-mixed"), "leave prec"),
    (("train", "small", "tcn", "--objective", "parallel"), "no recurrent layer"),
    (("train", "small", "lstm", "--strategy", "dp"), "strategy"),
    (("train", "small", "lstm", "--parameters", "0"), "parameters must be a whole number"),
    (("train", "small", "lstm", "--parameters", "-5"), "parameters must be a whole number"),
    (("train", "small", "lstm", "--seed", "1000000000000000000000"), "--seed"),
    (("study", "small", "--device", "meta"), "no device 'meta'"),
    (("audit", "missing.safetensors", "small"), "No such file"),
    (("audit", "missing.onnx"), "give either a TASK"),
    (("audit", "missing.onnx", "--data", "x.npy"), "No such file"),
    (("report", "."), "Run the study to its end first"),
    (("report", "compare"), "report compare RUN_A RUN_B"),
    (("report", "compare", "runs/a"), "report compare RUN_A RUN_B"),
    (("report", "runs/a", "runs/b"), "report compare RUN_A RUN_B"),
    (("report", "compare", "missing", "other"), "there is no missing/results.json"),
    (("stdy", "small"), "study"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda x: " ".join(x)[:40])
def test_bad_input_is_one_message_and_exit_code_2(arguments, message, unchecked):
    assert message in run(*arguments, code=2).replace("│ ", "")


@pytest.mark.parametrize(
    ("content", "message"),
    [('{"rows": [', "is damaged"), ("[]", "holds no results"), ("{}", "expected the results")],
)
def test_a_damaged_results_file_is_one_message(content, message, tmp_path):
    (tmp_path / "results.json").write_text(content)
    assert message in run("report", str(tmp_path), code=2)


def test_report_compares_two_studies(tmp_path):
    results = {"rows": [{"model": "lstm", "seed": 0, "metric": {"test": 2.0}}], "seconds": 1.0}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps(results | {"version": name}))
    said = run("report", "compare", str(tmp_path / "a"), str(tmp_path / "b"))
    assert "Both say: no verdict yet" in said
    assert "lstm" in said
    assert "What differs" in (tmp_path / "b" / "compare.html").read_text()
    page = tmp_path / "page.html"
    run("report", "compare", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(page))
    assert page.read_text().startswith("<!doctype html>")


def test_a_model_for_another_task_is_one_message(tmp_path, monkeypatch):
    path = str(tmp_path / "m.safetensors")
    run("train", "small", "gru", "--out", path, "--parameters", "2700", "--epochs", "1")
    wide = Entry(lambda data_dir: small_task(features=7), "A wide task", "music")
    monkeypatch.setitem(tasks.TASKS, "wide", wide)
    assert "maps 5 features to 5; the task 'small' needs 7" in run("audit", path, "wide", code=2)


def test_a_full_disk_is_one_message_and_loses_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "somewhere")

    with monkeypatch.context() as patch:
        patch.setattr(_files.os, "fsync", full)
        assert "No space left on device: somewhere" in run("study", "small", "--smoke", code=2)
    left = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert not [path for path in left if path.suffix in (".safetensors", ".json", ".html")]


def test_a_place_that_is_a_file_is_one_message(tmp_path):
    (tmp_path / "taken").write_text("")
    assert "taken" in run("study", "small", "--smoke", "--out", str(tmp_path / "taken"), code=2)


def test_ctrl_c_leaves_a_study_to_go_on_with(tmp_path, monkeypatch):
    from unrecur.studies import worker

    real, calls = worker.run_trial, []

    def interrupted(*arguments):
        calls.append(arguments[1])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(worker, "run_trial", interrupted)
    assert "The same command goes on" in run("study", "small", "--smoke", code=130)
    monkeypatch.setattr(worker, "run_trial", real)
    assert "2 of 10 trials are finished already" in run("study", "small", "--smoke")


def test_the_plain_module_runs_too():
    done = subprocess.run(
        [sys.executable, "-m", "unrecur", "study", "nothing"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_models_lists_every_model_with_its_paper():
    said = run("models")
    for name, architecture in MODELS.items():
        assert name in said
        assert str(architecture.year) in said
    assert "tcn" in said


def load_table(rows=400):
    """A table of an hourly load with a daily swing."""
    lines = ["timestamp,load,warm"]
    start = datetime.datetime(2024, 1, 1)
    for hour in range(rows):
        time = start + datetime.timedelta(hours=hour)
        lines.append(f"{time.isoformat()},{math.sin(hour / 3.8) + hour % 5},{hour % 7}")
    return "\n".join(lines) + "\n"


def test_data_lists_every_task_with_its_files():
    listed = run("data")
    for name, entry in tasks.TASKS.items():
        assert name in listed
        assert entry.needs or entry.origin == ""


def test_data_says_what_a_task_holds():
    said = run("data", "adding")
    for part in ("squared", "longest dependency: 49 steps", "1,000", "50,000"):
        assert part in said


@pytest.mark.slow
def test_a_table_of_ones_own_is_described_and_studied(tmp_path):
    Path("my load.csv").write_text(load_table())
    options = ("my load.csv", "--target", "load", "--time", "timestamp", "--horizon", "2")
    said = run("data", *options)
    assert "400 rows" in said
    assert "2 features" in said
    said = run("study", *options, "--smoke", "--seeds", "1", "--epochs", "1")
    assert "MASE" in said
    page = (tmp_path / "runs" / "my load-smoke" / "report.html").read_text()
    assert "What was done to the data" in page
    results = json.loads((tmp_path / "runs" / "my load-smoke" / "results.json").read_text())
    assert {row["model"] for row in results["rows"]} > {"lstm", "tcn", "autoregression"}
    assert results["task"]["notes"]
    assert all(row["scores"]["mae"] > 0 for row in results["rows"])


def test_a_model_is_trained_on_a_text_of_ones_own(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("song.txt").write_text("row, row, row your boat, gently down the stream\n" * 60)
    said = run("train", "song.txt", "gru", "--parameters", "3000", "--epochs", "1")
    assert "bits per character" in said
