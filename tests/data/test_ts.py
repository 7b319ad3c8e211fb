"""The `.ts` format, and tasks of one class or number for a whole series."""

import gzip
import math
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrecur import build
from unrecur._check import InputError
from unrecur.data.archive import ts_task
from unrecur.data.losses import IGNORED
from unrecur.data.ts import LabelledSeries, read_ts
from unrecur.data.whole_series import whole_series_task

CLASSES = """# A description: with, marks
@problemName Toy
@timeStamps false
@missing true
@univariate false
@dimensions 2
@equalLength false
@classLabel true left right
@data
1,2,?:10,20,30:left
4,5:-1.5e1,NaN:right
"""
NUMBERS = "@problemName Toy\n@timestamps false\n@univariate true\n@targetLabel true\n@data\n"


def write(path, text, ending="\n"):
    path.write_bytes(text.replace("\n", ending).encode())
    return path


def lines_of(count, seed, label=lambda i: "ab"[i % 2], features=1, missing=0.0):
    """Random series as lines of a file."""
    random = np.random.default_rng(seed)
    for i in range(count):
        values = random.normal(3, 2, (features, 4 + i % 3))
        words = [
            ",".join("?" if random.random() < missing else repr(float(v)) for v in row)
            for row in values
        ]
        yield ":".join([*words, str(label(i))]) + "\n"


def problem(folder, features=1, missing=0.0, train=30):
    head = f"@problemName Toy\n@dimensions {features}\n@classLabel true a b\n@data\n"
    for part, count, seed in (("TRAIN", train, 0), ("TEST", 8, 1)):
        body = "".join(lines_of(count, seed, features=features, missing=missing))
        write(folder / f"Toy_{part}.ts", head + body)
    return folder / "Toy_TRAIN.ts"


# The format


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_file_of_classes_is_read(tmp_path, ending):
    found = read_ts(write(tmp_path / "mit ü.ts", CLASSES, ending))
    assert found.classes == ("left", "right")
    assert found.labels == ["left", "right"]
    nan = np.nan
    np.testing.assert_array_equal(found.values[0], [[1, 10], [2, 20], [nan, 30]])
    np.testing.assert_array_equal(found.values[1], [[4, -15], [5, nan]])


def test_a_file_of_numbers_is_read_packed_too(tmp_path):
    path = tmp_path / "a.ts.gz"
    path.write_bytes(gzip.compress((NUMBERS + "1,2:0.5\n\n3,4,5:-1e3").encode()))
    found = read_ts(path)
    assert found.labels == [0.5, -1000.0]
    assert found.classes == ()
    assert [len(values) for values in found.values] == [2, 3]


@settings(max_examples=30)
@given(
    st.integers(1, 3).flatmap(
        lambda features: st.lists(
            st.lists(
                st.lists(
                    st.none() | st.floats(allow_nan=False, allow_infinity=False),
                    min_size=features,
                    max_size=features,
                ),
                min_size=1,
                max_size=4,
            ),
            min_size=1,
            max_size=3,
        )
    )
)
def test_round_trip(tmp_path_factory, series):
    def line(values):
        columns = zip(*values, strict=True)
        words = [["?" if v is None else repr(v) for v in column] for column in columns]
        return ":".join([*(",".join(row) for row in words), "1.5"])

    text = NUMBERS.replace("@univariate true\n", "") + "\n".join(map(line, series))
    found = read_ts(write(tmp_path_factory.mktemp("ts") / "a.ts", text))
    for values, expected in zip(found.values, series, strict=True):
        np.testing.assert_array_equal(values, np.array(expected, dtype=np.float64))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("@data\n", "", r"line 9: expected lines '@name value' and then '@data'.*got '1,2,"),
        (CLASSES[CLASSES.index("@data") :], "", "expected '@data' before the series"),
        (CLASSES[CLASSES.index("1,2") :], "", "expected series after @data, got none"),
        ("@timeStamps false", "@timeStamps true", "without time stamps"),
        ("@classLabel true left right\n", "", "What is to be predicted"),
        ("@classLabel true", "@targetLabel true\n@classLabel true", "What is to be predicted"),
        ("true left right", "true left", "two classes or more.*got left"),
        ("@dimensions 2", "@dimensions two", "whole number above 0 after @dimensions, got 'two'"),
        ("@dimensions 2", "@dimensions 3", "line 10: expected 3 features and the label.*3 parts"),
        ("@dimensions 2\n", "@univariate true\n", "line 10: expected 1 features"),
        ("\n4,5:", "\n4,5:6,7:", "line 11: expected 2 features .*4 parts"),
        (
            "@equalLength false",
            "@seriesLength 4\n@equalLength true",
            "line 11: expected 4 steps.*got 3",
        ),
        ("@equalLength false", "@equalLength true", r"line 11: expected 3 steps.*got 2"),
        ("10,20,30", "10,20", "line 10: expected as many values of feature 2 as of the first"),
        ("4,5:", "4,five:", "line 11, column 3: expected a number.*got 'five'"),
        ("4,5:", "4,5_0:", "line 11, column 3: expected a number, or '.' where.*got '5_0'"),
        ("4,5:", "4,inf:", "line 11, column 3: expected a number.*got 'inf'"),
        ("4,5:-1.5e1,NaN", "4,5:-1.5e1,", "line 11, column 12: expected a number.*got ''"),
        (
            ":right\n",
            ":up\n",
            "line 11, column 16: expected one of the classes left, right, got 'up'",
        ),
    ],
)
def test_malformed_files_are_refused_by_line_and_column(tmp_path, old, new, message):
    assert old in CLASSES
    path = write(tmp_path / "a.ts", CLASSES.replace(old, new))
    with pytest.raises(InputError, match=message) as caught:
        read_ts(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("label", ["?", "nan", "x", "", "1_0"])
def test_a_number_to_predict_must_be_one(tmp_path, label):
    path = write(tmp_path / "a.ts", f"{NUMBERS}1,2:{label}\n")
    with pytest.raises(InputError, match=r"line 6, column 5: expected a number, got '[^']*'\.$"):
        read_ts(path)


# The task


def test_either_file_finds_the_other(tmp_path):
    train = problem(tmp_path)
    one, other = ts_task(train), ts_task(tmp_path / "Toy_TEST.ts")
    assert one.hashes == other.hashes == ts_task(train, tmp_path / "Toy_TEST.ts").hashes
    assert (one.name, one.out_features, one.in_features, one.whole) == ("Toy", 2, 1, True)
    assert one.chance_level == math.log(2)
    assert [len(one.splits[s]) for s in ("train", "valid", "test")] == [24, 6, 8]
    (tmp_path / "Toy_TEST.ts").unlink()
    with pytest.raises(InputError, match=r"expected Toy_TEST\.ts beside it"):
        ts_task(train)
    with pytest.raises(InputError, match=r"NAME_TRAIN\.ts or NAME_TEST\.ts"):
        ts_task(tmp_path / "toy.ts")


def test_the_class_stands_at_the_last_step(tmp_path):
    for _, target in ts_task(problem(tmp_path)).splits["train"]:
        assert (target[:-1] == IGNORED).all()
        assert target[-1] in (0, 1)


def test_validation_is_stratified_whatever_the_order(tmp_path):
    train = problem(tmp_path, train=40)
    task = ts_task(train)
    for split, count in (("train", 16), ("valid", 4)):
        last = [int(target[-1]) for _, target in task.splits[split]]
        assert (last.count(0), last.count(1)) == (count, count)
    text = train.read_text()
    head, body = text.split("@data\n")
    write(train, head + "@data\n" + "\n".join(reversed(body.splitlines())))
    held, again = (
        sorted(x.sum().item() for x, _ in t.splits["valid"]) for t in (task, ts_task(train))
    )
    assert held == pytest.approx(again, rel=1e-5)


def test_scales_are_those_of_training_alone(tmp_path):
    train = problem(tmp_path, features=2)
    task = ts_task(train)
    steps = torch.cat([x for x, _ in task.splits["train"]]).double()
    torch.testing.assert_close(steps.mean(0), torch.zeros(2).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(
        steps.var(0, correction=0), torch.ones(2).double(), atol=1e-5, rtol=0
    )
    # Other numbers in the test file change no training sequence.
    test = tmp_path / "Toy_TEST.ts"
    write(test, test.read_text().replace("0.", "900."))
    changed = ts_task(train)
    assert changed.hashes["train"] == task.hashes["train"]
    assert changed.hashes["valid"] == task.hashes["valid"]
    assert changed.hashes["test"] != task.hashes["test"]


def slow_fill(values, mean, deviation):
    """Fill one feature step by step."""
    last, rows = 0.0, []
    for value in values:
        last = last if math.isnan(value) else (value - mean) / deviation
        rows.append((last, float(math.isnan(value))))
    return rows


def test_missing_values_are_the_last_known_and_marked(tmp_path):
    nan = math.nan
    values = [[nan, 1.0], [2.0, 2.0], [nan, 3.0], [4.0, 6.0]]
    one = LabelledSeries([np.array(values)] * 2, ["a", "b"], ("a", "b"))
    other = LabelledSeries([np.array(values)[:3]], ["a"], ("a", "b"))
    task = whole_series_task("t", "T", {"train": one, "valid": one, "test": other})
    assert task.in_features == 3
    filled = slow_fill([row[0] for row in values], 3.0, 1.0)
    x = task.splits["train"][0][0]
    assert x[:, [0, 2]].tolist() == [list(row) for row in filled]
    assert x[:, 1].tolist() == pytest.approx([(v - 3) / math.sqrt(3.5) for v in (1, 2, 3, 6)])
    assert "1 features miss values" in task.notes[1]


def test_a_gap_in_test_alone_is_marked_too(tmp_path):
    train = problem(tmp_path)
    test = tmp_path / "Toy_TEST.ts"
    write(test, test.read_text() + "1,?,3:a\n")
    task = ts_task(train)
    assert task.in_features == 2
    assert all((x[:, 1] == 0).all() for x, _ in task.splits["train"])
    assert task.splits["test"][-1][0][:, 1].tolist() == [0, 1, 0]


def test_constant_and_empty_features(tmp_path):
    series = LabelledSeries([np.array([[7.0, 1.0], [7.0, 2.0]])] * 2, ["a", "b"], ("a", "b"))
    other = LabelledSeries([np.array([[7.0, 1.5], [7.0, 2.5]])], ["a"], ("a", "b"))
    task = whole_series_task("t", "T", {"train": series, "valid": series, "test": other})
    assert task.splits["test"][0][0][:, 0].tolist() == [0, 0]
    assert "1 features are constant" in task.notes[1]
    empty = LabelledSeries([np.array([[np.nan, 1.0]])] * 2, ["a", "b"], ("a", "b"))
    with pytest.raises(InputError, match="expected values of feature 1 in training"):
        whole_series_task("t", "T", {"train": empty, "valid": series, "test": series})


def test_splits_must_fit_together(tmp_path):
    train = problem(tmp_path)
    write(tmp_path / "x.ts", "@classLabel true a b\n@data\n1,2:3,4:a\n")
    with pytest.raises(
        InputError, match=r"test series 0 .*expected 1 features, as in training, got 2"
    ):
        ts_task(train, tmp_path / "x.ts")
    write(tmp_path / "y.ts", NUMBERS + "1,2:3\n")
    with pytest.raises(InputError, match="the same kind of labels"):
        ts_task(train, tmp_path / "y.ts")
    write(tmp_path / "z.ts", "@classLabel true a b\n@data\n1,2:a\n3,4:b\n")
    with pytest.raises(InputError, match=r"z\.ts: expected a class with two different series"):
        ts_task(tmp_path / "z.ts", train)


def test_a_class_that_training_lacks_is_noted(tmp_path):
    train = problem(tmp_path)
    test = tmp_path / "Toy_TEST.ts"
    assert not any("outside the training split" in note for note in ts_task(train).notes)
    write(test, test.read_text().replace("true a b", "true a b c") + "1,2,3:c\n")
    task = ts_task(train)
    assert "1 label occurs outside the training split only: c." in task.notes
    assert task.out_features == 3


def test_a_single_class_is_nothing_to_learn(tmp_path):
    train = problem(tmp_path)
    write(train, train.read_text().replace(":b\n", ":a\n"))
    with pytest.raises(InputError, match="two classes or more in training, got only 'a'"):
        ts_task(train)


@pytest.mark.parametrize("head", [NUMBERS, "@dimensions 1\n@classLabel true 0 1\n@data\n"])
def test_what_was_trained_on_is_not_tested(tmp_path, head):
    train, test = tmp_path / "A_TRAIN.ts", tmp_path / "A_TEST.ts"
    body = [*lines_of(20, 0, label=lambda i: i % 2)]
    write(train, head + "".join(body))
    write(test, head + "".join(reversed(body)))
    with pytest.raises(InputError, match="that are in no other split, got none: all 20 are"):
        ts_task(train)
    write(test, head + "".join(body[:3]) + "1,2,3:1\n")
    assert ts_task(train).notes[-1] == "3 of the 4 series of test are in another split too."


def test_numbers_are_scaled_and_scored_in_their_unit(tmp_path):
    body = lines_of(20, 0, label=lambda i: 100 + 10 * (i % 7))
    train = write(tmp_path / "A_TRAIN.ts", NUMBERS + "".join(body))
    write(tmp_path / "A_TEST.ts", NUMBERS + "1,2,3:120\n2,3:90\n")
    task = ts_task(train)
    target = torch.cat([y for _, y in task.splits["train"]])
    assert (target.isnan().sum(), task.counted("train").sum()) == (len(target) - 16, 16)
    known = target[~target.isnan()].double()
    assert known.mean().item() == pytest.approx(0, abs=1e-6)
    assert known.square().mean().item() == pytest.approx(task.chance_level, abs=1e-6)
    torch.manual_seed(0)
    model = build("lstm", in_features=1, out_features=1, hidden=4).eval()
    deviation = task.scores["rmse"].compute.deviation
    errors = [
        (model(x[None])[0][0, -1, 0].item() - float(y[-1, 0])) * deviation
        for x, y in task.splits["test"]
    ]
    metric = np.mean([(error / deviation) ** 2 for error in errors])
    score = task.scores["rmse"].compute(model, task, "test", float(metric))
    assert score == pytest.approx(math.sqrt(np.mean(np.square(errors))))
    assert float(task.splits["test"][0][1][-1] - task.splits["test"][1][1][-1]) * deviation == (
        pytest.approx(30, rel=1e-5)
    )
    write(train, NUMBERS + "1,2:5\n2,3:5\n4,4:5\n")
    with pytest.raises(InputError, match=r"numbers to predict that differ in training, got 5\.0"):
        ts_task(train)


def test_packed_files_in_capitals_are_inflated_and_pipes_refused(tmp_path):
    path = tmp_path / "A.TS.GZ"
    path.write_bytes(gzip.compress((NUMBERS + "1,2,3:4\n").encode()))
    assert read_ts(path).labels == [4.0]
    os.mkfifo(tmp_path / "pipe.ts")
    with pytest.raises(InputError, match="expected a file, got"):
        read_ts(tmp_path / "pipe.ts")
