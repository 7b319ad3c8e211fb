"""What one has becomes the task of its kind; what is none is told what would be."""

import gzip
import json
import os
import shutil

import mido
import numpy as np
import pytest
import soundfile

from unrecur import InputError, own_task

SENTENCES = "play\tO\nthe\tO\nblues\tB-genre\n\nrain\tB-weather\nin\tO\nparis\tB-city\n\n"


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def split_files(folder, suffix, content, end="{}\n"):
    """Write nearly the same content for each split: its end has the name of the split."""
    folder.mkdir()
    for split in ("train", "dev", "test"):
        (folder / f"{split}{suffix}").write_text(content + end.format(split))
    return folder


def table(place):
    (place / "my load.csv").write_text(
        "load,warm\n" + "".join(f"{i % 7},{i % 5}\n" for i in range(90))
    )
    return place / "my load.csv", ["load"], {"horizon": 2}


def columns(place):
    np.save(place / "block.npy", np.arange(200.0).reshape(100, 2) % 17)
    return place / "block.npy", ["1"], {}


def text(place):
    with gzip.open(place / "söng.txt.gz", "wt", encoding="utf-8") as file:
        file.write("row, row, row your böat\n" * 60)
    return place / "söng.txt.gz", [], {"level": "byte"}


def texts(place):
    return split_files(place / "corpus", ".txt", "a b a c\nb a b\n" * 40), [], {}


def tagged(place):
    return split_files(place / "tags", ".conll", SENTENCES * 3, "{}\tO\n"), [], {}


def slots(place):
    for split in ("train", "valid", "test"):
        folder = place / "slots" / split
        folder.mkdir(parents=True)
        (folder / "seq.in").write_text(f"play blues\nrain in {split}\n")
        (folder / "seq.out").write_text("O B-genre\nB-weather O B-city\n")
    return place / "slots", [], {}


def languages(place):
    folder = split_files(place / "pairs", ".en", "a dog runs\ntwo dogs run\n" * 30)
    for split in ("train", "dev", "test"):
        german = "ein Hund rennt\nzwei Hunde rennen\n" * 30
        (folder / f"{split}.de").write_text(f"{german}{split}\n")
    return folder, ["de"], {}


def questions(place):
    answer = {"text": "Paris", "answer_start": 10}
    asked = [{"id": f"q{n}", "question": "Where?", "answers": [answer]} for n in range(3)]
    article = {"paragraphs": [{"context": "She is in Paris now.", "qas": asked}]}
    content = [{**article, "title": f"article {n}"} for n in range(9)]
    end = '", "data": ' + json.dumps(content).replace("{", "{{").replace("}", "}}") + "}}"
    return split_files(place / "asked", ".json", '{"version": "', "{}" + end), [], {}


def series(place):
    head = "@problemName Toy\n@timeStamps false\n@univariate true\n@classLabel true a b\n@data\n"
    for part, last in (("TRAIN", 1.5), ("TEST", 2.5)):
        rows = "".join(f"{n % 3},{n % 5},{last},{n % 2}:{'ab'[n % 2]}\n" for n in range(30))
        (place / f"Toy_{part}.ts").write_text(head + rows)
    return place / "Toy_TRAIN.ts", [], {}


def sounds(place):
    generator = np.random.default_rng(0)
    for split in ("train", "valid", "test"):
        (place / "sounds" / split).mkdir(parents=True)
        samples = generator.uniform(-0.5, 0.5, 300)
        soundfile.write(place / "sounds" / split / "one.wav", samples, 8000)
    return place / "sounds", [], {}


def music(place):
    for key, split in enumerate(("train", "valid", "test"), 60):
        (place / "music" / split).mkdir(parents=True)
        file = mido.MidiFile()
        track = file.add_track()
        for step in range(8):
            track.append(mido.Message("note_on", note=key + step % 5, time=0))
            track.append(mido.Message("note_off", note=key + step % 5, time=240))
        file.save(place / "music" / split / "tune.mid")
    return place / "music", [], {}


@pytest.mark.parametrize(
    ("make", "unit", "tokens", "whole"),
    [
        (table, "MASE", False, False),
        (columns, "MASE", False, False),
        (text, "bits per byte", True, False),
        (texts, "nats per token", True, False),
        (tagged, "nats per word", True, True),
        (slots, "nats per word", True, True),
        (languages, "nats per token", True, False),
        (questions, "nats per token of the passage", True, True),
        (series, "nats per series", False, True),
        (sounds, "bits per sample", True, False),
        (music, "nats per frame", False, False),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_kind_becomes_its_task(make, unit, tokens, whole, tmp_path):
    place, target, options = make(tmp_path)
    task = own_task(str(place), target, **options)
    assert (task.unit, task.tokens, task.whole) == (unit, tokens, whole)
    assert bool(task.sources) is (make is languages)
    assert all(task.counted(split).sum() for split in ("train", "valid", "test"))
    assert task.floors


@pytest.mark.parametrize(
    ("make", "target", "options", "message"),
    [
        (table, [], {}, "with --target COLUMN"),
        (table, ["load"], {"level": "byte"}, "--level has no meaning"),
        (text, ["load"], {}, "Leave --target out"),
        (text, [], {"horizon": 3}, "--horizon has no meaning"),
        (text, [], {"level": "syllable"}, "unknown level 'syllable'"),
        (sounds, [], {"season": 3}, "--season has no meaning"),
        (languages, [], {}, "the language to translate to, one of de and en"),
        (languages, ["fr"], {}, "got fr"),
        (languages, ["de"], {"horizon": 3}, "--horizon has no meaning"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_named(make, target, options, message, tmp_path):
    place, _, _ = make(tmp_path)
    with pytest.raises(InputError, match=message):
        own_task(str(place), target, **options)


def test_other_things_are_refused_with_what_is_known(tmp_path):
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="files of this kind"):
        own_task(str(tmp_path / "image.png"))
    with pytest.raises(InputError, match="train, valid and test"):
        own_task(str(tmp_path / "empty"))
    with pytest.raises(InputError, match="no file or folder"):
        own_task(str(tmp_path / "missing.csv"))
    with pytest.raises(InputError, match="--target and --inputs"):
        own_task("hf://name")


# What a folder holds


@pytest.mark.parametrize(
    ("make", "added", "message"),
    [
        (texts, ["train.1.txt"], r"one file or folder for train, got train\.1\.txt, train\.txt"),
        (texts, ["train.md"], r"for train, got train\.md, train\.txt"),
        (texts, ["train.txt.gz"], r"for train, got train\.txt, train\.txt\.gz"),
        (texts, ["VALID.TXT"], r"for valid, got VALID\.TXT, dev\.txt"),
        (tagged, ["test.bio"], r"for test, got test\.bio, test\.conll"),
        (slots, ["dev"], "for valid, got dev, valid"),
        (questions, ["validation.json"], r"for valid, got dev\.json, validation\.json"),
        (sounds, ["val/a.wav"], "for valid, got val, valid"),
        (music, ["Train/a.mid"], "for train, got Train, train"),
        (languages, ["train.fr"], r"expected two languages, got \.de, \.en, \.fr"),
        (languages, ["val.en"], r"valid in de and en.*got dev\.de, dev\.en, val\.en"),
    ],
)
def test_several_files_for_a_split_are_refused_by_name(make, added, message, tmp_path):
    place, target, options = make(tmp_path)
    for name in added:
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text("a\n")
    with pytest.raises(InputError, match=message):
        own_task(str(place), target, **options)


@pytest.mark.parametrize("make", [texts, tagged, slots, languages, questions, sounds, music])
def test_files_that_are_not_used_are_counted(make, tmp_path):
    place, target, options = make(tmp_path)
    task = own_task(str(place), target, **options)
    assert not any("not used" in note for note in task.notes)
    (place / "more" / "deep").mkdir(parents=True)
    (place / "more" / "empty.wav").mkdir()
    (place / "more" / "deep" / "b.mp3").write_bytes(b"")
    (place / "more" / "gone.wav").symlink_to(tmp_path / "none")
    (place / "more" / "round").symlink_to(place)
    (place / "extra.kar").write_bytes(b"")
    (place / ".DS_Store").write_bytes(b"")
    (place / ".git").mkdir()
    (place / ".git" / "HEAD").write_bytes(b"")
    noted = own_task(str(place), target, **options)
    note = "Files and empty folders that are not used: 4, the first extra.kar."
    assert sorted(noted.notes) == sorted((*task.notes, note))
    assert noted.hashes == task.hashes


@pytest.mark.parametrize("make", [sounds, music])
def test_splits_may_be_links(make, tmp_path):
    place, target, options = make(tmp_path)
    task = own_task(str(place), target, **options)
    for path in list(place.iterdir()):
        path.symlink_to(path.rename(tmp_path / path.name))
    assert own_task(str(place), target, **options).hashes == task.hashes


def test_sounds_beside_the_splits_are_counted(tmp_path):
    place, _, _ = sounds(tmp_path)
    for name in ("extra.wav", "train2/e.wav"):
        (place / name).parent.mkdir(exist_ok=True)
        shutil.copy(place / "train" / "one.wav", place / name)
    assert "not used: 2, the first extra.wav." in own_task(str(place)).notes[-3]


@pytest.mark.parametrize("make", [texts, tagged, slots, languages, questions, sounds, music])
def test_splits_have_names_in_any_case(make, tmp_path):
    place, target, options = make(tmp_path)
    task = own_task(str(place), target, **options)
    for path in list(place.iterdir()):
        other = path.name.replace("valid", "Dev").replace("t", "T")
        path.rename(path.with_name(other))
    assert own_task(str(place), target, **options).hashes == task.hashes


@pytest.mark.parametrize("make", [texts, tagged, slots, languages, questions, sounds, music])
def test_a_file_in_two_splits_is_refused(make, tmp_path):
    place, target, options = make(tmp_path)
    for path in place.glob("train*"):
        other = place / path.name.replace("train", "test")
        if path.is_dir():
            shutil.rmtree(other)
            shutil.copytree(path, other)
        else:
            shutil.copy(path, other)
    with pytest.raises(InputError, match="same file in two splits"):
        own_task(str(place), target, **options)


def test_a_text_and_its_gzip_file_are_the_same(tmp_path):
    place, _, _ = texts(tmp_path)
    (place / "test.txt").unlink()
    (place / "test.txt.gz").write_bytes(gzip.compress((place / "train.txt").read_bytes()))
    with pytest.raises(InputError, match=r"train\.txt and .*test\.txt\.gz are the same file"):
        own_task(str(place))


def test_upper_case_names_are_inflated(tmp_path):
    path, _, _ = text(tmp_path)
    other = path.rename(path.with_name("SÖNG.TXT.GZ"))
    task = own_task(str(other), level="byte")
    assert (task.name, task.title) == ("SÖNG", "SÖNG.TXT, next byte")
    place, target, options = languages(tmp_path)
    before = own_task(str(place), target, **options).hashes
    for path in list(place.iterdir()):
        path.with_name(f"{path.name.upper()}.GZ").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert own_task(str(place), target, **options).hashes == before


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "A_TRAIN.ts", "a.mat", "a.txt.gz"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_pipes_and_devices_are_no_files(make, name, tmp_path):
    make(tmp_path / name)
    with pytest.raises(InputError, match=f"{name}: expected a file, got a folder, a pipe or"):
        own_task(str(tmp_path / name), ["x"] if name == "a.csv" else [])


@pytest.mark.parametrize("make", [texts, tagged, languages, questions])
def test_a_pipe_in_a_folder_is_no_file(make, tmp_path):
    place, target, options = make(tmp_path)
    path = max(place.glob("test*"))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match=f"{path.name}: expected a file, got a folder, a pipe"):
        own_task(str(place), target, **options)
