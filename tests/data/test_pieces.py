"""Sequences from disk: the same numbers as in memory, in order, in little memory."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrecur import CorruptFileError, InputError, Spec
from unrecur.data.pieces import ArrayPieces, long_task
from unrecur.data.sequences import SPLITS
from unrecur.data.stretch import Stretch, open_stretch
from unrecur.train.evaluate import evaluate


def saved(folder, **arrays):
    paths = []
    for name, array in arrays.items():
        paths.append(folder / f"{name} ü.npy")
        np.save(paths[-1], array)
    return paths


def series(steps, features=3, seed=0):
    drawn = np.random.default_rng(seed)
    return drawn.normal(size=(steps, features)), drawn.integers(0, 4, steps)


@settings(max_examples=40)
@given(
    steps=st.integers(1, 60),
    k=st.integers(1, 60),
    dtype=st.sampled_from(["<f8", ">f4", "<f2", "|u1", ">i4", "|b1"]),
    row=st.sampled_from([(), (1,), (3,), (2, 2)]),
)
def test_pieces_are_the_array(tmp_path_factory, steps, k, dtype, row):
    folder = tmp_path_factory.mktemp("arrays")
    values = (9 * np.random.default_rng(steps).random((steps, *row))).astype(dtype)
    stretch, answers = map(open_stretch, saved(folder, x=values, target=np.arange(steps)))
    if k > steps:
        with pytest.raises(InputError, match=f"at most {steps} steps"):
            ArrayPieces(stretch, answers, k)
        return
    pieces = ArrayPieces(stretch, answers, k)
    pairs = [pieces[number] for number in range(len(pieces))]
    x, target = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    floats = np.dtype(dtype).kind == "f"
    assert x.dtype is (torch.float32 if floats else torch.int64)
    np.testing.assert_array_equal(x, values.astype(np.float32 if floats else np.int64))
    np.testing.assert_array_equal(target, np.arange(steps))
    assert pieces.lengths.tolist() == [len(one) for one, _ in pairs]
    assert set(pieces.lengths[:-1].tolist()) <= {k}
    for number in (-1, len(pieces)):
        with pytest.raises(IndexError):
            pieces[number]


def test_rows_of_batches_go_on_where_they_ended(tmp_path):
    steps = np.arange(1000)
    x, target = saved(tmp_path, x=steps[:, None].astype(np.float32), target=steps % 5)
    task = long_task(x, target, k=30, split=(700, 710))
    assert task.continuous
    assert not task.whole
    assert task.out_features == 5
    ends, seen = None, []
    for number, batch in enumerate(task.batches("train", 4)):
        assert batch.fresh is (number == 0)
        rows = len(batch.x)
        if ends is not None:
            assert torch.equal(batch.x[:, 0, 0], ends[:rows] + 1)
        ends = batch.x[torch.arange(rows), batch.lengths - 1, 0]
        for row, length in zip(batch.x, batch.lengths.tolist(), strict=True):
            seen += row[:length, 0].tolist()
    assert sorted(seen) == list(range(700))
    assert task.lengths("train").tolist() == [30] * 23 + [10]
    assert [task.steps(split) for split in SPLITS] == [700, 10, 290]
    assert task.lengths("valid").tolist() == [10]  # shorter than k: one piece


def test_a_model_scores_as_on_the_sequence_in_memory(tmp_path):
    x, classes = series(300)
    task = long_task(*saved(tmp_path, x=x, target=classes), k=20)
    torch.manual_seed(0)
    model = Spec("gru", {"in_features": 3, "out_features": 4, "hidden": 5}).build()
    test = torch.from_numpy(x[240:].astype(np.float32))
    model.eval().requires_grad_(False)
    losses = task.step_loss(model(test[None])[0], torch.from_numpy(classes[240:])[None])
    found = evaluate(model, task.part("test", 60), "test")
    assert found.steps.tolist() == [20, 20, 20]
    # Evaluation reads it in three runs; the first alone has all of its past.
    assert float(found.loss[0]) == pytest.approx(float(losses[0, :20].sum()), rel=1e-5)
    state, outputs = None, []
    for batch in task.batches("test", 1):
        y, state = model(batch.x, state)
        outputs.append(task.step_loss(y, batch.target))
    torch.testing.assert_close(torch.cat(outputs, 1), losses)


def test_a_file_for_each_split_and_numbers_to_predict(tmp_path):
    files = [{}, {}]
    for seed, split in enumerate(SPLITS):
        x, _ = series(50 + seed, seed=seed)
        target = np.roll(x[:, :2], -1, 0)
        target[-1] = np.nan  # not known
        for places, path in zip(
            files, saved(tmp_path, **{f"x{seed}": x, f"y{seed}": target}), strict=True
        ):
            places[split] = path
    task = long_task(*files, k=20, name="three")
    assert (task.in_features, task.out_features, task.unit) == (
        3,
        2,
        "squares of the target's unit",
    )
    assert [task.steps(split) for split in SPLITS] == [50, 51, 52]
    assert task.counted("train").tolist() == [20, 20, 9]
    assert any("pieces of 20 steps" in note for note in task.notes)
    with pytest.raises(InputError, match="each split has its file"):
        long_task(*files, k=20, split=(1, 2))
    del files[1]["valid"]
    with pytest.raises(InputError, match="got none for valid"):
        long_task(*files, k=20)


def test_the_hash_knows_the_content(tmp_path):
    x, classes = series(100)
    places = saved(tmp_path, x=x, target=classes)
    first, again = long_task(*places, k=10), long_task(*places, k=10)
    assert first.hashes == again.hashes
    x[75, 1] += 1
    saved(tmp_path, x=x)
    changed = long_task(*places, k=10)
    assert [first.hashes[s] == changed.hashes[s] for s in SPLITS] == [True, False, True]


def resident():
    """The memory of this process now, mapped files included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_is_flat(tmp_path, monkeypatch):
    steps, features = 1_000_000, 52
    x, target = tmp_path / "x.npy", tmp_path / "target.npy"
    np.lib.format.open_memmap(x, "w+", np.float32, (steps, features))[-1] = 1  # else a hole
    np.lib.format.open_memmap(target, "w+", np.int8, (steps,))[-1] = 2
    assert x.stat().st_size > 200e6
    read, seen = Stretch.read, []

    def watched(self, start, stop):
        seen.append(resident())
        return read(self, start, stop)

    monkeypatch.setattr(Stretch, "read", watched)
    before = resident()
    task = long_task(x, target, k=4000)  # which reads all of it
    assert len(seen) >= 2 * (175 + 25 + 50)
    assert sum(1 for _ in task.batches("valid", 4)) == 7
    assert max(seen) - before < 60e6


def test_pieces_go_to_other_processes_without_their_numbers(tmp_path):
    x, classes = series(5000)
    places = saved(tmp_path, x=x, target=classes)
    pieces = ArrayPieces(*map(open_stretch, places), 10)
    assert len(pickle.dumps(pieces)) < 2000
    task = long_task(*places, k=500)
    alone, others = list(task.batches("test", 1)), list(task.batches("test", 1, workers=1))
    assert all(torch.equal(a.x, b.x) for a, b in zip(alone, others, strict=True))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_inputs_that_are_not_finite_are_refused_with_their_step(tmp_path, bad):
    x, classes = series(100)
    x[83, 2] = bad
    with pytest.raises(InputError, match=r"x ü\.npy: expected finite inputs.* at step 83, "):
        long_task(*saved(tmp_path, x=x, target=classes), k=10)


def test_targets_that_are_infinite_are_refused_with_their_step(tmp_path):
    x, _ = series(100)
    target = x[:, 0].copy()
    target[71] = -np.inf
    with pytest.raises(InputError, match=r"target ü\.npy: expected targets .* at step 71, "):
        long_task(*saved(tmp_path, x=x, target=target), k=10)


def test_k_and_the_split_are_checked(tmp_path):
    places = saved(tmp_path, **dict(zip(("x", "target"), series(100), strict=True)))
    for k, message in ((71, "at most 70 steps"), (0, "k must be"), (1, "at least 2 steps")):
        with pytest.raises(InputError, match=message):
            long_task(*places, k=k)
    for split in ((0, 50), (50, 50), (60, 50), (50, 100)):
        with pytest.raises(InputError, match="two steps inside of 100"):
            long_task(*places, k=10, split=split)
    [longer] = saved(tmp_path, longer=np.zeros((101, 3)))
    with pytest.raises(InputError, match="one target for each input, got 101 steps"):
        ArrayPieces(open_stretch(longer), open_stretch(places[1]), 10)


def test_bad_files_are_refused(tmp_path):
    [good] = saved(tmp_path, good=np.zeros((9, 2)))
    whole, bad = good.read_bytes(), tmp_path / "bad.npy"
    for content in (b"", whole[:40], whole[:-1], b"\x93NUMPY", b"PK\x03\x04 no zip"):
        bad.write_bytes(content)
        with pytest.raises(CorruptFileError, match="Is it whole"):
            open_stretch(bad)
    for shape in ("(10**9,", "(-1,)", "(True,)", "(" + 30 * "9" + ",)"):
        bad.write_bytes(whole.replace(b"(9, 2), }" + b" " * 30, f"{shape}, }}".encode().ljust(39)))
        with pytest.raises(CorruptFileError, match="Is it whole"):
            open_stretch(bad)
    np.save(bad, np.array([{"a": 1}], dtype=object))  # would need pickle
    with pytest.raises(CorruptFileError, match="numbers only"):
        open_stretch(bad)
    for array in (np.zeros((0, 3)), np.array(["a"]), np.zeros(3, complex), np.zeros(3, "f4,i4")):
        np.save(bad, array)
        with pytest.raises(InputError, match="real numbers, not empty"):
            open_stretch(bad)
    for array in (np.array(3.0), np.zeros((4, 3)).T):
        np.save(bad, array)
        with pytest.raises(InputError, match="in C order"):
            open_stretch(bad)
    with bad.open("wb") as file:
        np.savez(file, np.zeros(3))
    with pytest.raises(CorruptFileError, match="magic string"):
        open_stretch(bad)
    with pytest.raises(FileNotFoundError):
        open_stretch(tmp_path / "none.npy")


def test_a_file_that_is_cut_short_later_is_found(tmp_path):
    x, classes = series(100)
    places = saved(tmp_path, x=x, target=classes)
    task = long_task(*places, k=10)
    os.truncate(places[0], places[0].stat().st_size - 100)
    task.pair("test", 0)
    with pytest.raises(CorruptFileError, match="ends before step 100, of 100 steps"):
        task.pair("test", 1)
