"""Text as token files, and the tasks of language modelling."""

import gzip
import itertools
import math
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unrecur._check import CorruptFileError, InputError
from unrecur.data import content, corpus, lines
from unrecur.data.corpus import default_cache, tokenized, watched
from unrecur.data.lines import Part, units
from unrecur.data.running import predictions
from unrecur.data.sequences import SPLITS
from unrecur.data.text import language_task, text_file_task
from unrecur.data.tokenize import TOKENIZERS
from unrecur.models.ngram import NGram

POEM = "Ein Löwe lief am Ufer hin,\nden Fluß entlang, im Abendwind.\n\n  Er lief und lief.\n" * 9
LEVELS = ("word", "character", "byte", "bpe")
words = st.lists(st.text("ab \t\n€", max_size=30), max_size=8).map("".join)


@pytest.fixture
def files(tmp_path):
    """A text in a folder with spaces and other letters in its name."""
    folder = tmp_path / "my bücher"
    folder.mkdir()
    texts = {"train": POEM, "valid": "Ein Löwe lief.\n", "test": "Ein Fluß am Abend.\nEnde\n"}
    for split, text in texts.items():
        (folder / f"{split}.txt").write_text(text, "utf-8")
    return {split: folder / f"{split}.txt" for split in SPLITS}


def ids_of(found):
    return {split: found.tokens[split].ids.tolist() for split in SPLITS}


def compressed(path, data):
    path.write_bytes(gzip.compress(data))
    return path


# Reading


@given(text=words, block=st.integers(1, 50), longest=st.integers(2, 20))
def test_units_are_the_text_whatever_the_blocks(tmp_path_factory, text, block, longest):
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "LONGEST", longest)
        whole = list(itertools.chain(*units(Part(path))))
        patch.setattr(lines, "BLOCK", block)
        assert list(itertools.chain(*units(Part(path)))) == whole
    assert "".join(whole) == text
    assert max(map(len, whole), default=0) <= longest
    for unit in whole:
        assert "\n" not in unit[:-1]
    for unit, after in itertools.pairwise(whole):  # a word is cut only where it is too long itself
        if unit[-1] not in " \t\n" and after[0] not in " \t\n":
            assert len(unit) == longest
            assert not set(" \t") & set(unit[1:])


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("kind", ["txt", "gz"])
def test_a_byte_that_is_no_utf8_is_named(tmp_path, monkeypatch, block, kind):
    monkeypatch.setattr(lines, "BLOCK", block)
    data = "Größe\nÜber".encode() + b"\xff und weiter\n"
    path = tmp_path / f"a.{kind}"
    path.write_bytes(gzip.compress(data) if kind == "gz" else data)
    with pytest.raises(InputError, match=r"a\.\w+, line 2, byte 6 of the line: .* got 0xff"):
        list(units(Part(path)))
    with pytest.raises(InputError, match="line 2, byte 6 of the line"):
        list(units(Part(path, 8)))  # lines count from the begin of the file
    path.write_bytes(b"abc\nde\xe2\x82" if kind == "txt" else gzip.compress(b"abc\nde\xe2\x82"))
    with pytest.raises(InputError, match=r"line 2, byte 3 of the line: .* got 0xe2"):
        list(units(Part(path)))


def test_bytes_need_no_encoding(tmp_path):
    data = bytes(range(256)) * 40
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    found = tokenized(path, "byte", cache=tmp_path / "cache")
    assert bytes(itertools.chain(*ids_of(found).values())) == data


def test_a_damaged_gzip_file_is_refused(tmp_path):
    whole = gzip.compress(os.urandom(50) + b"text\n" * 50)
    path = tmp_path / "a.gz"
    for damaged in (b"", b"text", whole[:5], whole[:-9], whole[:30] + b"xx" + whole[32:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"expected a gzip file, whole|an empty file"):
            tokenized(path, "byte", cache=tmp_path / "cache")


def test_a_gzip_bomb_is_refused(tmp_path, monkeypatch):
    path = compressed(tmp_path / "a.gz", bytes(4_000_000))
    assert sum(map(len, lines.blocks(Part(path)))) == 4_000_000
    monkeypatch.setattr(lines, "SMALL", 10_000)
    with pytest.raises(CorruptFileError, match="inflates to more than"):
        list(lines.blocks(Part(path)))


# Tokenizers


@given(st.text())
def test_decoding_gives_the_text_back(text):
    for level in ("character", "byte", "bpe"):
        kind = TOKENIZERS[level]
        learned = kind.learn([[text, POEM]], 300 if level == "bpe" else None)
        raw = text.encode().decode(kind.encoding)
        for tokenizer in (learned, kind.loads(learned.dumps())):
            ids = tokenizer.encode([raw])
            assert tokenizer.decode(ids.tolist()) == text
            assert len(ids) == 0 or ids.max() < tokenizer.size


def test_words_are_those_of_a_slow_loop(tmp_path):
    text = "b <unk> b\n \na\tb\n" * 20 + "c\u00a0b"  # the last line has no end
    path = tmp_path / "a.txt"
    path.write_text(text, "utf-8")
    found = tokenized(dict.fromkeys(SPLITS, path), "word", cache=tmp_path)
    slow = [word for line in text.split("\n") for word in [*line.split(), "<eos>"]]
    tokenizer = found.tokenizer
    assert [tokenizer.words[i] for i in found.tokens["test"].ids] == slow
    assert tokenizer.words == ["<eos>", "b", "<unk>", "a", "c"]  # 61, 61, 20, 20, 1


def test_words_that_are_too_long_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("a" * 70_000)
    with pytest.raises(InputError, match="words between spaces, got one of 65,536 characters"):
        tokenized(dict.fromkeys(SPLITS, path), "word", cache=tmp_path)


def test_too_many_words_are_refused(files, tmp_path, monkeypatch):
    monkeypatch.setattr("unrecur.data.tokenize.MOST_WORDS", 5)
    with pytest.raises(InputError, match="at most 5 different words"):
        tokenized(files, "word", cache=tmp_path)


def test_byte_pairs_are_those_of_the_library(files, tmp_path):
    found = tokenized(files, "bpe", 300, cache=tmp_path / "cache")
    library = found.tokenizer.tokenizer
    for split in SPLITS:
        text = files[split].read_text("utf-8")
        slow = [i for line in text.splitlines(True) for i in library.encode(line).ids]
        assert ids_of(found)[split] == slow
    assert found.tokenizer.size <= 300


def test_marks_in_a_text_are_text():
    tokenizer = TOKENIZERS["bpe"].learn([[POEM]], 300)
    ids = tokenizer.encode(["<s></s><unk>"])
    assert len(ids) > 3
    assert ids.max() < tokenizer.size


# The cache


@pytest.mark.parametrize("level", LEVELS)
def test_text_is_found_again_and_not_read(files, tmp_path, monkeypatch, level):
    monkeypatch.setattr(content, "SETTLED", 0)
    first = tokenized(files, level, cache=tmp_path)

    def refuse(*_):
        raise AssertionError("read again")

    monkeypatch.setattr(lines, "blocks", refuse)
    monkeypatch.setattr(content, "blocks", refuse)
    again = tokenized(files, level, cache=tmp_path, report=refuse)
    assert ids_of(again) == ids_of(first)
    assert again.hashes == first.hashes
    assert again.tokenizer.dumps() == first.tokenizer.dumps()


def test_one_file_is_found_again_and_not_read(files, tmp_path, monkeypatch):
    monkeypatch.setattr(content, "SETTLED", 0)
    first = tokenized(files["train"], "character", cache=tmp_path)
    monkeypatch.setattr(content, "blocks", None)
    assert ids_of(tokenized(files["train"], "character", cache=tmp_path)) == ids_of(first)


def test_a_file_that_was_just_written_is_hashed_again(files, tmp_path):
    before = tokenized(files, "character", cache=tmp_path)
    times = files["valid"].stat()
    files["valid"].write_text("Ein Löwe rief.\n", "utf-8")  # of the same size
    os.utime(files["valid"], ns=(times.st_atime_ns, times.st_mtime_ns))
    after = tokenized(files, "character", cache=tmp_path)
    assert after.tokenizer.decode(ids_of(after)["valid"]) == "Ein Löwe rief.\n"
    assert after.hashes["valid"] != before.hashes["valid"]


def test_a_change_that_keeps_size_and_time_is_seen_later_too(files, tmp_path, monkeypatch):
    monkeypatch.setattr(content, "SETTLED", 0)
    tokenized(files, "character", cache=tmp_path)
    times = files["valid"].stat()
    files["valid"].write_text("Ein Löwe rief.\n", "utf-8")
    os.utime(files["valid"], ns=(times.st_atime_ns, times.st_mtime_ns))
    after = tokenized(files, "character", cache=tmp_path)
    assert after.tokenizer.decode(ids_of(after)["valid"]) == "Ein Löwe rief.\n"


@pytest.mark.parametrize("level", ["word", "character", "bpe"])
def test_the_vocabulary_is_that_of_the_training_text(files, tmp_path, level):
    before = tokenized(files, level, cache=tmp_path / "a")
    files["test"].write_text("ganz andere Wörter: ЖЖЖ ganz ЖЖЖ\n" * 50, "utf-8")
    after = tokenized(files, level, cache=tmp_path / "b")
    assert after.tokenizer.dumps() == before.tokenizer.dumps()
    assert ids_of(after)["train"] == ids_of(before)["train"]
    assert after.hashes["train"] == before.hashes["train"]
    assert after.hashes["test"] != before.hashes["test"]


@pytest.mark.parametrize("level", ["word", "bpe"])
@pytest.mark.parametrize("pattern", ["*/tokenizer.json", "*/SHA256SUMS", "*/*.tokens", "notes/*"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_a_damaged_cache_is_made_anew(files, tmp_path, monkeypatch, level, pattern, damage):
    monkeypatch.setattr(content, "SETTLED", 0)
    first = ids_of(tokenized(files, level, cache=tmp_path / "cache"))
    found = list((tmp_path / "cache").glob(pattern))
    assert found
    for path in found:
        whole = path.read_bytes()
        flipped = whole[:9] + bytes([whole[9] ^ 1]) + whole[10:]
        path.write_bytes(whole[:-3] if damage == "cut" else flipped)
        if damage == "gone":
            path.unlink()
    assert ids_of(tokenized(files, level, cache=tmp_path / "cache")) == first
    assert not list((tmp_path / "cache").glob("*/.*.tokens.*"))


def test_ids_of_another_tokenizer_are_not_used(files, tmp_path):
    first = tokenized(files, "word", cache=tmp_path)
    forged = first.tokenizer.dumps().replace("Ende", "Ente").replace("lief", "rief")
    folder = first.tokens["train"].path.parent
    (folder / "tokenizer.json").write_text(forged)
    (folder / "SHA256SUMS").write_text(f"{corpus._sha256(forged)}  tokenizer.json\n")
    again = tokenized(files, "word", cache=tmp_path)
    assert again.tokens["train"].facts["tokenizer"] == corpus._sha256(forged)
    assert again.tokens["train"].facts["unknown"] > 0


def test_many_at_once_do_not_harm_each_other(files, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(lambda _: ids_of(tokenized(files, "bpe", 300, tmp_path / "c")), range(4))
        )
    assert all(each == found[0] for each in found)


def test_what_a_killed_process_left_is_removed(files, tmp_path):
    folder = tokenized(files, "byte", cache=tmp_path).tokens["train"].path.parent
    (folder / ".abc.tokens.xyz").write_bytes(b"half")
    tokenized(files, "byte", cache=tmp_path)
    assert not (folder / ".abc.tokens.xyz").exists()


def test_a_cache_that_cannot_be_written_is_named(files, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(corpus, "write_tokens", refuse)
    with pytest.raises(InputError, match=r"cannot be read or written .*Set XDG_CACHE_HOME"):
        tokenized(files, "byte", cache=tmp_path)


def test_the_cache_is_where_the_user_says(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "unrecur" / "tokens"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache" / "unrecur" / "tokens"


@pytest.mark.parametrize(("level", "times"), [("byte", 1), ("word", 2)])
def test_progress_goes_up_to_the_total(files, tmp_path, monkeypatch, level, times):
    monkeypatch.setattr(lines, "BLOCK", 100)
    told = []
    tokenized(files, level, cache=tmp_path, report=lambda *each: told.append(each))
    sizes = {split: path.stat().st_size for split, path in files.items()}
    total = sum(sizes.values()) + (times - 1) * sizes["train"]
    assert [each for _, each in told] == [total] * len(told)
    done = [each for each, _ in told]
    assert done == sorted(set(done))
    assert done[-1] == total
    assert len(told) > 5


# Cutting one file


@given(text=st.text("ab \n€", min_size=60, max_size=200), kind=st.sampled_from(["txt", "gz"]))
def test_the_parts_of_a_file_are_the_file(tmp_path_factory, text, kind):
    path = tmp_path_factory.mktemp("text") / f"a.{kind}"
    path.write_bytes(gzip.compress(text.encode()) if kind == "gz" else text.encode())
    texts = content.split_texts(path, path.parent)
    parts = ["".join(itertools.chain(*units(texts[split].part))) for split in SPLITS]
    assert "".join(parts) == text
    size = len(text.encode())
    for before, share in ((parts[0], 90), (parts[0] + parts[1], 95)):
        cut, least = len(before.encode()), size * share // 100
        assert cut >= least
        near = text.encode()[least:]
        if b"\n" in near:
            assert cut == least + near.index(b"\n") + 1
        elif b" " in near:
            assert cut == least + near.index(b" ")
        else:
            assert cut - least <= 2


# Tasks


@pytest.mark.parametrize("level", LEVELS)
def test_every_token_is_predicted_once(files, tmp_path, level):
    task = language_task("t", "T", files, level, piece=7, cache=tmp_path)
    stream = tokenized(files, level, cache=tmp_path)
    assert task.continuous
    assert task.tokens
    for split in SPLITS:
        pairs = [task.pair(split, i) for i in range(len(task.splits[split]))]
        ids = stream.tokens[split].ids
        np.testing.assert_array_equal(torch.cat([target for _, target in pairs]), ids[1:])
        assert task.steps(split) == len(ids) - 1 == task.counted(split).sum()
    assert task.chance_level == pytest.approx(
        math.log(task.in_features, 2 if level in ("character", "byte") else math.e)
    )
    pickle.loads(pickle.dumps(task.splits))
    assert len({*task.hashes.values()}) == 3
    other = language_task("t", "T", files, level, piece=8, cache=tmp_path)
    assert other.hashes["train"] != task.hashes["train"]


@pytest.mark.parametrize("level", ["word", "bpe"])
def test_a_uniform_model_has_the_perplexity_of_the_vocabulary(files, tmp_path, level):
    task = language_task("t", "T", files, level, piece=7, cache=tmp_path)
    model = NGram(in_features=task.in_features, order=1)  # not fitted
    losses = torch.cat(
        [task.step_loss(y, task.pair("test", i)[1]) for i, y in predictions(model, task, "test")]
    )
    metric = float(losses.mean())
    assert metric == pytest.approx(task.chance_level)
    found = task.scores["perplexity"].compute(model, task, "test", metric)
    assert found == pytest.approx(task.in_features)
    if level == "bpe":
        bits = task.scores["bits_per_character"].compute(model, task, "test", metric)
        text = files["test"].read_text("utf-8")
        assert bits == pytest.approx(float(losses.sum()) / math.log(2) / len(text))


def test_unknown_tokens_are_one_more_and_counted(files, tmp_path):
    task = language_task("t", "T", files, "word", cache=tmp_path)
    assert any("2 of the 7 words of test" in note and "<unk>" in note for note in task.notes)
    learned = len({*POEM.split()}) + 1
    assert task.in_features == learned + 1
    _, target = task.pair("test", 0)
    assert (target == learned).sum() == 2
    files["train"].write_text(POEM + "<unk>\n", "utf-8")
    task = language_task("t", "T", files, "word", cache=tmp_path)
    assert task.in_features == learned + 1
    assert not any("not in the training text" in note for note in task.notes)


def test_a_text_of_ones_own_is_named_after_its_file(files, tmp_path):
    path = compressed(tmp_path / "Löwe 1.txt.gz", POEM.encode())
    task = text_file_task(path, cache=tmp_path)
    assert (task.name, task.title) == ("Löwe 1", "Löwe 1.txt, next character")
    assert task.unit == "bits per character"
    assert "cut in order" in task.notes[0]
    assert sum(task.steps(split) + 1 for split in SPLITS) == len(POEM)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "word", "vocabulary": 500}, "take level='bpe'"),
        ({"level": "bpe", "vocabulary": 255}, "at least 256"),
        ({"level": "byte", "piece": 0}, "piece must be a whole number"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(files, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        language_task("t", "T", files, cache=tmp_path, **options)


@pytest.mark.parametrize("level", ["word", "byte"])
def test_the_same_text_in_two_splits_is_refused(files, tmp_path, level):
    files["test"] = compressed(tmp_path / "Test.TXT.GZ", files["train"].read_bytes())
    with pytest.raises(InputError, match=r"train\.txt and .*Test\.TXT\.GZ are the same file"):
        language_task("t", "T", files, level, cache=tmp_path / "cache")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), os.mkdir])
def test_what_is_no_file_is_not_opened(make, tmp_path):
    make(tmp_path / "a.txt")
    with pytest.raises(InputError, match=r"a\.txt: expected a file, got a folder, a pipe or a dev"):
        tokenized(tmp_path / "a.txt", "byte", cache=tmp_path / "cache")


def test_missing_and_empty_files_are_named(files, tmp_path):
    with pytest.raises(InputError, match=r"got none for valid, test"):
        tokenized({"train": files["train"]}, "byte", cache=tmp_path)
    files["valid"].write_bytes(b"")
    with pytest.raises(InputError, match=r"valid\.txt: expected text, got an empty file"):
        tokenized(files, "byte", cache=tmp_path)
    files["valid"].write_bytes(b"x")
    with pytest.raises(InputError, match="at least 2 tokens of text, got 1"):
        language_task("t", "T", files, "byte", cache=tmp_path)
    files["valid"].unlink()
    with pytest.raises(FileNotFoundError, match=r"valid\.txt"):
        tokenized(files, "byte", cache=tmp_path)


def test_a_file_that_shrinks_while_it_is_read_is_refused(files):
    with pytest.raises(InputError, match="became shorter"):
        list(units(Part(files["train"], 0, 10**6)))


def test_who_watches_is_told_of_all_text(tmp_path):
    (tmp_path / "song.txt").write_text("row, row, row your boat\n" * 40)
    told = []
    with watched(lambda done, total: told.append((done, total))):
        text_file_task(tmp_path / "song.txt", cache=tmp_path / "cache")
    assert told[-1][0] == told[-1][1] > 0
    assert told == sorted(told)
    again = len(told)
    text_file_task(tmp_path / "song.txt", cache=tmp_path / "other")
    assert len(told) == again
