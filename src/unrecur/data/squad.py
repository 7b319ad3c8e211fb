"""The SQuAD layout: questions on passages, each answered by a part of the passage."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from unrecur._check import CorruptFileError, InputError
from unrecur.data.places import read_text

NEAR = 20  # characters by which an offset may be off


class Answer(NamedTuple):
    """A part of a passage.

    Attributes:
        text: The part.
        start: Its first character.
    """

    text: str
    start: int


@dataclass(frozen=True)
class Question:
    """A question on a passage.

    Attributes:
        name: The question's id.
        article: The title of the article.
        passage: What is read.
        text: The question.
        answers: What was given as right answers; each stands in the passage.
        moved: The number of answers whose place was repaired.
    """

    name: str
    article: str
    passage: str
    text: str
    answers: tuple[Answer, ...]
    moved: int


def read_squad(path: Path) -> list[Question]:
    """Read questions in the layout of SQuAD 1.1 (Rajpurkar et al. 2016, arXiv 1606.05250).

    Where an answer does not stand at its offset (other counts of characters, changed white space),
    it is looked for: its place is repaired if it stands in the passage only once, or if one place
    within 20 characters of the offset is nearer than all others.

    Args:
        path: The file, .json or .json.gz.

    Returns:
        The questions in their order.

    Raises:
        CorruptFileError: The file is no JSON, whole.
        InputError: There is no question, a field is missing or of another type, a question has no
            answer (as in SQuAD 2), or an answer is not found; the message names article, paragraph
            and question.
    """
    questions = list(_questions(_parse(path), str(path)))
    if not questions:
        raise InputError(f"{path}: expected questions, got none. Is it the right file?")
    return questions


def _parse(path: Path) -> Any:
    """Read JSON."""
    try:
        return json.loads(read_text(path).removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        raise CorruptFileError(
            f"{path}, line {error.lineno}, column {error.colno}: expected JSON, whole; got "
            f"'{error.msg}'. Download it again."
        ) from error
    except RecursionError as error:
        raise CorruptFileError(
            f"{path}: expected the layout of SQuAD, got JSON that is nested too deep. Download it "
            "again."
        ) from error


def _questions(content: Any, path: str) -> Iterator[Question]:
    """Go through articles, paragraphs and questions."""
    for a, article in enumerate(_field(content, "data", list, path)):
        title = _field(article, "title", str, f"{path}, article {a}")
        where = f"{path}, article {a} ('{title}')"
        for p, paragraph in enumerate(_field(article, "paragraphs", list, where)):
            place = f"{where}, paragraph {p}"
            passage = _field(paragraph, "context", str, place)
            for q, entry in enumerate(_field(paragraph, "qas", list, place)):
                name = _field(entry, "id", str, f"{place}, question {q}")
                yield _question(entry, name, title, passage, f"{place}, question '{name}'")


def _question(entry: Any, name: str, title: str, passage: str, where: str) -> Question:
    """Read one question; `where` names it."""
    text = _field(entry, "question", str, where)
    given = _field(entry, "answers", list, where)
    if not given:
        raise InputError(
            f"{where}: expected an answer, got none. Questions without an answer (SQuAD 2) are not "
            "read: take them out."
        )
    answers, moved = [], 0
    for answer in given:
        part = _field(answer, "text", str, f"{where}, answers")
        offset = _field(answer, "answer_start", int, f"{where}, answers")
        start = _place(passage, part, offset, where)
        moved += start != offset
        answers.append(Answer(part, start))
    return Question(name, title, passage, text, tuple(answers), moved)


def _place(passage: str, part: str, offset: int, where: str) -> int:
    """Find an answer in its passage.

    Args:
        passage: The passage.
        part: The answer.
        offset: Where it is said to stand.
        where: Names the question.

    Returns:
        Where it stands.

    Raises:
        InputError: It is blank, or stands nowhere, or in several places and none is near.
    """
    if not part.strip():
        raise InputError(f"{where}: expected an answer, got the blank '{part}'. Take it out.")
    if offset >= 0 and passage.startswith(part, offset):
        return offset
    places = _places(passage, part)
    if len(places) == 1:
        return places[0]
    near = sorted((abs(place - offset), place) for place in places)
    if near and near[0][0] <= NEAR and near[0][0] < near[1][0]:
        return near[0][1]
    got = passage[max(offset, 0) : max(offset, 0) + len(part)]
    found = f"it stands at {places[:5]}" if places else "it stands nowhere in the passage"
    raise InputError(
        f"{where}: expected the answer '{part[:80]}' at character {offset}, got '{got[:80]}', and "
        f"{found}. Correct the offset, or take the question out."
    )


def _places(passage: str, part: str) -> list[int]:
    """Find all places of a text in a passage, overlapping ones too."""
    places = [passage.find(part)]
    while places[-1] >= 0:
        places.append(passage.find(part, places[-1] + 1))
    return places[:-1]


def _field(entry: Any, name: str, kind: type, where: str) -> Any:
    """Take a field of a JSON object; `where` names the object."""
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        got = type(value).__name__ if isinstance(entry, dict) and name in entry else "none"
        kinds = {list: "a list", str: "a text", int: "a whole number"}
        raise InputError(
            f"{where}: expected the layout of SQuAD 1.1, with '{name}', {kinds[kind]}; got {got}."
        )
    return value
