"""Sentences with a tag for each word: in columns, or as `seq.in`, `seq.out` and `label`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from unrecur._check import InputError
from unrecur.data.bio import breaks, is_tag, repaired
from unrecur.data.places import find, read_text

WORDS, TAGS, LABELS = "seq.in", "seq.out", "label"


class Sentence(NamedTuple):
    """A sentence.

    Attributes:
        words: Its words.
        tags: The tag of each word.
        label: What the whole sentence is; None where the file does not say.
    """

    words: list[str]
    tags: list[str]
    label: str | None = None


@dataclass(frozen=True)
class TaggedText:
    """Sentences, and what was done to have them.

    Attributes:
        sentences: The sentences.
        repairs: The number of tags that were repaired.
        left_out: The number of lines that hold no word: comments, marks of documents.
    """

    sentences: list[Sentence]
    repairs: int = 0
    left_out: int = 0


def read_tagged(path: Path, repair: bool = False) -> TaggedText:
    """Read sentences in either layout.

    Columns (CoNLL): a word a line with its tag in the last column, columns set apart by spaces or
    tabs, an empty line between sentences. Lines that begin with "# " before a sentence and do not
    end in a tag are comments; lines with the word -DOCSTART- begin a document.

    A folder: `seq.in` holds a sentence a line, `seq.out` its tags, and `label`, if there is one,
    what it is.

    Args:
        path: The file in columns, plain or .gz, or the folder.
        repair: Whether an I-TYPE that goes on with nothing becomes a B-TYPE, as in files of the
            scheme IOB1; else it is an error.

    Returns:
        The sentences.

    Raises:
        InputError: A file is missing or empty, a line has no word or another number of columns or
            tags, or the tags are none of the BIO scheme; the message names file, line and place.
    """
    text = _read_folder(path, repair) if path.is_dir() else _read_columns(path, repair)
    if not text.sentences:
        raise InputError(f"{path}: expected sentences, got none. Is it the right file?")
    return text


def tagged_files(path: Path) -> list[Path]:
    """Say which files `read_tagged` reads.

    Args:
        path: The file in columns, or the folder.

    Returns:
        The file; or those of the words and of the tags, and that of the labels if there is one.

    Raises:
        InputError: A file is missing.
    """
    if not path.is_dir():
        return [path]
    files = [find(path, "", WORDS), find(path, "", TAGS)]
    if any((path / f"{LABELS}{ending}").is_file() for ending in ("", ".gz")):
        files.append(find(path, "", LABELS))
    return files


def _read_columns(path: Path, repair: bool) -> TaggedText:
    """Read words and tags in columns."""
    sentences: list[Sentence] = []
    words: list[str] = []
    tags: list[str] = []
    columns = repairs = left_out = 0
    for number, line in enumerate([*_lines(path), ""], 1):
        cells = _cells(line)
        if not cells:
            if words:
                where = [f"{path}, line {number - len(words) + i}" for i in range(len(words))]
                good, repaired_tags = _check_tags(tags, where, repair)
                sentences.append(Sentence(words, good))
                repairs += repaired_tags
            words, tags = [], []
        elif not words and (cells[0] == "-DOCSTART-" or _is_comment(line, cells)):
            left_out += 1
        else:
            columns = columns or len(cells)
            if len(cells) != columns or columns < 2:
                raise InputError(
                    f"{path}, line {number}: expected a word, its tag in the last column, and as "
                    f"many columns as before ({max(columns, 2)}), got {len(cells)}: "
                    f"'{line[:80]}'. Repair the line; an empty one ends a sentence."
                )
            words.append(cells[0])
            tags.append(cells[-1])
    return TaggedText(sentences, repairs, left_out)


def _is_comment(line: str, cells: Sequence[str]) -> bool:
    """Say whether a line before a sentence is a comment, not the word '#' with its tag."""
    return line.startswith("# ") and not is_tag(cells[-1])


def _read_folder(folder: Path, repair: bool) -> TaggedText:
    """Read `seq.in`, `seq.out` and `label`."""
    word_file, tag_file, *label_file = tagged_files(folder)
    word_lines, tag_lines = _lines(word_file), _lines(tag_file)
    _same_count(word_file, word_lines, tag_file, tag_lines)
    labels: list[str] | list[None] = [None] * len(word_lines)
    if label_file:
        labels = _read_labels(label_file[0], word_file, word_lines)
    sentences: list[Sentence] = []
    repairs = 0
    for number, (line, label) in enumerate(zip(word_lines, labels, strict=True), 1):
        words, tags = _cells(line), _cells(tag_lines[number - 1])
        if not words or len(words) != len(tags):
            raise InputError(
                f"{tag_file}, line {number}: expected one tag for each word of line {number} of "
                f"{word_file.name}, got {len(tags)} tags for {len(words)} words. Repair the line, "
                "or take it out of all files."
            )
        where = [f"{tag_file}, line {number}, tag {i}" for i in range(1, len(tags) + 1)]
        tags, repaired_tags = _check_tags(tags, where, repair)
        sentences.append(Sentence(words, tags, label))
        repairs += repaired_tags
    return TaggedText(sentences, repairs)


def _read_labels(path: Path, word_file: Path, word_lines: Sequence[str]) -> list[str]:
    """Read what each sentence is."""
    labels = [line.strip() for line in _lines(path)]
    _same_count(word_file, word_lines, path, labels)
    if "" in labels:
        raise InputError(
            f"{path}, line {labels.index('') + 1}: expected what the sentence is, got an empty "
            "line. Fill it in, or take the sentence out of all files."
        )
    return labels


def _same_count(one: Path, lines: Sequence[str], other: Path, others: Sequence[str]) -> None:
    """Check that two files have as many lines."""
    if len(lines) != len(others):
        raise InputError(
            f"expected as many lines in {other} as in {one}, one a sentence, got {len(others)} and "
            f"{len(lines)}. They do not belong together, or one is cut off."
        )


def _check_tags(tags: list[str], where: Sequence[str], repair: bool) -> tuple[list[str], int]:
    """Check the tags of a sentence, or repair them; `where` names the place of each."""
    for tag, place in zip(tags, where, strict=True):
        if not is_tag(tag):
            raise InputError(
                f"{place}: expected a tag of the BIO scheme (O, B-TYPE or I-TYPE), got '{tag}'."
            )
    broken = breaks(tags)
    if broken and not repair:
        first = broken[0]
        before = tags[first - 1] if first else "the start of the sentence"
        raise InputError(
            f"{where[first]}: expected B{tags[first][1:]} or O after {before}, got {tags[first]}, "
            "which goes on with an entity that is not there. Repair the file, or give repair=True, "
            f"which begins an entity there (B{tags[first][1:]})."
        )
    return repaired(tags), len(broken)


def _cells(line: str) -> list[str]:
    """Split a line at spaces and tabs; a no-break space may be part of a word."""
    return re.findall(r"[^ \t\r]+", line)


def _lines(path: Path) -> list[str]:
    """Read the lines of a file without empty ones at its end."""
    text = read_text(path).removeprefix("\ufeff")
    return text.rstrip("\r\n").split("\n") if text.strip() else []
