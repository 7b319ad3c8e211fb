"""Reading comprehension: find the answer to a question in a passage."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain, combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Integer

from unrecur._check import InputError
from unrecur.data.answer_scores import AnswerScore
from unrecur.data.held_out import held_out
from unrecur.data.losses import bernoulli_nll
from unrecur.data.places import find
from unrecur.data.segmentation import segment
from unrecur.data.sequences import SPLITS, Pair, Split
from unrecur.data.squad import Question, read_squad
from unrecur.data.task import OutputScore, Task
from unrecur.data.vocabulary import Vocabulary, share_unknown, vocabulary_of

SEPARATOR = "<sep>"
LONGEST = 2048  # tokens of a question with its passage
VALID_SHARE = 0.15
PARAMETERS = 500_000  # a good part of them in the embedding of some thousand tokens


class Example(NamedTuple):
    """A question in tokens.

    Attributes:
        question: The question.
        words: The tokens of question, separator and passage.
        places: Where each token of the passage starts and stops, in characters.
        first: The first token of the answer, counted in the passage.
        last: Its last token.
        cut: Whether the answer starts or stops inside a token.
    """

    question: Question
    words: list[str]
    places: Integer[np.ndarray, "N 2"]
    first: int
    last: int
    cut: bool


def reading_task(
    name: str,
    title: str,
    train: Path,
    test: Path,
    valid: Path | None = None,
    longest: int = LONGEST,
) -> Task:
    """Make the task of pointing at the first and the last token of the answer in a passage.

    A sequence is the question, a separator and the passage, all given at once; tokens are words, or
    characters where the script is Chinese or Japanese (see `segment`). Two zeros and ones are
    predicted at each token of the passage: whether the answer starts there, and whether it ends.
    The metric is their negative log-likelihood. Exact match and F1 of the likeliest answer stand
    beside it (see `score_answers`).

    Args:
        name: The task's name.
        title: What it is, in words.
        train: The questions to learn from, in the layout of SQuAD 1.1.
        test: Those to report on.
        valid: Those to choose by; left out, 15% of the articles of `train` are held out for it.
        longest: The most tokens that a question with its passage may have.

    Returns:
        The task.

    Raises:
        InputError: A file is missing or malformed, or a passage is too long; the message names the
            question.
    """
    questions = _read(train, valid, test)
    examples = {split: _examples(questions[split], longest, split) for split in SPLITS}
    vocabulary = vocabulary_of((one.words for one in examples["train"]), [SEPARATOR])
    splits = {split: [_pair(one, vocabulary) for one in examples[split]] for split in SPLITS}
    longest_answer = max(one.last - one.first + 1 for one in examples["train"])
    places = {split: [one.places for one in examples[split]] for split in SPLITS}
    held = [] if valid is not None else [_held_note(questions)]
    return Task(
        name=name,
        title=title,
        metric="negative log-likelihood of start and end of the answer",
        unit="nats per token of the passage",
        in_features=len(vocabulary),
        out_features=2,
        step_loss=bernoulli_nll,
        chance_level=2 * math.log(2),
        splits=splits,
        tokens=True,
        whole=True,
        floors={"constant": {"of": "odds"}},
        scores={
            "exact_match": OutputScore(
                "exact match",
                "%",
                "higher",
                AnswerScore("exact_match", questions, places, longest_answer),
            ),
            "f1": OutputScore(
                "F1 of words", "%", "higher", AnswerScore("f1", questions, places, longest_answer)
            ),
        },
        parameters=PARAMETERS,
        notes=(
            *held,
            *_notes(questions, examples),
            _tokens_note(vocabulary, splits),
            "The target is the first of several right answers; the scores take any of them. A "
            f"predicted answer has at most {longest_answer} tokens, as the longest in training.",
        ),
    )


def drcd(data_dir: Path | None = None) -> Task:
    """Load DRCD, questions on Chinese Wikipedia (Shao et al. 2018, arXiv 1806.00920).

    What is learnt from is its development file, so published figures, of models that learnt from
    the much larger training file, are no comparison.

    Args:
        data_dir: The folder with `drcd_dev.json` and `drcd_test.json`, or the one above it.

    Returns:
        The task.

    Raises:
        InputError: A file is missing or malformed.
    """
    train, test = (find(data_dir, "qa", f"drcd_{part}.json") for part in ("dev", "test"))
    return reading_task("drcd", "DRCD, answers in Chinese Wikipedia", train, test)


def _read(train: Path, valid: Path | None, test: Path) -> dict[Split, list[Question]]:
    """Read the questions of each split."""
    given = read_squad(train)
    if valid is not None:
        return {"train": given, "valid": read_squad(valid), "test": read_squad(test)}
    articles = [one.article.encode("utf-8", "surrogatepass") for one in given]
    try:
        held = held_out(articles, VALID_SHARE)
    except InputError as error:
        raise InputError(f"{train}: its questions are on a single article; {error}") from error
    return {
        "train": [one for one, out in zip(given, held, strict=True) if not out],
        "valid": [one for one, out in zip(given, held, strict=True) if out],
        "test": read_squad(test),
    }


def _examples(questions: Sequence[Question], longest: int, split: Split) -> list[Example]:
    """Split questions and passages into tokens."""
    segment_once = cache(segment)  # several questions are on one passage
    examples = []
    for question in questions:
        tokens = segment_once(question.passage)
        words = [token.text for token in segment(question.text)] + [SEPARATOR]
        words += [token.text for token in tokens]
        if len(words) > longest:
            raise InputError(
                f"{split}, article '{question.article}', question '{question.name}': expected at "
                f"most {longest} tokens of question and passage, got {len(words)}. Give a larger "
                "`longest`, or cut the passage around the answer."
            )
        places = np.array([(token.start, token.stop) for token in tokens], dtype=np.int32)
        examples.append(Example(question, words, places, *_span(question, places)))
    return examples


def _span(question: Question, places: Integer[np.ndarray, "N 2"]) -> tuple[int, int, bool]:
    """Find the tokens of the first answer, and whether its ends lie inside tokens."""
    text, start = question.answers[0]
    begin, end = start + len(text) - len(text.lstrip()), start + len(text.rstrip())
    first = int(np.searchsorted(places[:, 1], begin, side="right"))
    last = int(np.searchsorted(places[:, 0], end, side="left")) - 1
    return first, last, bool(places[first, 0] != begin or places[last, 1] != end)


def _pair(example: Example, vocabulary: Vocabulary) -> Pair:
    """Give the inputs and the targets of a question."""
    x = vocabulary.ids(example.words)
    before = len(x) - len(example.places)
    target = torch.full((len(x), 2), torch.nan)
    target[before:] = 0
    target[before + example.first, 0] = target[before + example.last, 1] = 1
    return x, target


def _held_note(questions: Mapping[Split, Sequence[Question]]) -> str:
    """Say what was held out."""
    train, valid = (len({one.article for one in questions[s]}) for s in ("train", "valid"))
    return (
        f"{valid} of {train + valid} articles were held out of the training file for validation, "
        "whole, chosen by the hash of their titles."
    )


def _notes(
    questions: Mapping[Split, Sequence[Question]], examples: Mapping[Split, Sequence[Example]]
) -> list[str]:
    """Say what was found in the files, and what was done."""
    notes = []
    articles = {split: {one.article for one in questions[split]} for split in SPLITS}
    passages = {split: {one.passage for one in questions[split]} for split in SPLITS}
    for one, other in combinations(SPLITS, 2):
        shared = len(articles[one] & articles[other])
        if shared:
            both = len(passages[one] & passages[other])
            notes.append(
                f"{shared} articles are both in {one} and in {other}, with {both} passages in "
                "common, as the files have them."
            )
    moved = sum(one.moved for one in chain.from_iterable(questions.values()))
    if moved:
        notes.append(f"{moved} answers did not stand at their offsets and were found elsewhere.")
    cut = sum(one.cut for one in chain.from_iterable(examples.values()))
    if cut:
        notes.append(f"{cut} answers start or stop inside a word; the target is the whole word.")
    return notes


def _tokens_note(vocabulary: Vocabulary, splits: Mapping[Split, Sequence[Pair]]) -> str:
    """Say what the tokens are, and which are known."""
    valid, test = (share_unknown([x for x, _ in splits[s]]) for s in ("valid", "test"))
    return (
        "Tokens are words, characters in Chinese and Japanese script, and marks; the "
        f"{len(vocabulary) - 2:,} of the training split have ids, others are read as <unk>: "
        f"{valid:.1%} of valid, {test:.1%} of test."
    )
