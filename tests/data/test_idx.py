"""IDX files, and MNIST made of them."""

import gzip
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from unrecur import CorruptFileError, InputError, load_task
from unrecur.data import idx, images
from unrecur.data.idx import read_idx
from unrecur.data.images import permutation
from unrecur.data.losses import IGNORED

KINDS = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


def encode(array):
    """The array as IDX."""
    order = next(kind for kind in KINDS if np.dtype(kind) == array.dtype)
    head = struct.pack(f">HBB{array.ndim}I", 0, KINDS[order], array.ndim, *array.shape)
    return head + array.tobytes()


def write(path, content):
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@settings(max_examples=50)
@given(
    st.sampled_from(sorted(KINDS)).flatmap(
        lambda kind: arrays.arrays(kind, arrays.array_shapes(min_side=0, max_dims=4, max_side=4))
    ),
    st.sampled_from(["a", "a b ü.gz"]),
)
def test_round_trip(tmp_path_factory, array, name):
    path = write(tmp_path_factory.mktemp("idx") / name, encode(array))
    found = read_idx(path)
    assert found.shape == array.shape
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, array)


GOOD = encode(np.arange(24, dtype="u1").reshape(2, 3, 4))


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got an empty file"),
        (b"\0\0", "expected an IDX file.*got 00 00"),
        (b"\x89PNG" + bytes(60), "got 89 50 4e 47"),
        (b"\0\0\x0a\x01" + bytes(8), "kind of its numbers"),
        (b"\0\0\x08\x00\x05", "expected 1 to 8 sizes.*got 0"),
        (b"\0\0\x08\xff" + bytes(2000), "got 255"),
        (GOOD[:9], "got 3 in a file of 9 bytes"),
        (GOOD[:-1], r"expected 40 bytes for an array \[2, 3, 4\] of uint8, got 39"),
        (GOOD + b"\0", "expected 40 bytes.*got 41"),
        (struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3) + bytes(9), "got 25"),
    ],
)
def test_what_is_no_idx_file_is_refused_by_name(tmp_path, suffix, content, message):
    path = write(tmp_path / f"train ü{suffix}", content)
    with pytest.raises(CorruptFileError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_every_truncated_gzip_is_refused(tmp_path):
    path = write(tmp_path / "a.gz", GOOD)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptFileError):
            read_idx(path)


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "a.gz", encode(np.zeros((100, 1000), "u1")))
    assert path.stat().st_size < 400
    monkeypatch.setattr(idx, "LARGEST", 100_011)
    with pytest.raises(InputError, match="at most 100,011 bytes"):
        read_idx(path)
    monkeypatch.setattr(idx, "LARGEST", 100_012)
    assert read_idx(path).shape == (100, 1000)


# MNIST


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Four files with 12 images to train and validate, 3 to test on."""
    monkeypatch.setattr(images, "VALIDATION", 5)
    random = np.random.default_rng(0)
    place = tmp_path / "mnist"
    place.mkdir()
    for part, count in {"train": 12, "t10k": 3}.items():
        pixels = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        write(place / f"{part}-images-idx3-ubyte.gz", encode(pixels))
        labels = random.integers(0, 10, count, dtype=np.uint8)
        write(place / f"{part}-labels-idx1-ubyte", encode(labels))
    return tmp_path


def files(folder, part):
    place = folder / "mnist"
    pixels = read_idx(place / f"{part}-images-idx3-ubyte.gz")
    return pixels, read_idx(place / f"{part}-labels-idx1-ubyte")


@pytest.mark.parametrize(
    ("name", "shape"), [("smnist", (784, 1)), ("pmnist", (784, 1)), ("mnist-rows", (28, 28))]
)
@pytest.mark.parametrize("below", ["", "mnist"])
def test_mnist_is_the_files(folder, name, shape, below):
    task = load_task(name, folder / below)
    assert {split: len(each) for split, each in task.splits.items()} == {
        "train": 7,
        "valid": 5,
        "test": 3,
    }
    pixels, labels = files(folder, "train")
    expected = {"train": slice(0, 7), "valid": slice(7, 12)}
    for split, part in expected.items():
        for number, (image, label) in enumerate(zip(pixels[part], labels[part], strict=True)):
            x, target = task.pair(split, number)
            assert tuple(x.shape) == shape
            assert target.tolist() == [IGNORED] * (shape[0] - 1) + [label]
            flat = image.reshape(-1)
            by_hand = [flat[i] / 255 for i in (permutation() if name == "pmnist" else range(784))]
            assert x.flatten().tolist() == pytest.approx(by_hand)
    assert task.counted("test").tolist() == [1, 1, 1]
    assert task.lengths("test").tolist() == [shape[0]] * 3
    assert task.chance_level == pytest.approx(math.log(10))
    assert "last 5 of the 12 training images" in " ".join(task.notes)


def test_hashes_tell_the_orders_apart(folder):
    hashes = [load_task(name, folder).hashes["test"] for name in ("smnist", "pmnist", "mnist-rows")]
    assert len(set(hashes)) == 3
    assert load_task("pmnist", folder).hashes["test"] == hashes[1]


def test_the_permutation_is_one_and_pinned():
    order = permutation()
    assert sorted(order.tolist()) == list(range(784))
    assert order[:6].tolist() == [318, 2, 606, 446, 758, 13]


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        ("train-images-idx3-ubyte.gz", np.zeros((12, 28, 27), "u1"), r"got \[12, 28, 27\]"),
        ("train-images-idx3-ubyte.gz", np.zeros((12, 784), "u1"), r"got \[12, 784\]"),
        ("train-images-idx3-ubyte.gz", np.zeros((12, 28, 28), ">f4"), "of float32"),
        ("train-images-idx3-ubyte.gz", np.zeros((5, 28, 28), "u1"), "more than 5 images, got 5"),
        ("t10k-images-idx3-ubyte.gz", np.zeros((0, 28, 28), "u1"), "more than 0 images"),
        ("train-labels-idx1-ubyte", np.zeros(11, "u1"), r"expected 12 classes.*got \[11\]"),
        ("train-labels-idx1-ubyte", np.zeros(0, "u1"), r"expected 12 classes.*got \[0\]"),
        ("train-labels-idx1-ubyte", np.full(12, 10, "u1"), "up to 10"),
        ("t10k-labels-idx1-ubyte", np.zeros(3, ">i4"), "of int32"),
    ],
)
def test_files_that_do_not_fit_are_refused_by_name(folder, file, array, message):
    write(folder / "mnist" / file, encode(array))
    with pytest.raises(CorruptFileError, match=message) as caught:
        load_task("smnist", folder)
    assert file in str(caught.value)


def test_a_missing_file_is_named(folder):
    (folder / "mnist" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError, match="t10k-labels-idx1-ubyte"):
        load_task("mnist-rows", folder)
    with pytest.raises(InputError, match="--data-dir"):
        load_task("mnist-rows")
