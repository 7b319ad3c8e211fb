"""The chorales that come with the package, the `.mat` reader, and the hash of a split."""

import hashlib
import importlib.util
import io
import itertools
import struct
import zipfile
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from unrecur._check import CorruptFileError, InputError
from unrecur.data import matlab, piano_roll
from unrecur.data.hashing import split_hash
from unrecur.data.piano_roll import read_chorales, read_mat

FILE = resources.files("unrecur.data").joinpath("chorales.npz")
SHA256 = "d6dc930723f8e3f813986c187d487c1515689990a96479c521a195a478ed92d4"
HASHES = {
    "train": "64b68aebe98649ae8562b89227e9eb58ad11b0f0608afabccbe650ff6dbbb838",
    "valid": "de95b93c22d17cd72824ea269f5ba53454044c42a269532183a04a833f9e3f3e",
    "test": "57a22c55f39e5f62e4d20ddfb032285eeb344c150e1b5a5e5cfb69bc85147d98",
}
SIZES = {"train": (252, 13938), "valid": (56, 2919), "test": (55, 2911)}
KEYS = ("traindata", "validdata", "testdata")
BUILDER = Path(__file__).parents[2] / "tools" / "build_chorales.py"


@pytest.fixture(scope="module")
def chorales():
    return read_chorales()


@pytest.fixture(scope="module")
def arrays():
    with np.load(io.BytesIO(FILE.read_bytes()), allow_pickle=False) as file:
        return dict(file)


def frames_of(rolls):
    return np.concatenate(rolls)


def lowered(roll):
    """The roll moved down to its lowest key: the same for all its transpositions."""
    return np.packbits(np.roll(roll, -int(roll.any(0).argmax()), axis=1)).tobytes()


def melody(roll):
    """The intervals of the upper voice, without repeated notes."""
    top = [int(frame.nonzero()[0][-1]) for frame in roll if frame.any()]
    return np.diff([pitch for pitch, _ in itertools.groupby(top)]).tolist()


# The file in the package


def test_the_file_is_small_and_pinned():
    content = FILE.read_bytes()
    assert len(content) < 500_000
    assert hashlib.sha256(content).hexdigest() == SHA256


def test_the_file_holds_plain_arrays_that_fit_together(arrays):
    kinds = {name: (array.dtype.kind, array.ndim) for name, array in arrays.items()}
    assert kinds == {"rolls": ("u", 2), "offsets": ("i", 1), "split": ("u", 1), "names": ("S", 1)}
    assert arrays["rolls"].dtype == arrays["split"].dtype == np.uint8
    assert arrays["offsets"].dtype == np.int32
    assert arrays["rolls"].shape[1] == 11
    assert len(arrays["names"]) == len(arrays["split"]) == len(arrays["offsets"]) - 1
    assert arrays["offsets"][0] == 0
    assert arrays["offsets"][-1] == len(arrays["rolls"])
    assert np.diff(arrays["offsets"]).min() >= 8


def test_names_are_numbers_of_the_catalogue_each_once(arrays):
    names = [name.decode() for name in arrays["names"]]
    assert len(set(names)) == len(names)
    assert all(name.startswith("bwv") for name in names)
    assert {"bwv66.6", "bwv253", "bwv244.62"} <= set(names)


def test_zip_entries_carry_no_time_of_the_build():
    with zipfile.ZipFile(io.BytesIO(FILE.read_bytes())) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


# What is read from it


def test_splits_have_their_sizes(chorales):
    assert {k: (len(v), sum(map(len, v))) for k, v in chorales.items()} == SIZES
    frames = sum(count for _, count in SIZES.values())
    assert abs(SIZES["train"][1] / frames - 0.70) < 0.02
    assert abs(SIZES["valid"][1] / frames - 0.15) < 0.02


def test_splits_have_their_hashes(chorales):
    assert {split: split_hash(rolls) for split, rolls in chorales.items()} == HASHES


def test_rolls_are_zeros_and_ones_of_88_keys(chorales):
    for roll in itertools.chain(*chorales.values()):
        assert roll.dtype == np.uint8
        assert roll.ndim == 2
        assert roll.shape[1] == 88
        assert set(np.unique(roll)) == {0, 1}


def test_each_call_gives_arrays_of_its_own(chorales):
    first = read_chorales()
    first["train"][0][:] = 1
    assert split_hash(read_chorales()["train"]) == HASHES["train"]


def test_four_voices_sound(chorales):
    for rolls in chorales.values():
        voices = frames_of(rolls).sum(1)
        assert voices.max() == 4
        assert (voices == 4).mean() > 0.85  # 3 where two voices meet on one key
        assert (voices == 0).mean() < 0.02  # rests between lines


def test_voices_stay_in_the_range_of_singers(chorales):
    for roll in itertools.chain(*chorales.values()):
        sounding = roll[roll.any(1)]
        top = 21 + 87 - sounding[:, ::-1].argmax(1)
        bottom = 21 + sounding.argmax(1)
        assert bottom.min() >= 36  # C2
        assert top.max() <= 81  # A5
        assert 60 <= np.median(top) <= 76
        assert 45 <= np.median(bottom) <= 62


def test_a_chorale_that_everyone_knows_starts_as_written(arrays):
    # BWV 66.6 starts on A major: soprano C#5, alto E4, tenor and bass together on A3.
    index = arrays["names"].tolist().index(b"bwv66.6")
    frame = np.unpackbits(arrays["rolls"][arrays["offsets"][index]])
    assert (21 + frame.nonzero()[0]).tolist() == [57, 64, 73]


def test_no_roll_appears_twice(chorales):
    rolls = [roll.tobytes() for roll in itertools.chain(*chorales.values())]
    assert len(set(rolls)) == len(rolls)


def test_no_roll_is_a_transposition_of_one_in_another_split(chorales):
    seen = [{lowered(roll) for roll in rolls} for rolls in chorales.values()]
    for one, other in itertools.combinations(seen, 2):
        assert not one & other


def test_no_tune_is_in_two_splits(chorales):
    """Eleven intervals of the upper voice in a row, in any key, are in one split only."""
    seen = []
    for rolls in chorales.values():
        lines = [melody(roll) for roll in rolls]
        seen.append({tuple(m[i : i + 11]) for m in lines for i in range(len(m) - 10)})
    for one, other in itertools.combinations(seen, 2):
        assert not one & other


def test_no_passage_is_in_two_splits(chorales):
    """Ten frames in a row, in any key, are in one split only."""
    seen = [
        {lowered(roll[i : i + 10]) for roll in rolls for i in range(len(roll) - 9)}
        for rolls in chorales.values()
    ]
    for one, other in itertools.combinations(seen, 2):
        assert not one & other


# A damaged file


def save(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def damaged(arrays):
    """Each way in which the file can be wrong, by name."""
    whole = FILE.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 0xFF
    objects = np.array([{}], dtype=object)
    return {
        "empty": b"",
        "text": b"not an archive",
        "truncated": whole[: len(whole) // 2],
        "one bit": bytes(changed),
        "pickle": save(**(arrays | {"rolls": objects})),
        "missing": save(**{k: v for k, v in arrays.items() if k != "split"}),
        "rolls of 80 keys": save(**(arrays | {"rolls": arrays["rolls"][:, :10]})),
        "fewer frames": save(**(arrays | {"rolls": arrays["rolls"][:-1]})),
        "fewer splits": save(**(arrays | {"split": arrays["split"][:-1]})),
        "unknown split": save(**(arrays | {"split": arrays["split"] + 1})),
        "no test": save(**(arrays | {"split": arrays["split"] % 2})),
        "backwards": save(**(arrays | {"offsets": arrays["offsets"][::-1]})),
        "no chorales": save(rolls=np.zeros((0, 11), np.uint8), offsets=[0], split=[], names=[]),
    }


def test_a_damaged_file_is_refused_with_the_cure(arrays, monkeypatch, tmp_path):
    monkeypatch.setattr(piano_roll.resources, "files", lambda package: tmp_path)
    for name, content in damaged(arrays).items():
        (tmp_path / "chorales.npz").write_bytes(content)
        with pytest.raises(CorruptFileError, match=r"chorales\.npz.*Reinstall") as caught:
            read_chorales()
        assert "\n" not in str(caught.value), name


def test_a_missing_file_is_refused_with_the_cure(monkeypatch, tmp_path):
    monkeypatch.setattr(piano_roll.resources, "files", lambda package: tmp_path)
    with pytest.raises(CorruptFileError, match="Reinstall"):
        read_chorales()


# The classical .mat files


def roll_of(seed, time):
    return np.random.default_rng(seed).integers(0, 2, (time, 88)).astype(np.uint8)


def cell(*rolls):
    array = np.empty((1, len(rolls)), dtype=object)
    for index, roll in enumerate(rolls):
        array[0, index] = roll
    return array


ROLLS = [roll_of(seed, time) for seed, time in enumerate((2, 3, 7, 2))]
CONTENT = {
    "traindata": cell(*ROLLS[:2]),
    "validdata": cell(ROLLS[2]),
    "testdata": cell(ROLLS[3]),
}


def write(path, content=CONTENT, **options):
    scipy.io.savemat(path, content, **options)
    return path


@pytest.mark.parametrize("do_compression", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.float32, np.int16, bool])
def test_mat_round_trip(tmp_path, do_compression, dtype):
    content = {
        key: cell(*(roll.astype(dtype) for roll in value[0])) for key, value in CONTENT.items()
    }
    rolls = read_mat(write(tmp_path / "a.mat", content, do_compression=do_compression))
    assert list(rolls) == ["train", "valid", "test"]
    assert all(roll.dtype == np.uint8 for roll in itertools.chain(*rolls.values()))
    assert [len(rolls[split]) for split in rolls] == [2, 1, 1]
    assert split_hash(list(itertools.chain(*rolls.values()))) == split_hash(ROLLS)


def test_mat_cells_in_a_column_and_other_variables_are_fine(tmp_path):
    column = {key: value.T for key, value in CONTENT.items()}
    rolls = read_mat(write(tmp_path / "a.mat", column | {"note": "text", "options": {"a": 1}}))
    assert split_hash(rolls["train"]) == split_hash(ROLLS[:2])


def element(order, kind, content):
    padding = bytes(-len(content) % 8)
    return struct.pack(f"{order}II", kind, len(content)) + content + padding


def matrix(order, number, shape, name, *content):
    flags = element(order, 6, struct.pack(f"{order}II", number, 0))
    sizes = element(order, 5, struct.pack(f"{order}{len(shape)}i", *shape))
    return element(order, 14, flags + sizes + element(order, 1, name) + b"".join(content))


@pytest.mark.parametrize(("order", "mark"), [("<", b"IM"), (">", b"MI")])
def test_mat_of_either_byte_order(tmp_path, order, mark):
    def double(roll):
        return element(order, 9, roll.T.astype(f"{order}f8").tobytes())

    variables = [
        matrix(order, 1, (1, 1), name.encode(), matrix(order, 6, roll.shape, b"", double(roll)))
        for name, roll in zip(KEYS, ROLLS, strict=False)
    ]
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(126) + mark + b"".join(variables))
    rolls = read_mat(path)
    assert split_hash(list(itertools.chain(*rolls.values()))) == split_hash(ROLLS[:3])


def changed(entry, value):
    roll = ROLLS[2].astype(np.float64)
    roll[entry] = value
    return roll


@pytest.mark.parametrize(
    ("roll", "message"),
    [
        (np.zeros((3, 87)), r"validdata, sequence 1: .*88\], got \[3, 87\]"),
        (np.zeros((88, 3)), r"88\], got \[88, 3\]"),
        (np.zeros((1, 88)), r"time >= 2.*got \[1, 88\]"),
        (np.zeros((0, 88)), r"got \[0, 88\]"),
        (np.zeros((0, 0)), r"got \[0, 0\]"),
        (np.zeros((2, 3, 88)), r"got \[2, 3, 88\]"),
        (changed((3, 4), 2), "zeros and ones, got 2"),
        (changed((3, 4), -1), "zeros and ones, got -1"),
        (changed((3, 4), 0.5), r"zeros and ones, got 0\.5"),
        (changed((3, 4), np.nan), "zeros and ones, got nan"),
        (changed((3, 4), np.inf), "zeros and ones, got inf"),
    ],
)
def test_mat_malformed_rolls_are_refused_by_name(tmp_path, roll, message):
    path = write(tmp_path / "a.mat", CONTENT | {"validdata": cell(ROLLS[2], roll)})
    with pytest.raises(InputError, match=message):
        read_mat(path)


@pytest.mark.parametrize("key", KEYS)
def test_mat_missing_key_is_named(tmp_path, key):
    path = write(tmp_path / "a.mat", {k: v for k, v in CONTENT.items() if k != key})
    with pytest.raises(InputError, match=f"{key}: .* missing"):
        read_mat(path)


@pytest.mark.parametrize(
    "value", [ROLLS[0], np.zeros((0, 0)), np.empty((1, 0), dtype=object), np.float64(1)]
)
def test_mat_empty_or_no_cells_are_refused(tmp_path, value):
    path = write(tmp_path / "a.mat", CONTENT | {"testdata": value})
    with pytest.raises(InputError, match=r"is no cell array|testdata: expected a cell array"):
        read_mat(path)


@pytest.mark.parametrize(
    "value",
    [
        "text",
        {"a": ROLLS[0]},
        scipy.sparse.csc_array(ROLLS[0].astype(float)),
        cell("text"),
        cell({"a": ROLLS[0]}),
        cell(cell(ROLLS[0])),
        cell(ROLLS[0] + 0j),
        cell(scipy.sparse.csc_array(ROLLS[0].astype(float))),
    ],
)
def test_mat_other_contents_are_refused(tmp_path, value):
    with pytest.raises(CorruptFileError, match=r"no full matrix of real numbers|no cell array"):
        read_mat(write(tmp_path / "a.mat", CONTENT | {"testdata": value}))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"MATLAB 5.0 MAT-file",
        b"traindata, validdata, testdata\n1, 0, 1\n",
        b"\x89HDF\r\n\x1a\n" + bytes(600),
        b"\x80\x04\x95" + bytes(200),
        bytes(np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8)),
    ],
)
def test_mat_other_formats_are_refused(tmp_path, content):
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"expected a MATLAB 5 file.*Download") as caught:
        read_mat(path)
    assert "\n" not in str(caught.value)


def test_mat_of_version_4_is_refused(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"traindata": ROLLS[0].astype(float)}, format="4")
    with pytest.raises(CorruptFileError):
        read_mat(path)


@pytest.mark.parametrize("do_compression", [True, False])
def test_mat_truncated_anywhere_is_refused(tmp_path, do_compression):
    path = write(tmp_path / "a.mat", do_compression=do_compression)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_mat(path)


@pytest.mark.parametrize("do_compression", [True, False])
@pytest.mark.parametrize("value", [0x01, 0xFF])
@pytest.mark.filterwarnings("ignore")
def test_mat_with_any_byte_changed_gives_rolls_or_a_clear_error(tmp_path, do_compression, value):
    path = write(tmp_path / "a.mat", do_compression=do_compression)
    whole = path.read_bytes()
    for position in range(len(whole)):
        if 200 < position < len(whole) - 200 and position % 5:
            continue  # mostly the content of the rolls
        path.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
        try:
            rolls = read_mat(path)
        except InputError:
            continue
        assert all(roll.shape[1] == 88 for roll in itertools.chain(*rolls.values()))


def test_mat_claims_of_cells_are_checked_before_anything_is_allocated(tmp_path):
    path = write(tmp_path / "a.mat", do_compression=False)
    content = bytearray(path.read_bytes())
    assert struct.unpack_from("<2i", content, 160) == (1, 2)  # the shape of traindata
    content[160:168] = struct.pack("<2i", 1, 2**31 - 1)
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match="2147483647 cells claimed, 2 there"):
        read_mat(path)


@pytest.mark.parametrize(
    "claim", [(2**31 - 1, 88), (-1, 88), (2, -1), (2, 87), (2**31 - 1, 2**31 - 1)]
)
def test_mat_claims_of_frames_are_checked_before_anything_is_allocated(tmp_path, claim):
    path = write(tmp_path / "a.mat", do_compression=False)
    content = path.read_bytes()
    place = content.index(struct.pack("<2i", 2, 88))  # the shape of the first roll
    path.write_bytes(content[:place] + struct.pack("<2i", *claim) + content[place + 8 :])
    with pytest.raises(CorruptFileError, match=r"cannot reshape|too (big|large)|exceed|dimension"):
        read_mat(path)


def test_mat_that_inflates_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    bomb = CONTENT | {"traindata": cell(np.zeros((20_000, 88), np.uint8))}
    path = write(tmp_path / "a.mat", bomb, do_compression=True)
    assert path.stat().st_size < 10_000
    assert len(read_mat(path)["train"][0]) == 20_000
    monkeypatch.setattr(matlab, "LARGEST_CONTENT", 1_000_000)
    with pytest.raises(CorruptFileError, match="more than 1000000 bytes once inflated"):
        read_mat(path)


def test_mat_limit_counts_all_variables_together(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mat", do_compression=True)
    total = write(tmp_path / "b.mat", do_compression=False).stat().st_size - 128
    monkeypatch.setattr(matlab, "LARGEST_CONTENT", total)
    read_mat(path)
    monkeypatch.setattr(matlab, "LARGEST_CONTENT", total - 1)
    with pytest.raises(CorruptFileError, match="once inflated"):
        read_mat(path)


def test_mat_too_large_on_disk_is_not_read(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mat")
    monkeypatch.setattr(piano_roll, "LARGEST_FILE", path.stat().st_size - 1)
    with pytest.raises(CorruptFileError, match="at most"):
        read_mat(path)


def test_mat_with_too_many_sequences_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(matlab, "MOST_ELEMENTS", 50)
    rolls = [roll_of(0, 2)] * 60
    with pytest.raises(CorruptFileError, match="more than 50"):
        read_mat(write(tmp_path / "a.mat", CONTENT | {"traindata": cell(*rolls)}))


def test_mat_that_is_not_there_says_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_mat(tmp_path / "none.mat")


def test_mat_agrees_with_scipy(tmp_path):
    path = write(tmp_path / "a.mat")
    theirs, ours = scipy.io.loadmat(path), read_mat(path)
    for key, rolls in zip(KEYS, ours.values(), strict=True):
        for left, right in zip(theirs[key].flat, rolls, strict=True):
            np.testing.assert_array_equal(left, right)


# The hash

rolls_strategy = st.lists(
    st.integers(1, 5).flatmap(
        lambda time: st.lists(
            st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=time, max_size=time
        ).map(lambda rows: np.array(rows, dtype=np.uint8))
    ),
    min_size=1,
    max_size=4,
)


@given(rolls_strategy, st.data())
def test_hash_changes_with_any_entry(rolls, data):
    index = data.draw(st.integers(0, len(rolls) - 1))
    entry = tuple(data.draw(st.integers(0, size - 1)) for size in rolls[index].shape)
    other = [roll.copy() for roll in rolls]
    other[index][entry] ^= 1
    assert split_hash(other) != split_hash(rolls)


@given(rolls_strategy, st.data())
def test_hash_changes_with_any_boundary(rolls, data):
    frames = np.concatenate(rolls)
    cuts = data.draw(
        st.sets(st.integers(1, len(frames) - 1)) if len(frames) > 1 else st.just(set())
    )
    other = np.split(frames, sorted(cuts))
    same = [len(roll) for roll in other] == [len(roll) for roll in rolls]
    assert (split_hash(other) == split_hash(rolls)) == same


@given(rolls_strategy, st.randoms())
def test_hash_changes_with_the_order(rolls, random):
    other = list(rolls)
    random.shuffle(other)
    same = all(np.array_equal(a, b) for a, b in zip(rolls, other, strict=True))
    assert (split_hash(other) == split_hash(rolls)) == same


@given(rolls_strategy)
def test_hash_depends_on_content_alone(rolls):
    assert split_hash([np.asfortranarray(roll) for roll in rolls]) == split_hash(rolls)
    assert split_hash([roll[::-1].copy()[::-1] for roll in rolls]) == split_hash(rolls)
    assert split_hash([*rolls, rolls[0]]) != split_hash(rolls)
    assert split_hash([*rolls, rolls[0][:0]]) != split_hash(rolls)


def test_hash_is_pinned():
    assert split_hash([]) == hashlib.sha256(b"").hexdigest()
    expected = hashlib.sha256(b"|u1(1, 2);\x01\x00|u1(1, 2);\x00\x00").hexdigest()
    assert split_hash([np.array([[1, 0]], np.uint8), np.zeros((1, 2), np.uint8)]) == expected


# The pure parts of the script that builds the file


@pytest.fixture(scope="module")
def builder():
    if not BUILDER.is_file():
        pytest.skip("the source distribution has no tools")
    spec = importlib.util.spec_from_file_location("build_chorales", BUILDER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_builder_samples_what_sounds_at_each_quarter(builder):
    held = [(0.0, 2.5, (60,)), (2.5, 0.5, (62,)), (3.0, 1.0, (64,))]
    short = [(0.5, 0.25, (40,)), (1.0, 0.25, (41,)), (1.25, 0.75, (42,))]
    roll = builder.sample([held, short])
    assert [(21 + frame.nonzero()[0]).tolist() for frame in roll] == [[60], [41, 60], [60], [64]]


def test_builder_measures_melodies(builder):
    assert builder.edit_distance("kitten", "sitting") == 3
    assert builder.edit_distance("", "ab") == 2
    roll = np.zeros((5, 88), np.uint8)
    for time, pitch in enumerate((40, 40, 42, 47, 40)):
        roll[time, [20, pitch]] = 1
    assert builder.intervals(roll) == (2, 5, -7)
    assert builder.intervals(np.roll(roll, 3, axis=1)) == (2, 5, -7)
    assert builder.canonical(np.roll(roll, 3, axis=1)) == builder.canonical(roll)
    assert builder.normalize("Ach, Gott & Süß' Herr") == "achgottsussherr"


def test_builder_groups_and_splits_whole_groups(builder):
    assert builder.connected(5, [(0, 3), (3, 4)]) == [[0, 3, 4], [1], [2]]
    chorales = [builder.Chorale(f"bwv{i}", frozenset(), np.ones((10, 88))) for i in range(200)]
    groups = [list(range(i, i + 2)) for i in range(0, 200, 2)]
    split = builder.assign_splits(chorales, groups)
    assert np.bincount(split).tolist() == [140, 30, 30]
    assert all(split[a] == split[b] for a, b in groups)


def test_builder_drops_doubles_and_keeps_their_titles(builder):
    roll = np.ones((2, 88), np.uint8)
    kept = builder.drop_doubles(
        [
            builder.Chorale("bwv10.7", frozenset({"a"}), roll),
            builder.Chorale("bwv2.6", frozenset({"b"}), roll.copy()),
        ]
    )
    assert [(chorale.name, chorale.titles) for chorale in kept] == [("bwv2.6", {"a", "b"})]


def test_builder_writes_the_file_it_was_given_back(builder, arrays, chorales):
    rolls = np.split(np.unpackbits(arrays["rolls"], axis=1), arrays["offsets"][1:-1])
    found = [
        builder.Chorale(name.decode(), frozenset(), roll)
        for name, roll in zip(arrays["names"], rolls, strict=True)
    ]
    assert builder.encode(found, arrays["split"]) == FILE.read_bytes()
