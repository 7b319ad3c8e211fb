"""The .npy file that grows."""

import numpy as np
import pytest

from unrecur.streams.array_file import ArrayFile


def interrupted(path, error):
    """Write three rows and part of another before something happens."""
    with ArrayFile(path, 2) as file:
        file.write(np.ones((3, 2), np.float32))
        file._file.write(b"part of a row")
        raise error


@pytest.mark.parametrize("counts", [[], [0], [3, 0, 5], [1] * 12])
def test_rows_are_read_back(counts, tmp_path):
    path = tmp_path / "neuer Ordner" / "é.npy"
    blocks = [np.random.default_rng(n).random((n, 2)).astype(np.float32) for n in counts]
    with ArrayFile(path, 2) as file:
        for block in blocks:
            file.write(block)
        assert not path.exists()
    read = np.load(path, allow_pickle=False)
    assert np.array_equal(read, np.concatenate([np.zeros((0, 2), np.float32), *blocks]))
    assert [each.name for each in path.parent.iterdir()] == ["é.npy"]


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "y.npy"
    path.write_bytes(b"before")
    with pytest.raises(ValueError, match="broken"):
        interrupted(path, ValueError("broken"))
    assert path.read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_interruption_keeps_what_was_written(tmp_path):
    path = tmp_path / "y.npy"
    with pytest.raises(KeyboardInterrupt):
        interrupted(path, KeyboardInterrupt())
    assert np.array_equal(np.load(path), np.ones((3, 2)))
