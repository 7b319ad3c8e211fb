"""The environment says which code ran."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import unrecur
from unrecur.studies import environment as module
from unrecur.studies.environment import environment


def git(folder, *arguments):
    options = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", folder, *options, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with the running code, which is taken for what pip installed from."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    source = tmp_path / "src" / "unrecur"
    shutil.copytree(
        Path(unrecur.__file__).parent, source, ignore=shutil.ignore_patterns("__pycache__")
    )
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "all")
    monkeypatch.setattr(module, "_installed_from", lambda: tmp_path)
    return tmp_path


def test_it_is_json():
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["unrecur"] == unrecur.__version__
    assert found["threads"] >= 1


def test_an_installed_copy_has_its_checkouts_commit(checkout):
    head = subprocess.run(
        ["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout
    assert head.startswith(environment()["git"])
    (checkout / "notes.txt").write_text("not tracked")
    assert head.startswith(environment()["git"])


def test_another_state_of_the_checkout_is_not_claimed(checkout):
    ours = environment()["git"]
    (checkout / "src" / "unrecur" / "_version.py").write_text("x = 1\n")
    assert environment()["git"] != ours


def test_no_git_is_no_error(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert environment()["git"] is None
