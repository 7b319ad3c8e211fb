"""What one has becomes the task of its kind; what is none is told what would be."""

import gzip
import json

import mido
import numpy as np
import pytest
import soundfile

from unrecur import InputError, own_task

SENTENCES = "play\tO\nthe\tO\nblues\tB-genre\n\nrain\tB-weather\nin\tO\nparis\tB-city\n\n"


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def split_files(folder, suffix, content):
    """Write the same content for each split."""
    folder.mkdir()
    for split in ("train", "dev", "test"):
        (folder / f"{split}{suffix}").write_text(content)
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
    return split_files(place / "tags", ".conll", SENTENCES * 3), [], {}


def slots(place):
    for split in ("train", "valid", "test"):
        folder = place / "slots" / split
        folder.mkdir(parents=True)
        (folder / "seq.in").write_text("play blues\nrain in paris\n")
        (folder / "seq.out").write_text("O B-genre\nB-weather O B-city\n")
    return place / "slots", [], {}


def languages(place):
    folder = split_files(place / "pairs", ".en", "a dog runs\ntwo dogs run\n" * 30)
    for split in ("train", "dev", "test"):
        (folder / f"{split}.de").write_text("ein Hund rennt\nzwei Hunde rennen\n" * 30)
    return folder, ["de"], {}


def questions(place):
    answer = {"text": "Paris", "answer_start": 10}
    asked = [{"id": f"q{n}", "question": "Where?", "answers": [answer]} for n in range(3)]
    article = {"paragraphs": [{"context": "She is in Paris now.", "qas": asked}]}
    content = [{**article, "title": f"article {n}"} for n in range(9)]
    return split_files(place / "asked", ".json", json.dumps({"data": content})), [], {}


def series(place):
    head = "@problemName Toy\n@timeStamps false\n@univariate true\n@classLabel true a b\n@data\n"
    rows = "".join(f"{n % 3},{n % 5},1.5,{n % 2}:{'ab'[n % 2]}\n" for n in range(30))
    for part in ("TRAIN", "TEST"):
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
