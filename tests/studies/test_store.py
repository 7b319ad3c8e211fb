"""The store: whole rows, or one clear error."""

import contextlib
import json
import os
import sqlite3

import pytest

from unrecur import CorruptFileError, InputError
from unrecur.studies.store import DATABASE, Store, locked

IDENTITY = {"task": "chorales", "version": "0.1.0", "models": {"a": [1, 2.5]}}


def row(model="a", seed=0, valid=1.5):
    return {"model": model, "seed": seed, "metric": {"valid": valid}, "history": [[0.1, 0.2]] * 9}


def test_rows_come_back_as_they_were(tmp_path):
    store = Store(tmp_path, IDENTITY)
    rows = [row("a", 0), row("b", 0, 2.25), row("a", 1)]
    for one in rows:
        store.add(one, ["a", "b"])
    assert store.rows() == rows == Store(tmp_path, IDENTITY).rows()
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows


def test_optuna_reads_the_same_file(tmp_path):
    import optuna

    Store(tmp_path, IDENTITY).add(row("b", 3, 0.5), ["a", "b"])
    study = optuna.load_study(study_name="unrecur", storage=f"sqlite:///{tmp_path}/{DATABASE}")
    assert study.best_trial.params == {"model": "b", "seed": 3}
    assert study.best_value == 0.5


@pytest.mark.parametrize("folder", ["a b", "ünïcode", "per%20cent", "a#b", "q?x=1"])
def test_folders_may_have_any_name(folder, tmp_path):
    place = tmp_path / folder
    place.mkdir()
    Store(place, IDENTITY).add(row(), ["a"])
    assert (place / DATABASE).is_file()
    assert len(Store(place, IDENTITY).rows()) == 1


@pytest.mark.parametrize("key", IDENTITY)
def test_another_study_is_not_mixed_in(key, tmp_path):
    Store(tmp_path, IDENTITY).add(row(), ["a"])
    with pytest.raises(InputError, match=f"another study: its {key}"):
        Store(tmp_path, {**IDENTITY, key: "other"})
    assert len(Store(tmp_path, IDENTITY).rows()) == 1


@pytest.mark.parametrize("damage", ["text", "cut", "hole"])
def test_a_damaged_database_is_an_error(damage, tmp_path):
    store = Store(tmp_path, IDENTITY)
    store.add(row(), ["a"])
    path = tmp_path / DATABASE
    content = path.read_bytes()
    if damage == "text":
        path.write_bytes(b"this is not a database, but long enough to look at" * 100)
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    with pytest.raises(CorruptFileError, match="damaged"):
        Store(tmp_path, IDENTITY).rows()


def test_a_database_in_use_is_not_called_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr("unrecur.studies.storage.BUSY", 0.5)
    Store(tmp_path, IDENTITY).add(row(), ["a"])
    with contextlib.closing(sqlite3.connect(tmp_path / DATABASE)) as other:
        other.execute("begin exclusive")
        with pytest.raises(OSError, match="another program is using"):
            Store(tmp_path, IDENTITY).add(row(seed=1), ["a"])
        other.rollback()
    assert len(Store(tmp_path, IDENTITY).rows()) == 1


def test_a_database_of_something_else_is_an_error(tmp_path):
    with sqlite3.connect(tmp_path / DATABASE) as database:
        database.execute("create table studies (x integer)")
    database.close()
    with pytest.raises(CorruptFileError):
        Store(tmp_path, IDENTITY)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match=r"study\.db"):
        Store(tmp_path, IDENTITY)


def test_a_database_that_cannot_be_opened_is_an_error_of_the_system(tmp_path):
    (tmp_path / DATABASE).mkdir()
    with pytest.raises(OSError, match="unable to open"):
        Store(tmp_path, IDENTITY)


def test_one_process_at_a_time(tmp_path):
    again = locked(tmp_path / "new")
    with locked(tmp_path / "new"), pytest.raises(InputError, match="another process"):
        again.__enter__()
    with locked(tmp_path / "new"):
        pass
