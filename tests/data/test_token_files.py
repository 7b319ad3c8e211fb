"""Token files: what is written is read, damage is found, pieces hold every token once."""

import os
import pickle
import resource

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unrecur._check import CorruptFileError, InputError
from unrecur.data.token_files import HEADER, Pieces, TokenFile, open_tokens, write_tokens


def blocks_of(ids, size):
    return (ids[i : i + size] for i in range(0, len(ids), size))


@given(
    vocabulary=st.sampled_from([2, 2**16, 2**16 + 1, 2**20]),
    count=st.integers(0, 300),
    block=st.integers(1, 400),
    seed=st.integers(0, 10),
)
def test_what_is_written_is_read(tmp_path_factory, vocabulary, count, block, seed):
    path = tmp_path_factory.mktemp("tokens") / "a b ü.tokens"
    ids = np.random.default_rng(seed).integers(0, vocabulary, count)
    if count:
        ids[0] = vocabulary - 1
    facts = {"characters": 7}
    for tokens in (write_tokens(path, blocks_of(ids, block), vocabulary, facts), open_tokens(path)):
        assert tokens.count == count
        assert tokens.facts == facts
        assert tokens.dtype == ("<u2" if vocabulary <= 2**16 else "<u4")
        if count:
            np.testing.assert_array_equal(tokens.ids, ids)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@given(count=st.integers(2, 100), piece=st.integers(1, 120))
def test_pieces_hold_every_token_but_the_first_once(tmp_path_factory, count, piece):
    path = tmp_path_factory.mktemp("tokens") / "a.tokens"
    ids = np.random.default_rng(count).integers(0, 9, count)
    pieces = Pieces(write_tokens(path, [ids], 9), piece)
    pairs = [pieces[i] for i in range(len(pieces))]
    np.testing.assert_array_equal(torch.cat([x for x, _ in pairs]), ids[:-1])
    np.testing.assert_array_equal(torch.cat([target for _, target in pairs]), ids[1:])
    assert pieces.lengths.tolist() == [len(x) for x, _ in pairs]
    assert all(length == piece for length in pieces.lengths[:-1])
    assert all(t.dtype is torch.int64 for pair in pairs for t in pair)
    with pytest.raises(IndexError):
        pieces[len(pieces)]


def test_a_single_token_is_no_stream(tmp_path):
    with pytest.raises(InputError, match="at least 2 tokens of text, got 1"):
        Pieces(write_tokens(tmp_path / "a.tokens", [np.array([3])], 9), 5)


def test_pieces_are_pickled_without_the_map(tmp_path):
    pieces = Pieces(write_tokens(tmp_path / "a.tokens", [np.arange(10**5)], 10**5), 5)
    pieces[0]
    content = pickle.dumps(pieces)
    assert len(content) < 2000
    assert torch.equal(pickle.loads(content)[7][1], torch.arange(36, 41))


def test_ten_gigabytes_take_the_memory_that_is_touched(tmp_path):
    path, count = tmp_path / "large.tokens", 5 * 10**9
    with path.open("wb") as file:
        os.truncate(file.fileno(), HEADER + 2 * count)  # a hole
        file.seek(HEADER + 2 * (count - 2))
        file.write(np.array([7, 8], "<u2").tobytes())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pieces = Pieces(TokenFile(path, "<u2", count, {}), 1000)
    x, target = pieces[len(pieces) - 1]
    assert (len(x), x[-1], target[-1]) == (999, 7, 8)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


# Damage


def test_a_changed_byte_anywhere_is_found(tmp_path):
    path = tmp_path / "a.tokens"
    write_tokens(path, [np.arange(500)], 500)
    whole = path.read_bytes()
    text = len(whole[:HEADER].rstrip())  # after it the header holds spaces
    for position in [*range(text), *range(HEADER, len(whole), 7)]:
        changed = bytes([whole[position] ^ 1])
        path.write_bytes(whole[:position] + changed + whole[position + 1 :])
        with pytest.raises(CorruptFileError):
            open_tokens(path)


@pytest.mark.parametrize("length", [0, 1, 70, HEADER - 1, HEADER, HEADER + 1, -2, -1])
def test_a_file_cut_short_is_found(tmp_path, length):
    path = tmp_path / "a.tokens"
    write_tokens(path, [np.arange(500)], 500)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CorruptFileError):
        open_tokens(path)


@pytest.mark.parametrize("content", [b"x", bytes(9000), b"\x80\x04\x95" + bytes(9000)])
def test_what_is_no_token_file_is_refused(tmp_path, content):
    path = tmp_path / "a.tokens"
    path.write_bytes(content)
    with pytest.raises(CorruptFileError):
        open_tokens(path)
    write_tokens(path, [np.arange(5)], 5)
    path.write_bytes(path.read_bytes() + content)
    with pytest.raises(CorruptFileError, match="expected 4106 bytes"):
        open_tokens(path)


def test_a_large_file_with_a_hole_is_found(tmp_path):
    path = tmp_path / "a.tokens"
    write_tokens(path, [np.full(5 * 10**6, 3)], 5)
    assert path.stat().st_size > 9e6
    with path.open("r+b") as file:
        file.seek(5 * 10**6)
        file.write(bytes(2**16))
    with pytest.raises(CorruptFileError, match="not what was written"):
        open_tokens(path)


def test_an_interrupted_writer_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.tokens"
    write_tokens(path, [np.arange(5)], 5)

    def broken():
        yield np.arange(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_tokens(path, broken(), 5)
    assert open_tokens(path).ids.tolist() == [0, 1, 2, 3, 4]
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_keeps_its_file_when_it_is_replaced(tmp_path):
    path = tmp_path / "a.tokens"
    old = write_tokens(path, [np.arange(5)], 5)
    first = old.ids
    write_tokens(path, [np.zeros(2, np.int64)], 5)
    assert first.tolist() == [0, 1, 2, 3, 4]
    assert open_tokens(path).ids.tolist() == [0, 0]
