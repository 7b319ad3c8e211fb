"""Language modelling: predict the next word, character, byte or byte pair of a text."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrecur import _check
from unrecur.core.model import AbstractSequenceModel
from unrecur.data.corpus import Corpus, Report, tokenized
from unrecur.data.floors import token_floors
from unrecur.data.lines import name_inside
from unrecur.data.losses import categorical_bits, categorical_nll
from unrecur.data.own_files import check_apart
from unrecur.data.scores import perplexity
from unrecur.data.sequences import SPLITS, Split
from unrecur.data.task import Score, Task
from unrecur.data.token_files import Pieces
from unrecur.data.tokenize import UNKNOWN, Level

PIECE = 128
NAMES = {"word": "words", "character": "characters", "byte": "bytes", "bpe": "byte pairs"}


def language_task(
    name: str,
    title: str,
    files: dict[Split, Path] | Path,
    level: Level,
    *,
    piece: int = PIECE,
    vocabulary: int | None = None,
    cache: Path | None = None,
    report: Report | None = None,
    **details: Any,
) -> Task:
    r"""Make the task of predicting each token of a text from those before it.

    A split is one stream, given in pieces over which models carry their state; every token but the
    very first is predicted once. Characters and bytes are measured in bits each, words and byte
    pairs in nats each with the perplexity; byte pairs also in bits per character of the text, by
    which vocabularies compare. Text is tokenized into files once (see `tokenized`).

    Args:
        name: The task's name.
        title: What it is, in words.
        files: The file of each split, plain or gzip; or one file, cut in order into 90 %, 5 % and
            5 %.
        level: What a token is.
        piece: The number of steps of a piece.
        vocabulary: How many ids byte pairs have, 4,096 where left out.
        cache: Where token files are kept; `default_cache` where left out.
        report: Told how many bytes of text are tokenized, and of how many.
        **details: What else the `Task` says of itself.

    Returns:
        The task.

    Raises:
        InputError: A file is empty, too short or no UTF-8, two splits have the same text, or a
            number is out of range.
        CorruptFileError: A gzip file is damaged.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "song.txt").write_text("row, row, row your boat\n" * 40)
        >>> task = language_task(
        ...     "song", "A song", folder / "song.txt", "character", cache=folder, piece=8
        ... )
        >>> task.steps("train") + 1, task.in_features, task.unit
        (888, 11, 'bits per character')
    """
    _check.positive_integer(piece, "piece")
    corpus = tokenized(files, level, vocabulary, cache, report)
    if not isinstance(files, Path):
        check_apart({split: [(corpus.hashes[split], files[split])] for split in SPLITS})
    # What only the other splits have is one more token, which is never seen in training.
    unknown = {split: int(corpus.tokens[split].facts["unknown"]) for split in SPLITS}
    size = corpus.tokenizer.size + any(unknown.values())
    bits = level in ("character", "byte")
    steps = sum(corpus.tokens[split].count for split in SPLITS[1:])
    notes = (*_notes(corpus, unknown, level, isinstance(files, Path)), *details.pop("notes", ()))
    return Task(
        name=name,
        title=title,
        metric="negative log-likelihood of the next token",
        unit=f"bits per {level}" if bits else "nats per token",
        in_features=size,
        out_features=size,
        step_loss=categorical_bits if bits else categorical_nll,
        chance_level=math.log2(size) if bits else math.log(size),
        splits={split: Pieces(corpus.tokens[split], piece) for split in SPLITS},
        hashes={split: _hash(corpus, split, piece) for split in SPLITS},
        floors=token_floors(size, steps, 5 if bits else 3),
        tokens=True,
        continuous=True,
        scores=_scores(corpus, level),
        notes=notes,
        **details,
    )


def _hash(corpus: Corpus, split: Split, piece: int) -> str:
    """Identify the content of a split: text, tokenizer and pieces."""
    return hashlib.sha256(f"{corpus.hashes[split]} {piece}".encode()).hexdigest()


def _notes(corpus: Corpus, unknown: dict[Split, int], level: Level, is_cut: bool) -> list[str]:
    """Say what was done to a text."""
    notes = []
    if is_cut:
        notes.append(
            "The text is cut in order into 90 % for training and 5 % each for validation and test, "
            "at the next line end (between words where none is near)."
        )
    if level != "byte":
        notes.append(
            f"The vocabulary, {corpus.tokenizer.size:,} {NAMES[level]}, is learned from the "
            "training text alone."
        )
    for split, count in unknown.items():
        if count:
            notes.append(
                f"{count:,} of the {corpus.tokens[split].count:,} {NAMES[level]} of {split} are "
                f"not in the training text; all of them are one more token, {UNKNOWN}."
            )
    return notes


def _scores(corpus: Corpus, level: Level) -> dict[str, Score]:
    """Give the figures that people know a language model by."""
    if level in ("character", "byte"):
        return {}
    if level == "word":
        return {"perplexity": perplexity}
    share = {
        split: (tokens.count - 1) / tokens.facts["characters"]
        for split, tokens in corpus.tokens.items()
    }
    bits = Score("bits per character", "bits", "lower", BitsPerCharacter(share))
    return {"perplexity": perplexity, "bits_per_character": bits}


@dataclass(frozen=True)
class BitsPerCharacter:
    """Turn nats per token into bits per character: all nats / log 2 / all characters.

    The characters are those of the raw text of a split.

    Attributes:
        tokens: For each split how many predicted tokens there are to a character.
    """

    tokens: dict[Split, float]

    def __call__(
        self, model: AbstractSequenceModel, task: Task, split: Split, metric: float
    ) -> float:
        """Give the score; see `Score`."""
        return metric * self.tokens[split] / math.log(2)


def text_file_task(path: Path, level: Level = "character", **options: Any) -> Task:
    """Make a task of a text of one's own.

    Args:
        path: The file, plain or gzip, in UTF-8 (any file at the level "byte").
        level: What a token is.
        **options: See `language_task`.

    Returns:
        The task, named after the file.

    Raises:
        InputError: The file is empty, too short or no UTF-8.
        CorruptFileError: It is a damaged gzip file.
    """
    file = name_inside(path)
    title = f"{file}, next {'byte pair' if level == 'bpe' else level}"
    return language_task(Path(file).stem, title, path, level, **options)
