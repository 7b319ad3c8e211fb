"""Files are written whole or not at all."""

import os
import stat

import pytest

from unrecur._files import write_atomic


def test_text_and_bytes_are_written_and_folders_made(tmp_path):
    write_atomic(tmp_path / "a" / "b.txt", "é\n")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "é\n".encode()
    write_atomic(tmp_path / "a" / "b.txt", b"\0")
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"\0"
    assert os.listdir(tmp_path / "a") == ["b.txt"]


def test_the_mode_is_that_of_any_new_file(tmp_path):
    write_atomic(tmp_path / "ours", "x")
    (tmp_path / "theirs").write_text("x")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "theirs")}
    assert len(modes) == 1


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_content_and_nothing_else(call, error, tmp_path, monkeypatch):
    write_atomic(tmp_path / "file", "old")

    def fail(*_):
        raise error

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(type(error)):
        write_atomic(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]
