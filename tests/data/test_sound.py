"""Raw audio: files read in pieces, every sample once; levels; spoken digits; sound drawn."""

import itertools
import math
import os
import pickle
import struct

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrecur import CorruptFileError, InputError, build, load_task
from unrecur.data import fsdd as fsdd_module
from unrecur.data.audio import Pieces, audio_task, sound_folder
from unrecur.data.losses import IGNORED
from unrecur.data.quantizer import Quantizer
from unrecur.data.recordings import StoredRecordings
from unrecur.data.sequences import SPLITS
from unrecur.data.sound import open_sounds
from unrecur.data.sound_generation import generate_sound
from unrecur.data.wav import write_wav
from unrecur.layers.mu_law import mu_law_encode

RATE = 8000


def noise(count, seed=0):
    return np.random.default_rng(seed).integers(-(2**15), 2**15, count).astype(np.int16)


def stored(*counts):
    return StoredRecordings([noise(count, seed) for seed, count in enumerate(counts)], RATE)


def write(path, samples, rate=RATE, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path


# Levels


def test_linear_levels_of_16_bits_are_their_upper_bits():
    samples = torch.arange(-(2**15), 2**15)
    levels = Quantizer("linear", 256).encode(samples.float() / 2**15)
    assert torch.equal(levels, (samples + 2**15) >> 8)
    assert int(Quantizer("linear", 256).encode(torch.tensor([1.0]))) == 255


@pytest.mark.parametrize("law", ["linear", "mu-law"])
@pytest.mark.parametrize("levels", [2, 3, 256, 2**16])
def test_a_level_stands_for_a_sample_of_it(law, levels):
    quantizer = Quantizer(law, levels)
    every = torch.arange(levels)
    samples = quantizer.decode(every)
    assert torch.equal(quantizer.encode(samples), every)
    assert samples.abs().max() <= 1
    assert quantizer.silence == int(quantizer.encode(torch.tensor(0.0)))
    if law == "linear":
        x = torch.linspace(-1, 1, 10_001)
        assert (quantizer.decode(quantizer.encode(x)) - x).abs().max() <= 1.0001 / levels


def test_bad_levels_are_refused():
    with pytest.raises(InputError, match="at least 2"):
        Quantizer("linear", 1)


# Pieces


@settings(max_examples=40)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
    st.integers(1, 17),
    st.sampled_from(["mu-law", "linear"]),
)
def test_every_sample_is_predicted_once_from_the_one_before(counts, size, law):
    recordings, quantizer = stored(*counts), Quantizer(law, 256)
    pieces = Pieces(recordings, quantizer, size)
    found = [pieces[number] for number in range(len(pieces))]
    assert pieces.lengths.tolist() == [len(x) for x, _ in found]
    assert all(1 <= len(x) == len(target) <= size for x, target in found)
    expected = [
        quantizer.encode(torch.from_numpy(samples.astype(np.float32) / 2**15))
        for samples in recordings.samples
    ]
    assert torch.equal(torch.cat([target for _, target in found]), torch.cat(expected))
    silence = torch.tensor([quantizer.silence])
    before = torch.cat([torch.cat([silence, levels[:-1]]) for levels in expected])
    x = torch.cat([x for x, _ in found])
    assert torch.equal(x if law == "mu-law" else quantizer.encode(x[:, 0]), before)
    assert len(found) == sum(-(-count // size) for count in counts)


def test_pieces_end_as_sequences_do():
    pieces = Pieces(stored(10), Quantizer("mu-law", 256), 4)
    assert torch.equal(pieces[-1][1], pieces[2][1])
    with pytest.raises(IndexError):
        pieces[3]


@pytest.mark.parametrize("law", ["mu-law", "linear"])
def test_chance_is_what_even_scores_get(law):
    task = audio_task("a", "A", dict.fromkeys(SPLITS, stored(50)), law=law, levels=64, piece=20)
    x, target = task.pair("test", 0)
    assert x.shape == ((20,) if law == "mu-law" else (20, 1))
    losses = task.step_loss(torch.zeros(20, 64), target)
    assert losses.tolist() == pytest.approx([6.0] * 20)
    assert task.chance_level == 6.0
    assert task.steps("train") == task.counted("train").sum() == 50
    assert f"64 {law} levels" in " ".join(task.notes)


def test_the_hash_is_of_the_samples_and_what_is_made_of_them():
    def hashed(*counts, law="mu-law", levels=256, piece=4):
        return Pieces(stored(*counts), Quantizer(law, levels), piece).hash

    others = [hashed(11), hashed(5, 5), hashed(10, law="linear"), hashed(10, levels=64)]
    assert len({hashed(10), hashed(10, piece=5), *others}) == 6
    assert hashed(10) == hashed(10)


def test_splits_of_other_rates_are_refused():
    other = StoredRecordings([noise(5)], 16000)
    with pytest.raises(InputError, match=r"one rate in all splits, got \[8000, 16000\]"):
        audio_task("a", "A", {"train": stored(5), "valid": other, "test": stored(5)})


# Files


@pytest.mark.parametrize("name", ["a.wav", "a b ü.flac"])
def test_files_hold_what_was_written(tmp_path, name):
    samples = noise(5000)
    path = write(tmp_path / name, samples)
    files = open_sounds([path, write(tmp_path / "b.wav", samples[:7])])
    assert (files.rate, files.lengths.tolist()) == (RATE, [5000, 7])
    for start, stop in [(0, 5000), (0, 1), (4999, 5000), (1234, 2345)]:
        np.testing.assert_array_equal(files.read(0, start, stop), samples[start:stop] / 2**15)
    in_memory = StoredRecordings([samples, samples[:7]], RATE)
    for number in (0, 1):
        np.testing.assert_array_equal(files.read(number, 0, 7), in_memory.read(number, 0, 7))


def test_only_the_piece_asked_for_is_read(tmp_path, monkeypatch):
    files = open_sounds([write(tmp_path / "a.wav", noise(50_000))])
    read, taken = soundfile.SoundFile.read, []

    def counting(self, frames, **options):
        taken.append(frames)
        return read(self, frames, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    Pieces(files, Quantizer("mu-law", 256), 100)[400]
    assert taken == [101]


def test_workers_read_the_same_pieces(tmp_path):
    files = open_sounds([write(tmp_path / "a.wav", noise(50))])
    again = pickle.loads(pickle.dumps(Pieces(files, Quantizer("mu-law", 256), 20)))
    assert torch.equal(again[2][1], mu_law_encode(torch.from_numpy(noise(50)[40:] / 2**15)))


def floats(*values):
    return np.array([0.0, 0.5, *values, 0.1], np.float32)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: write(p, noise(0)), "at least one sample, got none"),
        (lambda p: write(p, noise(9), 16000), "8000 samples per second.*got 16000"),
        (lambda p: write(p, noise(9), subtype="PCM_16", format="AIFF"), "WAV or FLAC, got AIFF"),
        (lambda p: write(p, noise(10).reshape(5, 2)), "one channel, got 2"),
        (lambda p: p.write_bytes(b""), "a sound file, whole"),
        (lambda p: p.write_bytes(b"text, no sound" * 50), "a sound file, whole"),
        (
            lambda p: p.write_bytes(write(p, noise(99)).read_bytes()[:120]),
            "242 bytes promised",
        ),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path, make, message):
    good, path = write(tmp_path / "good.wav", noise(9)), tmp_path / "bad ü.wav"
    make(path)
    with pytest.raises(InputError, match=message) as caught:
        open_sounds([good, path], None)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "order", "options"),
    [("RIFF", "<I", {}), ("RIFX", ">I", {"endian": "BIG"}), ("RF64", None, {"format": "RF64"})],
)
def test_a_wav_whose_data_are_cut_off_is_refused(tmp_path, kind, order, options):
    whole = write(tmp_path / "a.wav", noise(4000), **options).read_bytes()
    path = tmp_path / "cut.wav"
    assert whole[:4] == kind.encode()
    for size in (len(whole) - 1, 3000):
        length = struct.pack(order, size - 8) if order else whole[4:8]
        path.write_bytes(whole[:4] + length + whole[8:size])
        with pytest.raises(CorruptFileError, match=f"{len(whole):,} bytes promised, {size:,} th"):
            open_sounds([tmp_path / "a.wav", path])
    # The byte behind an odd number of them may be left out.
    odd = write(path, noise(9), subtype="PCM_U8", **options).read_bytes()
    path.write_bytes(odd[:-1])
    assert open_sounds([path]).lengths.tolist() == [9]


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.5, 1.0001])
def test_samples_out_of_range_are_refused_by_place(tmp_path, value):
    path = write(tmp_path / "a.wav", floats(value), subtype="FLOAT")
    files = open_sounds([path])
    assert files.read(0, 0, 2).tolist() == [0.0, 0.5]
    with pytest.raises(InputError, match=r"a\.wav, sample 2: expected samples in \[-1, 1\], got"):
        files.read(0, 1, 4)


def test_a_truncated_flac_is_refused_when_it_is_read(tmp_path):
    path = write(tmp_path / "a.flac", noise(20_000))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    files = open_sounds([path])
    with pytest.raises(CorruptFileError, match=r"a\.flac.*damaged"):
        files.read(0, 19_000, 19_500)


def test_a_header_that_promises_the_world_is_refused(tmp_path):
    path = write(tmp_path / "a.flac", noise(2000))
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # the upper bits of the number of samples in STREAMINFO
    content[22:26] = struct.pack(">I", 2**32 - 1)
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match="68,719,476,735 samples promised"):
        open_sounds([path])


def test_no_files_and_missing_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="at least one"):
        open_sounds([])
    with pytest.raises(FileNotFoundError):
        open_sounds([tmp_path / "none.wav"])


# A folder of files


@pytest.fixture
def folder(tmp_path):
    """Thirty recordings, some in a folder below."""
    for number in range(30):
        name = f"{'sub/' if number % 3 else ''}{number}.{'WAV' if number % 2 else 'flac'}"
        write(tmp_path / "my sound ü" / name, noise(20 + number, number))
    return tmp_path / "my sound ü"


def splits_of(folder):
    task = sound_folder(folder, piece=16)
    return {s: [path.name for path in task.splits[s].recordings.paths] for s in SPLITS}


def test_a_folder_is_split_by_file_and_a_new_file_moves_no_other(folder):
    before = splits_of(folder)
    assert sorted(itertools.chain(*before.values())) == sorted(p.name for p in folder.rglob("*.*"))
    assert len(before["train"]) > 15
    for number in range(30, 40):
        write(folder / f"{number}.wav", noise(20, number))
    after = splits_of(folder)
    assert all(set(before[split]) <= set(after[split]) for split in SPLITS)
    assert sum(map(len, after.values())) == 40


def test_copies_are_in_one_split_and_names_do_not_count(folder):
    first = sound_folder(folder)
    [renamed] = folder.rglob("4.flac")
    renamed.rename(folder / "renamed.flac")
    assert sound_folder(folder).hashes == first.hashes
    copies = [folder / f"copy {number}.flac" for number in range(5)]
    for copy in copies:
        copy.write_bytes((folder / "renamed.flac").read_bytes())
    found = splits_of(folder)
    there = [split for split in SPLITS if "renamed.flac" in found[split]]
    assert [split for split in SPLITS if "copy 0.flac" in found[split]] == there
    assert sum(map(len, found.values())) == 35


def test_folders_named_after_splits_are_the_splits(tmp_path):
    for seed, split in enumerate(SPLITS):
        write(tmp_path / split / "a.wav", noise(20, seed))
    task = sound_folder(tmp_path, law="linear", levels=16, piece=16)
    assert [task.splits[split].recordings.paths[0].parent.name for split in SPLITS] == [*SPLITS]
    assert "1 train, 1 valid, 1 test" in " ".join(task.notes)
    write(tmp_path / "test" / "b.wav", noise(20, 0))
    with pytest.raises(InputError, match="same file in two splits"):
        sound_folder(tmp_path)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "DEV", "Test.1")])
def test_folders_of_splits_have_several_names(tmp_path, names):
    for seed, name in enumerate(names):
        for number in range(6):
            write(tmp_path / name / f"{number}.wav", noise(20, 10 * seed + number))
    task = sound_folder(tmp_path)
    for split, name in zip(SPLITS, names, strict=True):
        paths = task.splits[split].recordings.paths
        assert {path.parent.name for path in paths} == {name}
        assert len(paths) == 6


def test_links_to_folders_are_followed(tmp_path):
    for seed, split in enumerate(SPLITS):
        write(tmp_path / "there" / split / f"{split}.wav", noise(20, seed))
        (tmp_path / "here" / split).mkdir(parents=True)
        (tmp_path / "here" / split / "link").symlink_to(tmp_path / "there" / split)
        (tmp_path / "there" / split / "round").symlink_to(tmp_path / "here" / split)
    assert splits_of(tmp_path / "here") == {split: [f"{split}.wav"] for split in SPLITS}


def test_some_folders_of_splits_without_the_others_are_refused(tmp_path):
    for number in range(30):
        write(tmp_path / f"{'test' if number % 2 else 'train'}" / f"{number}.wav", noise(9, number))
    with pytest.raises(InputError, match="got train, test and nothing for valid"):
        sound_folder(tmp_path)
    for split in ("train", "test"):
        (tmp_path / split).rename(tmp_path / f"{split}ing")
    assert sum(map(len, splits_of(tmp_path).values())) == 30


def test_a_file_for_each_split_is_that_split(tmp_path):
    for seed, name in enumerate(("train.wav", "dev.wav", "test.WAV")):
        write(tmp_path / name, noise(20, seed))
    named = {"train": ["train.wav"], "valid": ["dev.wav"], "test": ["test.WAV"]}
    assert splits_of(tmp_path) == named
    (tmp_path / "dev.wav").rename(tmp_path / "other.wav")  # a recording may be called test
    for number in range(30):
        write(tmp_path / f"{number}.wav", noise(20, 10 + number))
    assert sum(map(len, splits_of(tmp_path).values())) == 33


def test_pipes_are_no_recordings(folder):
    os.mkfifo(folder / "pipe.wav")
    task = sound_folder(folder)
    assert "Files and empty folders that are not used: 1, the first pipe.wav." in task.notes
    with pytest.raises(InputError, match=r"pipe\.wav: expected a file, got a folder, a pipe or"):
        open_sounds([folder / "pipe.wav"])


def test_a_split_without_files_is_refused_with_the_cure(tmp_path):
    with pytest.raises(InputError, match=r"expected a folder of \.wav or \.flac files"):
        sound_folder(tmp_path / "none")
    write(tmp_path / "a.wav", noise(20))
    with pytest.raises(InputError, match=r"for each split.*folders train, valid, test"):
        sound_folder(tmp_path)


# Writing, and drawing


@pytest.mark.parametrize("count", [1, 5000])
def test_what_is_written_is_read_back(tmp_path, count):
    samples = torch.from_numpy(noise(count)).float() / 2**15
    write_wav(tmp_path / "new" / "a ü.wav", samples, RATE)
    found, rate = soundfile.read(tmp_path / "new" / "a ü.wav", dtype="float32")
    assert rate == RATE
    np.testing.assert_array_equal(found, samples.numpy())
    assert soundfile.info(tmp_path / "new" / "a ü.wav").subtype == "PCM_16"


def test_the_ends_of_the_range_are_written(tmp_path):
    write_wav(tmp_path / "a.wav", torch.tensor([-1.0, 1.0, 0.3 / 2**15]), RATE)
    found, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert found.tolist() == [-(2**15), 2**15 - 1, 0]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (torch.zeros(0), r"\[time >= 1\]"),
        (torch.tensor([0.0, 1.5]), "got one of 1.5"),
        (torch.tensor([math.nan]), "finite"),
    ],
)
def test_what_is_no_sound_is_not_written(tmp_path, samples, message):
    (tmp_path / "a.wav").write_text("old")
    with pytest.raises(InputError, match=message):
        write_wav(tmp_path / "a.wav", samples, RATE)
    assert (tmp_path / "a.wav").read_text() == "old"


@pytest.mark.parametrize("law", ["mu-law", "linear"])
def test_sound_is_drawn_from_a_model_sample_by_sample(law):
    task = audio_task("a", "A", dict.fromkeys(SPLITS, stored(50)), law=law, levels=16)
    torch.manual_seed(0)
    options = {"in_features": task.in_features, "out_features": 16, "hidden": 8}
    model = build("gru", **options, tokens=task.tokens)
    with torch.no_grad():  # large weights, so that what is read decides what is drawn
        for weight in model.parameters():
            weight *= 20
    drawn, rate = generate_sound(model, task, 0.01, torch.Generator().manual_seed(1))
    again, _ = generate_sound(model, task, 0.01, torch.Generator().manual_seed(1))
    other, _ = generate_sound(model, task, 0.01, torch.Generator().manual_seed(2))
    assert (rate, len(drawn)) == (RATE, 80)
    assert torch.equal(drawn, again)
    assert not torch.equal(drawn, other)

    quantizer, generator, x = Quantizer(law, 16), torch.Generator().manual_seed(1), None
    level, state, expected = torch.tensor([quantizer.silence]), None, []
    with torch.no_grad():
        for _ in range(80):
            x = level if law == "mu-law" else quantizer.decode(level)[:, None]
            scores, state = model(x[None], state)
            level = torch.multinomial(scores[0].softmax(-1), 1, generator=generator)[0]
            expected.append(float(quantizer.decode(level)))
    assert drawn.tolist() == pytest.approx(expected)


def test_sound_is_drawn_for_raw_audio_and_models_of_it_only():
    task = audio_task("a", "A", dict.fromkeys(SPLITS, stored(50)))
    model = build("gru", in_features=256, out_features=256, hidden=4, tokens=True)
    with pytest.raises(InputError, match=r"expected a task of raw audio.*'parity'"):
        generate_sound(model, load_task("parity"), 1.0)
    with pytest.raises(InputError, match=r"at least 0\.000125 seconds"):
        generate_sound(model, task, 1e-6)
    for options in ({"in_features": 1}, {"in_features": 9, "tokens": True}):
        wrong = build("gru", **{"out_features": 256, "hidden": 4} | options)
        with pytest.raises(InputError, match=r"256, 256\), got .*\((False, 1|True, 9), 256"):
            generate_sound(wrong, task, 1.0)
    assert len(generate_sound(model, task.part("train", 10), 0.001)[0]) == 8


# Spoken digits


def spoken(**changes):
    """Arrays laid out as those of fsdd.npz: two digits, one speaker, 12 recordings of each."""
    lengths = np.arange(70, 94) * 3
    offsets = np.concatenate([[0], lengths.cumsum()])
    arrays = {
        "audio": noise(int(offsets[-1])),
        "offsets": offsets,
        "digit": np.repeat(np.array([3, 7], np.uint8), 12),
        "index": np.tile(np.arange(12, dtype=np.uint8), 2),
        "speaker": np.zeros(24, np.uint8),
        "speakers": np.array(["theo"]),
        "rate": np.int32(RATE),
    }
    return {name: array for name, array in (arrays | changes).items() if array is not None}


@pytest.fixture
def digits(tmp_path):
    (tmp_path / "fsdd").mkdir()
    np.savez_compressed(tmp_path / "fsdd" / "fsdd.npz", **spoken())
    return tmp_path


def test_spoken_digits_are_the_recordings(digits):
    task, arrays = load_task("fsdd", digits), spoken()
    at = arrays["offsets"]
    splits = {split: task.splits[split].recordings.samples for split in SPLITS}
    assert {split: len(samples) for split, samples in splits.items()} == {
        "train": 4,
        "valid": 10,
        "test": 10,
    }
    np.testing.assert_array_equal(splits["test"][5], arrays["audio"][at[12] : at[13]])
    np.testing.assert_array_equal(splits["valid"][0], arrays["audio"][at[5] : at[6]])
    np.testing.assert_array_equal(splits["train"][3], arrays["audio"][at[23] : at[24]])
    assert task.splits["test"].recordings.rate == RATE
    assert sum(task.steps(split) for split in SPLITS) == len(arrays["audio"])


def test_spoken_digits_in_frames_hold_every_sample(digits):
    task, arrays = load_task("fsdd-digits", digits), spoken()
    x, target = task.splits["train"][2]  # recording 10 of the digit 7
    samples = arrays["audio"][arrays["offsets"][22] : arrays["offsets"][23]]
    assert target.tolist() == [IGNORED] * (len(x) - 1) + [7]
    assert len(x) == -(-len(samples) // 80)
    np.testing.assert_array_equal(x.flatten()[: len(samples)], samples / 2**15)
    assert not x.flatten()[len(samples) :].any()
    assert task.chance_level == pytest.approx(math.log(10))
    assert "10 ms" in " ".join(task.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio": None}, "audio"),
        ({"audio": noise(6000).astype(np.int32)}, "int32.*int16"),
        ({"audio": noise(10)}, "offsets do not rise"),
        ({"offsets": np.arange(24)}, r"offsets of int64 \[24\] does not fit"),
        ({"offsets": spoken()["offsets"][::-1]}, "offsets do not rise"),
        ({"offsets": spoken()["offsets"].astype(float)}, "offsets of float64"),
        ({"offsets": np.concatenate([[0, 0], spoken()["offsets"][2:]])}, "offsets do not rise"),
        ({"digit": np.full(24, 10, np.uint8)}, "digits from 10 to 10"),
        ({"digit": np.full((24, 1), 1, np.uint8)}, "does not fit"),
        ({"index": np.zeros(23, np.uint8)}, "index of uint8"),
        ({"index": np.zeros(24, np.float32)}, "index of float32"),
        ({"rate": np.int32(0)}, "a rate of 0"),
        ({"audio": np.array([{}], dtype=object)}, "allow_pickle|pickle"),
    ],
)
def test_damaged_recordings_are_refused_by_name(tmp_path, changes, message):
    path = tmp_path / "fsdd.npz"
    np.savez(path, **spoken(**changes))
    with pytest.raises(CorruptFileError, match=message) as caught:
        load_task("fsdd", tmp_path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_recordings_cut_off_or_too_large_are_refused(digits, monkeypatch):
    path = digits / "fsdd" / "fsdd.npz"
    whole = path.read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(CorruptFileError, match="whole"):
            load_task("fsdd-digits", digits)
    path.write_bytes(whole)
    monkeypatch.setattr(fsdd_module, "LARGEST", 5000)
    with pytest.raises(CorruptFileError, match="once inflated, at most 5,000"):
        load_task("fsdd", digits)
