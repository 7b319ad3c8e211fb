"""Tagging: a tag for each word of a sentence, or one label for all of it."""

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unrecur.data.bio import entity_f1
from unrecur.data.losses import IGNORED, categorical_nll
from unrecur.data.places import find
from unrecur.data.scores import accuracy
from unrecur.data.sequences import SPLITS, Pair, Split
from unrecur.data.tagged_text import TaggedText, read_tagged
from unrecur.data.task import OutputScore, Published, Task
from unrecur.data.vocabulary import Vocabulary, label_names, share_unknown, vocabulary_of

PARAMETERS = 500_000  # most of them in the embedding of some ten thousand words


def tagging_task(
    name: str,
    title: str,
    train: Path,
    valid: Path,
    test: Path,
    repair: bool = False,
    published: tuple[Published, ...] = (),
) -> Task:
    """Make the task of tagging each word of sentences; a whole sentence is given at once.

    The metric is the negative log-likelihood of the tag, in nats per word. Beside it stands F1 of
    the entities, as `seqeval` counts them.

    Args:
        name: The task's name.
        title: What it is, in words.
        train: The sentences to learn from: a file in columns, or a folder with `seq.in` and
            `seq.out`; see `read_tagged`.
        valid: Those to choose by.
        test: Those to report on.
        repair: Whether tags that break the BIO scheme are repaired, and counted in the notes; else
            they are an error.
        published: Figures for comparison.

    Returns:
        The task.

    Raises:
        InputError: A file is missing or malformed; the message names file, line and place.
    """
    texts = _read((train, valid, test), repair)
    labels = {s: [sentence.tags for sentence in texts[s].sentences] for s in SPLITS}
    tags, late = _names(labels, "tag")
    f1 = OutputScore("entity F1", "", "higher", lambda task, split: EntityF1(tags))
    return _task(
        name,
        title,
        texts,
        labels,
        tags,
        metric="negative log-likelihood of the tag",
        unit="nats per word",
        scores={"f1": f1, "accuracy": accuracy},
        published=published,
        notes=(*late, *_repairs(texts)),
    )


def intent_task(
    name: str,
    title: str,
    train: Path,
    valid: Path,
    test: Path,
    published: tuple[Published, ...] = (),
) -> Task:
    """Make the task of telling what each sentence is, predicted at its last word.

    The metric is the negative log-likelihood of the label, in nats per sentence.

    Args:
        name: The task's name.
        title: What it is, in words.
        train: The sentences to learn from: a folder with `seq.in`, `seq.out` and `label`.
        valid: Those to choose by.
        test: Those to report on.
        published: Figures for comparison.

    Returns:
        The task.

    Raises:
        InputError: A file is missing or malformed.
    """
    for folder in (train, valid, test):
        find(folder, "", "label")
    texts = _read((train, valid, test), repair=True)  # the tags are not used
    labels = {s: [[str(sentence.label)] for sentence in texts[s].sentences] for s in SPLITS}
    intents, late = _names(labels, "intent")
    return _task(
        name,
        title,
        texts,
        labels,
        intents,
        metric="negative log-likelihood of the intent",
        unit="nats per sentence",
        scores={"accuracy": accuracy},
        published=published,
        notes=late,
    )


def _read(paths: Sequence[Path], repair: bool) -> dict[Split, TaggedText]:
    """Read the sentences of each split."""
    return {split: read_tagged(path, repair) for split, path in zip(SPLITS, paths, strict=True)}


def _names(
    labels: Mapping[Split, list[list[str]]], what: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Number the labels of all splits; see `label_names`."""
    train, valid, test = (chain.from_iterable(labels[split]) for split in SPLITS)
    return label_names(train, chain(valid, test), what)


def _task(
    name: str,
    title: str,
    texts: Mapping[Split, TaggedText],
    labels: Mapping[Split, list[list[str]]],
    names: tuple[str, ...],
    notes: tuple[str, ...],
    **fields: Any,
) -> Task:
    """Make a task of sentences with labels.

    Args:
        name: The task's name.
        title: What it is, in words.
        texts: The sentences of each split.
        labels: The labels of the last words of each: one for every word, or a single one.
        names: The labels by their numbers.
        notes: What was done to the data.
        **fields: Other fields of the task.

    Returns:
        The task.
    """
    vocabulary = vocabulary_of(sentence.words for sentence in texts["train"].sentences)
    numbers = {label: number for number, label in enumerate(names)}

    def pair(words: Sequence[str], given: Sequence[str]) -> Pair:
        ignored = [IGNORED] * (len(words) - len(given))
        return vocabulary.ids(words), torch.tensor([*ignored, *(numbers[one] for one in given)])

    splits = {
        split: [
            pair(sentence.words, given)
            for sentence, given in zip(texts[split].sentences, labels[split], strict=True)
        ]
        for split in SPLITS
    }
    return Task(
        name=name,
        title=title,
        in_features=len(vocabulary),
        out_features=len(names),
        step_loss=categorical_nll,
        chance_level=math.log(len(names)),
        splits=splits,
        tokens=True,
        whole=True,
        floors={"constant": {}},
        parameters=PARAMETERS,
        notes=(_words_note(vocabulary, splits), *notes),
        **fields,
    )


def _words_note(vocabulary: Vocabulary, splits: Mapping[Split, Sequence[Pair]]) -> str:
    """Say which words are known."""
    valid, test = (share_unknown([x for x, _ in splits[s]]) for s in ("valid", "test"))
    return (
        f"The {len(vocabulary) - 1:,} words of the training split have ids; others are read as "
        f"<unk>: {valid:.1%} of the words of valid, {test:.1%} of test."
    )


def _repairs(texts: Mapping[Split, TaggedText]) -> list[str]:
    """Say what was done to the files."""
    notes = []
    repairs, left_out = (
        {split: getattr(texts[split], what) for split in SPLITS} for what in ("repairs", "left_out")
    )
    if any(repairs.values()):
        notes.append(
            "Tags that went on with an entity that was not there now begin one: "
            + ", ".join(f"{count} in {split}" for split, count in repairs.items())
            + "."
        )
    if any(left_out.values()):
        notes.append(
            "Comments and marks of documents were left out: "
            + ", ".join(f"{count} lines in {split}" for split, count in left_out.items())
            + "."
        )
    return notes


class EntityF1:
    """F1 of the entities in the likeliest tags, from 0 to 1.

    Args:
        tags: The tags by their numbers.
    """

    def __init__(self, tags: tuple[str, ...]) -> None:
        self.tags = tags
        self.target: list[list[str]] = []
        self.predicted: list[list[str]] = []

    def add(self, number: int, y: Tensor, target: Tensor) -> None:
        """Take one sentence; see `Tally`."""
        self.target.append(self._words(target))
        self.predicted.append(self._words(y.argmax(-1)))

    def value(self) -> float:
        """Tell the score."""
        return entity_f1(self.target, self.predicted)

    def _words(self, numbers: Tensor) -> list[str]:
        """Give tags by their numbers."""
        return [self.tags[number] for number in numbers.tolist()]
