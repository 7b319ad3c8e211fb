"""Tasks out of data in Python: lists, data sets of torch and of Hugging Face, the hub."""

import math

import datasets
import huggingface_hub
import numpy as np
import pandas
import polars
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from unrecur._check import InputError
from unrecur.data import hub
from unrecur.data.datasets import task_from
from unrecur.data.losses import IGNORED, bernoulli_nll, categorical_nll, squared_error
from unrecur.data.sequences import SPLITS


def pairs(count, seed=0, make=lambda x: int(x.sum() > 0)):
    generator = torch.Generator().manual_seed(seed)
    found = []
    for number in range(count):
        x = torch.randn(2 + number % 4, 3, generator=generator)
        found.append((x, make(x)))
    return found


class Squares(Dataset):
    """Counts how often it is read."""

    def __init__(self, count):
        self.count, self.reads = count, 0

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if not 0 <= index < self.count:
            raise IndexError
        self.reads += 1
        x = torch.arange(1 + index % 5).float()
        return x, x**2


class Short(Squares):
    """Says that it has 9 items, and has fewer."""

    def __init__(self, count, error):
        super().__init__(count)
        self.error = error

    def __len__(self):
        return 9

    def __getitem__(self, index):
        if index >= self.count:
            raise self.error(index)
        return super().__getitem__(index)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(pairs(12))


def rows(count, start=0):
    texts = ["Good film!", "A bad, bad film.", "Good"]
    return {
        "text": [texts[i % 3] for i in range(start, start + count)],
        "label": [i % 2 for i in range(start, start + count)],
        "words": [texts[i % 3].split() for i in range(start, start + count)],
        "tags": [
            ["x", "y", "z", "x"][: len(texts[i % 3].split())] for i in range(start, start + count)
        ],
        "other": [None] * count,
    }


# What is inferred


def float_steps(x):
    return x[:, :2] * 2


@pytest.mark.parametrize(
    ("convert", "loss", "outputs", "whole"),
    [
        (lambda x: int(x.sum() > 0), categorical_nll, 2, True),
        (lambda x: float(x.sum()), squared_error, 1, True),
        (lambda x: np.float64(x.sum()), squared_error, 1, True),
        (lambda x: torch.tensor(len(x)), categorical_nll, 6, True),
        (lambda x: (x[:, 0] > 0).long(), categorical_nll, 2, False),
        (lambda x: [bool(row[0] > 0) for row in x], categorical_nll, 2, False),
        (lambda x: x[:, 0].double(), squared_error, 1, False),
        (float_steps, squared_error, 2, False),
        (lambda x: "up" if x.sum() > 0 else "down", categorical_nll, 2, True),
        (lambda x: ["up" if row[0] > 0 else "down" for row in x], categorical_nll, 2, False),
    ],
)
def test_the_target_says_the_loss(convert, loss, outputs, whole):
    task = task_from(pairs(20, 0, convert), pairs(8, 1, convert), pairs(8, 2, convert))
    assert (task.step_loss, task.out_features, task.whole) == (loss, outputs, whole)
    assert (task.in_features, task.tokens) == (3, False)
    assert ("accuracy" in task.scores) == (loss is categorical_nll)
    if loss is categorical_nll:
        assert task.chance_level == math.log(outputs)
    else:
        known = torch.cat([target for _, target in task.splits["train"]]).double()
        known = known[~known.isnan().any(1)]
        variance = known.var(0, correction=0).mean().item()
        assert task.chance_level == pytest.approx(variance, rel=1e-6)
    for split in SPLITS:
        for x, target in task.splits[split]:
            assert len(x) == len(target)
            if whole and loss is categorical_nll:
                assert (target[:-1] == IGNORED).all()
            elif whole:
                assert target[:-1].isnan().all()
            assert task.step_loss(torch.zeros(len(x), outputs), target).isfinite().all()


def test_values_come_through():
    given = [(np.array([[1, 2], [3, 4]]), [0.5, math.nan]), ([[5.5, 6], [7, 8]], [1, 2.0])]
    task = task_from(given, given, given)
    x, target = task.splits["test"][0]
    assert x.tolist() == [[1, 2], [3, 4]]
    assert target[0].tolist() == [0.5]
    assert target[1].isnan().all()
    assert task.splits["test"][1][0].dtype == torch.float32


def test_whole_numbers_in_time_are_token_ids():
    given = [([1, 4, 2], 1), (torch.tensor([3]), 0), (np.array([0, 0], np.uint8), 1)]
    task = task_from(given, given, given)
    assert (task.tokens, task.in_features, task.out_features) == (True, 5, 2)
    wider = task_from(given, given, given, token_ids=9, classes=4)
    assert (wider.in_features, wider.out_features) == (9, 4)
    with pytest.raises(InputError, match="token_ids is 4, but the data hold numbers up to 4"):
        task_from(given, given, given, token_ids=4)
    with pytest.raises(InputError, match="classes is 1, but"):
        task_from(given, given, given, classes=1)


def test_zeros_and_ones_are_frames_when_it_is_said():
    frames = pairs(9, 0, lambda x: (x > 0).float())
    assert task_from(frames, frames, frames).step_loss is squared_error
    task = task_from(frames, frames, frames, loss="bernoulli")
    assert task.step_loss is bernoulli_nll
    assert task.chance_level == 3 * math.log(2)


def test_a_split_that_is_not_given_is_held_out_of_training():
    given = pairs(200)
    task = task_from(given)
    counts = [len(task.splits[split]) for split in SPLITS]
    assert sum(counts) == 200
    assert counts[1] == 30
    assert counts[2] == round(0.15 * 170)
    contents = [{x.numpy().tobytes() for x, _ in task.splits[split]} for split in SPLITS]
    assert len(set.union(*contents)) == 200
    assert "30 items of the training split were held out for valid" in task.notes[0]
    assert task_from(given).hashes == task.hashes
    assert len(task_from(given, given[:5]).splits["valid"]) == 5


def test_each_name_of_the_valid_split_is_known():
    train, valid, test = pairs(12), pairs(5, 1), pairs(6, 2)
    listed = task_from(train, valid, test)
    for name in ("valid", "val", "dev", "validation"):
        assert task_from({"train": train, name: valid, "test": test}).hashes == listed.hashes
        sizes = {"train": 12, name: 5, "test": 6}
        films = {split: datasets.Dataset.from_dict(rows(size)) for split, size in sizes.items()}
        task = task_from(datasets.DatasetDict(films), inputs="text", target="label")
        assert [len(task.splits[split]) for split in SPLITS] == [12, 5, 6]


@settings(max_examples=12)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3)), min_size=1, max_size=6))
def test_lengths_and_hashes_are_those_of_the_content(sizes):
    given = [(torch.full((time, 2), float(number)), number) for time, number in sizes]
    task = task_from(given, given, iter(given))
    assert task.lengths("train").tolist() == [time for time, _ in sizes]
    assert task.hashes["train"] == task.hashes["test"]
    given[-1] = (given[-1][0] + 1, given[-1][1])
    assert task_from(given, given, given).hashes["train"] != task.hashes["train"]


# Where it comes from


def test_streams_and_generators_are_read():
    listed = task_from(pairs(12), pairs(12), pairs(12))
    read = task_from(Stream(), (pair for pair in pairs(12)), tuple(pairs(12)))
    assert read.hashes == listed.hashes
    for (x, target), (y, other) in zip(read.splits["train"], listed.splits["train"], strict=True):
        assert torch.equal(x, y)
        assert torch.equal(target, other)


def reusing(buffer, item):
    """Give items that share one array."""
    for number in range(12):
        buffer[...] = number
        yield item(buffer, number)


@pytest.mark.parametrize(
    ("buffer", "item", "options"),
    [
        (np.zeros((4, 2)), lambda x, i: (x, float(i)), {}),
        (torch.zeros(4, 2), lambda x, i: (x, float(i)), {}),
        (np.zeros(2), lambda x, i: ([x, x, x, x], float(i)), {}),
        (np.zeros((4, 2)), lambda x, i: (memoryview(x), float(i)), {}),
        (np.zeros((4, 2)), lambda x, i: {"x": x, "y": float(i)}, {"inputs": "x", "target": "y"}),
        (np.zeros(()), lambda y, i: (torch.full((4, 2), float(i)), y), {}),
        (torch.zeros(()), lambda y, i: [torch.full((4, 2), float(i)), y], {}),
    ],
)
def test_a_stream_may_use_an_array_again(buffer, item, options):
    listed = [(torch.full((4, 2), float(i)), float(i)) for i in range(12)]
    streams = [reusing(buffer, item) for _ in SPLITS]
    assert task_from(*streams, **options).hashes == task_from(*[listed] * 3).hashes


def test_words_of_a_stream_stay_words():
    def stream():
        words = np.array(["a", "b"])
        yield words, np.str_("x")
        words[:] = "c"
        yield words, "y"
        yield ("b", "a"), "x"

    listed = [("a b", "x"), ("c c", "y"), (["b", "a"], "x")]
    task = task_from(stream(), stream(), stream())
    assert task.hashes == task_from(listed, listed, listed).hashes


def test_a_data_set_of_torch_is_read_once_and_then_when_needed():
    source = Squares(50)
    task = task_from(source, Squares(4), Squares(4))
    assert source.reads <= 50 + 3  # the first is looked at for text
    reads = source.reads
    task.longest, task.steps("train")
    assert source.reads == reads
    next(task.batches("train", 4))
    assert source.reads == reads + 4
    assert task.splits["train"][4][1][:, 0].tolist() == [0, 1, 4, 9, 16]
    listed = task_from(list(source), list(Squares(4)), list(Squares(4)))
    assert listed.hashes == task.hashes
    assert isinstance(listed.splits["train"], list)
    assert len(task_from(source).splits["valid"]) == 8  # 15% of 50, to the even


def test_arrays_go_into_a_tensor_data_set():
    x, y = torch.randn(10, 4, 2), torch.arange(10) % 3
    task = task_from(TensorDataset(x, y), TensorDataset(x, y), TensorDataset(x, y))
    assert (task.in_features, task.out_features, task.whole) == (2, 3, True)
    with pytest.raises(InputError, match=r"train item 0.*got Tensor.*TensorDataset"):
        task_from((x, y))


@pytest.mark.filterwarnings("ignore:Sparse CSR")
@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.clone().requires_grad_(),
        lambda x: x.clone().requires_grad_() * 1,
        lambda x: x.to_sparse(),
        lambda x: x.to_sparse_csr(),
        lambda x: x.to_sparse().requires_grad_(),
    ],
)
def test_tensors_with_gradients_and_sparse_ones_are_numbers(convert):
    listed = pairs(6, 0, float_steps)
    given = [(convert(x), convert(target)) for x, target in listed]
    task = task_from(given, given, iter(given))
    assert task.hashes == task_from(listed, listed, listed).hashes
    assert not any(part.requires_grad for pair in task.splits["train"] for part in pair)


def test_an_array_of_one_number_is_a_target_of_the_whole():
    listed = pairs(6)
    given = [(x, np.array(target)) for x, target in listed]
    assert task_from(given, given, given).hashes == task_from(listed, listed, listed).hashes


def test_a_table_is_refused_with_a_cure_that_works():
    columns = {"x": ["a b", "b"] * 3, "y": [0, 1] * 3}
    frame = pandas.DataFrame(columns)
    options = {"inputs": "x", "target": "y"}
    for table in (frame, polars.DataFrame(columns), datasets.Dataset.from_dict(columns).data.table):
        with pytest.raises(InputError, match=r"train: .*a table.*to_dict\('records'\).*own_task"):
            task_from(table, **options)
    with pytest.raises(InputError, match=r"test: .*got DataFrame"):
        task_from([("a", 1)], [("a", 1)], pandas.DataFrame({0: [1.0], 1: [1]}))
    listed = frame.to_dict("records")
    assert task_from(listed, listed, listed, **options).in_features == 3


def test_a_data_set_of_hugging_face_is_read_by_its_columns():
    splits = {"train": rows(12), "validation": rows(4), "test": rows(5, 1)}
    given = datasets.DatasetDict({k: datasets.Dataset.from_dict(v) for k, v in splits.items()})
    task = task_from(given, inputs="text", target="label", name="films")
    assert (task.name, task.tokens, task.out_features, task.whole) == ("films", True, 2, True)
    assert task.in_features == 8  # <unk> Good film ! A bad , .
    assert [len(task.splits[split]) for split in SPLITS] == [12, 4, 5]
    assert not isinstance(task.splits["train"], list)
    x, target = task.splits["test"][0]
    assert len(x) == 6
    assert target.tolist() == [IGNORED] * 5 + [1]
    assert "Inputs are read as words; the 7 most frequent of the 7" in task.notes[0]
    streamed = {name: part.to_iterable_dataset() for name, part in given.items()}
    assert task_from(streamed, inputs="text", target="label").hashes == task.hashes
    tagged = task_from(given, inputs="words", target="tags")
    assert (tagged.out_features, tagged.whole) == (3, False)
    assert tagged.splits["train"][1][1].tolist() == [0, 1, 2, 0]
    assert "x, y, z" in tagged.notes[1]


def test_rare_words_and_late_labels_are_noted(monkeypatch):
    monkeypatch.setattr("unrecur.data.datasets.MOST_WORDS", 3)
    train = [("a a b c c c", "x"), ("d", "y")]
    task = task_from(train, train, [("a e c b", "z")])
    assert task.in_features == 3
    assert task.splits["test"][0][0].tolist() == [2, 0, 1, 0]
    assert "the 2 most frequent of the 4" in task.notes[0]
    assert task.notes[2] == "1 label occurs outside the training split only: z."


# What is refused


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ([], {}, "train: expected items, got none"),
        (3, {}, "train: expected items .*got int"),
        (None, {}, "train: expected items .*got NoneType"),
        (torch.tensor(3), {}, "train: expected items .*got Tensor"),
        (list, {}, "train: expected items .*got type"),
        ({"train": None, "test": pairs(2)}, {}, "train: expected items .*got NoneType"),
        ({"test": pairs(2)}, {}, "expected a split 'train', got test"),
        ({"train": pairs(2), "eval": pairs(2)}, {}, "'validation.*got 'eval'. Rename"),
        ({"train": pairs(2), "Valid": pairs(2), 3: []}, {}, "got 'Valid', 3. Rename"),
        ({"train": pairs(2), "dev": [], "val": []}, {}, "one split for valid, got 'val' and 'dev'"),
        ("wiki.txt", {}, "'hf://name', got 'wiki.txt'"),
        ([torch.zeros(3, 2)], {}, "train item 0: .*got Tensor"),
        ([({}, 1)], {}, r"inputs: expected numbers, or text, got dict"),
        ([(torch.zeros(3, 2),)], {}, "part 1 of a pair"),
        ([{"x": [1.0], "y": 1}], {"inputs": "x"}, r"part 1 .*the columns \['x', 'y'\]"),
        ([{"x": [1.0], "y": 1}], {"inputs": "z", "target": "y"}, "a column 'z'"),
        ([(torch.zeros(0, 2), 1)], {}, "not empty"),
        ([("", 1), ("a", 0)], {}, "not empty|expected numbers"),
        ([(torch.zeros(3, 2, 2), 1)], {}, r"got \[3, 2, 2\]"),
        ([([[1.0], [1.0, 2.0]], 1)], {}, "train item 0, inputs: expected numbers"),
        ([(torch.zeros(3, 2), torch.zeros(2))], {}, r"each of the 3 steps.*got \[2\]"),
        ([(torch.zeros(3), 1), (torch.zeros(3, 2), 1)], {}, "item 1: .*the same kind in all items"),
        ([(torch.zeros(3), 1), (torch.zeros(3), 1.0)], {}, "item 1: .*the same kind in all items"),
        ([([1, -1], 1)], {}, "token ids from 0.*floats"),
        ([([1, 1], -1)], {}, "item 0: expected classes from 0.*kept secret"),
        ([([1, 1], [IGNORED] * 2)], {}, "expected something to predict"),
        ([(torch.zeros(3), 1)], {"loss": "squared"}, "loss categorical, as targets are classes"),
        ([(torch.zeros(3), 2.0)], {"loss": "bernoulli"}, "loss squared, as targets are numbers"),
        ([(torch.full((3,), math.nan), 1)], {}, "finite"),
        ([(torch.zeros(3, dtype=torch.complex64), 1)], {}, "real numbers"),
        ([(torch.zeros(3, device="meta"), 1)], {}, "item 0, inputs: expected numbers.*meta tensor"),
        ([(["a", 1], 1)], {}, "train item 0, inputs: expected numbers, or text, got list"),
        ([(["a", "b"], ["x", None])], {}, "train item 0, target: expected numbers, or text"),
    ],
)
def test_malformed_data_are_refused(given, options, message):
    # Where the data are not what makes them wrong, other splits are the same.
    other = given if isinstance(given, list) else None
    with pytest.raises(InputError, match=message):
        task_from(given, other, other, **options)


@pytest.mark.parametrize("options", [{"valid": []}, {"test": []}, {"valid": [], "test": []}])
@pytest.mark.parametrize("given", [{"train": pairs(2)}, "hf://imdb"])
def test_splits_are_given_in_one_place(monkeypatch, given, options):
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: pytest.fail("is loaded"))
    with pytest.raises(InputError, match=rf"got {'= and '.join(options)}= too"):
        task_from(given, **options)


TEXT, NUMBERS = "expected text, as the first item", "expected numbers, as the first item"


@pytest.mark.parametrize(
    ("usual", "other", "message"),
    [
        (("good film", 1), ([1, 2], 1), f"inputs: {TEXT}"),
        (("good film", 1), (["good", 2], 1), f"inputs: {TEXT}"),
        (([1, 2], 1), ("good film", 1), f"inputs: {NUMBERS}"),
        (("good film", "yes"), ("good film", 1), f"target: {TEXT}"),
        (("good film", "yes"), ("good film", [0, 1]), f"target: {TEXT}"),
        (("good film", 1), ("good film", "yes"), f"target: {NUMBERS}"),
        (([1.0, 2.0], [0, 1]), ([1.0, 2.0], ["x", "y"]), f"target: {NUMBERS}"),
    ],
)
def test_the_first_item_of_another_kind_is_named(usual, other, message):
    same, mixed = [usual] * 9, [usual] * 4 + [other] * 5
    with pytest.raises(InputError, match=f"train item 4, {message}"):
        task_from(mixed, same, same)
    with pytest.raises(InputError, match=f"test item 0, {message}"):
        task_from(same, same, [other])
    with pytest.raises(InputError, match=f"item [4-8], {message}"):
        task_from(mixed)


@pytest.mark.parametrize("error", [IndexError, KeyError])
@pytest.mark.parametrize("count", [0, 6])
def test_an_item_that_is_not_there_is_named(count, error):
    short, good = Short(count, error), Squares(3)
    message = rf"item {count}: .*below the length, 9, got {error.__name__} \({count}\)"
    with pytest.raises(InputError, match=f"train {message}"):
        task_from(short, good, good)
    with pytest.raises(InputError, match=f"valid {message}"):
        task_from(good, short, good)


def test_splits_must_have_the_same_features():
    with pytest.raises(InputError, match="as many features in all splits"):
        task_from(pairs(4), [(torch.zeros(2, 4), 1)], pairs(4))


def test_data_that_change_are_caught_when_read():
    source = Squares(10)
    task = task_from(source, Squares(3), Squares(3))
    source.__class__ = type("Worse", (Squares,), {"__getitem__": lambda *_: (torch.ones(2, 3), 1)})
    with pytest.raises(InputError, match="train sequence 0"):
        task.pair("train", 0)


# The hub


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)


@pytest.mark.parametrize("address", ["hf://imdb", "hf://nyu-mll/glue", "hf://nyu-mll/glue/sst2"])
def test_offline_the_cure_is_said(offline, address):
    with pytest.raises(
        InputError, match=r"save_to_disk.*load_from_disk.*HF_HUB_OFFLINE=1"
    ) as caught:
        task_from(address, inputs="text", target="label")
    assert address in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["hf://", "hf://a//b", "hf://a/b/c/d"])
def test_malformed_addresses_are_refused(address):
    with pytest.raises(InputError, match="hf://owner/name/config"):
        task_from(address)


def test_without_a_network_no_second_is_lost(monkeypatch):
    def fail(self, name, timeout):
        assert timeout == hub.WAIT
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", fail)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: pytest.fail("tries again and again"))
    with pytest.raises(InputError, match=r"imdb: no route\)"):
        task_from("hf://imdb")


@pytest.mark.parametrize(
    ("address", "there", "asked"),
    [
        ("hf://imdb", ("imdb",), [("imdb",)]),
        ("hf://owner/name", ("owner/name",), [("owner/name",)]),
        ("hf://glue/sst2", ("glue", "sst2"), [("glue/sst2",), ("glue", "sst2")]),
        ("hf://owner/name/sub", ("owner/name", "sub"), [("owner/name", "sub")]),
    ],
)
def test_an_address_is_a_name_or_a_name_with_a_configuration(monkeypatch, address, there, asked):
    seen = []

    def load(*names):
        seen.append(names)
        if names != there:
            raise datasets.exceptions.DatasetNotFoundError("no such data set")
        return datasets.DatasetDict({"train": datasets.Dataset.from_dict(rows(9))})

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets, "load_dataset", load)
    task = task_from(address, inputs="text", target="label")
    assert seen == asked
    assert sum(len(task.splits[split]) for split in SPLITS) == 9


def loading(monkeypatch, *names):
    """Let the hub have a data set of such splits."""
    splits = {name: datasets.Dataset.from_dict(rows(9)) for name in names}
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: datasets.DatasetDict(splits))


def test_other_splits_of_the_hub_are_left_out_and_noted(monkeypatch):
    loading(monkeypatch, "train", "val", "test", "unsupervised", "extra")
    task = task_from("hf://imdb", inputs="text", target="label")
    assert [len(task.splits[split]) for split in SPLITS] == [9, 9, 9]
    left = "Splits of hf://imdb of other names were left out: 'unsupervised', 'extra'."
    assert task.notes[0] == left


def test_splits_of_the_hub_must_be_clear(monkeypatch):
    loading(monkeypatch, "train", "dev", "validation")
    with pytest.raises(InputError, match="one split for valid, got 'dev' and 'validation'"):
        task_from("hf://imdb", inputs="text", target="label")
    loading(monkeypatch, "default")
    with pytest.raises(InputError, match="expected a split 'train', got default"):
        task_from("hf://imdb", inputs="text", target="label")
