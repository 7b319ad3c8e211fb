"""Tasks out of data that are there in Python, or on the Hugging Face hub."""

import math
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, Literal

import numpy as np
from torch.utils.data import IterableDataset

from unrecur._check import InputError
from unrecur.data.findings import Findings, View, measure
from unrecur.data.held_out import held_out
from unrecur.data.hub import PREFIX, load_hub
from unrecur.data.items import ItemReader, Numbered, part, taken, words_of
from unrecur.data.losses import bernoulli_nll, categorical_nll, squared_error
from unrecur.data.scores import accuracy
from unrecur.data.sequences import NAMES, SPLITS, Split
from unrecur.data.task import Task
from unrecur.data.vocabulary import Vocabulary, label_names, vocabulary_of

Loss = Literal["categorical", "bernoulli", "squared"]
KNOWN = tuple(chain.from_iterable(NAMES.values()))
HELD_SHARE = 0.15
MOST_WORDS = 20_000


def task_from(
    train: Any,
    valid: Any = None,
    test: Any = None,
    *,
    inputs: int | str = 0,
    target: int | str = 1,
    loss: Loss | None = None,
    token_ids: int | None = None,
    classes: int | None = None,
    name: str = "data",
    title: str = "",
) -> Task:
    """Make a task of data in Python.

    Each split is an iterable of items: pairs (x, target), or rows with columns that `inputs` and
    `target` name. Lists and streams are read at once, and what a stream gives is copied; a
    `torch.utils.data.Dataset` with a length, or one of Hugging Face's, is read once to measure it,
    and then when it is needed.

    What an item holds says what it is. Inputs: whole numbers [time] are token ids, other numbers
    [time] or [time, features] are features, a text or a list of words is read as words. Targets:
    whole numbers or texts are classes, others are numbers; one for each step, or a single one for
    the whole sequence, which is then predicted at the last step. Where the first item has text,
    all have.

    Args:
        train: What to learn from; or all splits, as a mapping with "train", "valid" (or "val",
            "dev", "validation") and "test", or as an address on the hub, "hf://name",
            "hf://owner/name" or "hf://owner/name/config", where splits of other names are left out.
        valid: What to choose by; left out, 15% of `train` are held out.
        test: What to report on; left out, 15% of `train` are held out.
        inputs: Where in an item the inputs are: a position, or the name of a column.
        target: Where in an item the target is.
        loss: "categorical" for classes, "squared" for numbers, or, where it is said, "bernoulli"
            for numbers that are zeros and ones; left out, what the target says.
        token_ids: The number of token ids, where there are more than the data hold.
        classes: The number of classes, where there are more than the data hold.
        name: The task's name.
        title: What it is, in words; left out, its name.

    Returns:
        The task. What was inferred is in its notes.

    Raises:
        InputError: A split is missing, empty, given twice or of an unknown name, an item is
            malformed or of another kind than the first (it is named), the hub cannot be reached,
            or the loss does not fit the target.

    Example:
        >>> import torch
        >>> pairs = [(torch.randn(9, 2), int(i % 3 == 0)) for i in range(40)]
        >>> task = task_from(pairs)  # a class for each sequence
        >>> task.in_features, task.out_features, len(task.splits["train"])
        (2, 2, 29)
    """
    sources, notes = _sources(train, valid, test, [inputs, target])
    reader, words_notes = _reader(sources, inputs, target)
    views = {split: View(*sources[split], reader, split) for split in SPLITS}
    found = {split: measure(views[split]) for split in SPLITS}
    ids, outputs = _sizes(found, token_ids, classes)
    fields = _loss_fields(loss, found["train"], outputs)
    at_the_end = all(one.at_the_end for one in found.values())
    return Task(
        name=name,
        title=title or name,
        in_features=ids or found["train"].features,
        splits={split: views[split].ready(found[split].lengths) for split in SPLITS},
        hashes={split: found[split].sha256 for split in SPLITS},
        tokens=bool(ids),
        whole=at_the_end,
        notes=(*notes, *words_notes, *_notes(found, at_the_end)),
        **fields,
    )


Source = tuple[Any, np.ndarray]


def _sources(
    train: Any, valid: Any, test: Any, columns: list[int | str]
) -> tuple[dict[Split, Source], list[str]]:
    """Find the items of each split, and which of them belong to it; and say what was held out."""
    given, notes = _given(train, valid, test)
    items = {
        split: _items(given[split], split, columns)
        for split in SPLITS
        if split == "train" or given[split] is not None
    }
    left = np.arange(len(items["train"]))
    sources: dict[Split, Source] = {}
    for split in ("valid", "test"):
        if split in items:
            sources[split] = items[split], np.arange(len(items[split]))
            continue
        try:
            held = held_out([f"{split} {number}".encode() for number in left], HELD_SHARE)
        except InputError as error:
            raise InputError(f"a split '{split}' out of 'train': {error}") from error
        sources[split], left = (items["train"], left[held]), left[~held]
        notes.append(
            f"{int(held.sum())} items of the training split were held out for {split}, chosen by "
            "the hash of their numbers."
        )
    return {"train": (items["train"], left), **sources}, notes


def _given(train: Any, valid: Any, test: Any) -> tuple[dict[Split, Any], list[str]]:
    """Find the data of each split, None where there are none; and say what was left out."""
    if not isinstance(train, str | Mapping):
        return {"train": train, "valid": valid, "test": test}, []
    if isinstance(train, str) and not train.startswith(PREFIX):
        raise InputError(
            f"expected data, or an address '{PREFIX}name', got '{train}'. Files are studied with "
            "`unrecur study FILE`."
        )
    beside = [name for name, data in (("valid", valid), ("test", test)) if data is not None]
    if beside:
        raise InputError(
            "expected all splits in one place, as `train` is a mapping or an address, got "
            f"{' and '.join(f'{name}=' for name in beside)} too. Give one mapping with all splits."
        )
    splits = load_hub(train) if isinstance(train, str) else train
    unknown = ", ".join(repr(name) for name in splits if name not in KNOWN)
    if unknown and isinstance(train, Mapping):
        raise InputError(
            "expected the splits 'train', 'valid' (or 'val', 'dev', 'validation') and 'test', got "
            f"{unknown}. Rename what is one of these, and leave the others out."
        )
    notes = [f"Splits of {train} of other names were left out: {unknown}."] if unknown else []
    return _by_name(splits), notes


def _by_name(splits: Mapping[str, Any]) -> dict[Split, Any]:
    """Find each split by one of its names."""
    found: dict[Split, Any] = dict.fromkeys(SPLITS)
    for split in SPLITS:
        names = [name for name in NAMES[split] if name in splits]
        if len(names) > 1:
            raise InputError(
                f"expected one split for {split}, got {' and '.join(map(repr, names))}. Give a "
                "mapping with one of them."
            )
        if names:
            found[split] = splits[names[0]]
    if "train" not in splits:
        raise InputError(f"expected a split 'train', got {', '.join(splits) or 'none'}.")
    return found


def _items(data: Any, split: Split, columns: list[int | str]) -> Any:
    """Take data as they are where items can be had by number; else read them."""
    if hasattr(data, "columns") and hasattr(data, "shape"):
        raise InputError(
            f"{split}: expected items (x, target), got {type(data).__name__}, a table. Where its "
            "rows are sequences, give them as a list, as pandas' frame.to_dict('records') does, "
            "with inputs= and target=. Where they are steps, save it as .csv or .parquet, and give "
            "the path to unrecur.own_task."
        )
    by_number = hasattr(data, "__len__") and hasattr(data, "__getitem__")
    if by_number and not isinstance(data, IterableDataset):
        # A data set of Hugging Face's decodes what is taken only.
        chosen = set(columns) <= set(getattr(data, "column_names", ()))
        items = data.select_columns(columns) if chosen else data
        items = items if isinstance(items, list | tuple) else Numbered(items, split)
    elif isinstance(data, Iterable):
        items = [taken(item, columns, f"{split} item {n}") for n, item in enumerate(data)]
    else:
        raise InputError(f"{split}: expected items (x, target), got {type(data).__name__}.")
    if not len(items):
        raise InputError(f"{split}: expected items, got none.")
    for column in columns:
        part(items[0], column, f"{split} item 0")
    return items


def _reader(
    sources: Mapping[Split, Source], inputs: int | str, target: int | str
) -> tuple[ItemReader, list[str]]:
    """Look at the first item for text, and number the words and labels where there is."""

    def texts(split: Split, key: int | str) -> Iterable[list[str]]:
        items, index = sources[split]
        for number in index:
            value = part(items[int(number)], key, f"{split} item {number}")
            yield [value] if key == target and isinstance(value, str) else words_of(value) or []

    items, index = sources["train"]
    first, where = items[int(index[0])], f"train item {index[0]}"
    vocabulary: Vocabulary | None = None
    labels: tuple[str, ...] = ()
    notes: list[str] = []
    if words_of(part(first, inputs, where)) is not None:
        known = vocabulary_of(texts("train", inputs))
        vocabulary = Vocabulary(known.words[:MOST_WORDS])
        notes.append(
            f"Inputs are read as words; the {len(vocabulary) - 1:,} most frequent of the "
            f"{len(known) - 1:,} of the training split have ids, others are read as <unk>."
        )
    if words_of(part(first, target, where)) is not None:
        every = {split: chain.from_iterable(texts(split, target)) for split in SPLITS}
        labels, late = label_names(every["train"], chain(every["valid"], every["test"]), "label")
        notes += [f"Labels are numbered: {', '.join(labels[:20])}.", *late]
    return ItemReader(inputs, target, vocabulary, labels), notes


def _sizes(
    found: Mapping[Split, Findings], token_ids: int | None, classes: int | None
) -> tuple[int, int]:
    """Give the number of token ids and of outputs, in all splits, or as the user says."""
    for kind in ("features", "outputs"):
        sizes = {split: getattr(found[split], kind) for split in SPLITS}
        if len(set(sizes.values())) > 1:
            raise InputError(f"expected as many {kind} in all splits, got {sizes}.")
    seen = {kind: max(getattr(one, kind) for one in found.values()) for kind in ("ids", "classes")}
    for what, said, least in (
        ("token_ids", token_ids, seen["ids"]),
        ("classes", classes, seen["classes"]),
    ):
        if said is not None and said < max(least, 1):
            raise InputError(f"{what} is {said}, but the data hold numbers up to {least - 1}.")
    ids = seen["ids"] and (token_ids or seen["ids"])
    number = classes or max(seen["classes"], 2) if seen["classes"] else found["train"].outputs
    return ids, number


def _loss_fields(loss: Loss | None, train: Findings, outputs: int) -> dict[str, Any]:
    """Choose the loss, and what goes with it."""
    unit = "sequence" if train.at_the_end else "step"
    if train.classes:
        allowed: tuple[Loss, ...] = ("categorical",)
    else:
        allowed = ("squared", "bernoulli") if train.binary else ("squared",)
    if (loss or allowed[0]) not in allowed:
        kind = "classes" if train.classes else "zeros and ones" if train.binary else "numbers"
        raise InputError(
            f"expected the loss {' or '.join(allowed)}, as targets are {kind}, got '{loss}'. Whole "
            "numbers are classes, floats numbers."
        )
    if train.classes:
        fields = {
            "metric": "negative log-likelihood of the class",
            "unit": f"nats per {unit}",
            "step_loss": categorical_nll,
            "chance_level": math.log(outputs),
            "scores": {"accuracy": accuracy},
        }
    elif loss == "bernoulli":
        fields = {
            "metric": "negative log-likelihood of zeros and ones",
            "unit": f"nats per {unit}",
            "step_loss": bernoulli_nll,
            "chance_level": outputs * math.log(2),
        }
    else:
        fields = {
            "metric": "squared error",
            "unit": "squares of the target's unit",
            "step_loss": squared_error,
            "chance_level": train.variance,
        }
    return {"out_features": outputs, **fields}


def _notes(found: Mapping[Split, Findings], at_the_end: bool) -> list[str]:
    """Say what was inferred."""
    train = found["train"]
    inputs = "token ids" if train.ids else f"{train.features} features, taken as they are"
    target = "classes" if train.classes else f"{train.outputs} numbers, taken as they are"
    where = "at the last step, for the whole sequence" if at_the_end else "at each step"
    return [f"Inputs are {inputs}; predicted are {target}, {where}."]
