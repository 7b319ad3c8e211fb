"""Language modelling on the texts of the data folder."""

from functools import partial
from pathlib import Path
from typing import Any

from unrecur.data.places import find
from unrecur.data.sequences import SPLITS, Split
from unrecur.data.task import Published, Task
from unrecur.data.text import language_task
from unrecur.data.tokenize import Level


def stored_text(
    name: str,
    title: str,
    folder: str,
    files: dict[Split, str] | str,
    level: Level,
    data_dir: Path | None = None,
    **options: Any,
) -> Task:
    """Load the task of a text in the data folder.

    Args:
        name: The task's name.
        title: What it is, in words.
        folder: The name of the data set's folder.
        files: The file of each split in there, or one for all.
        level: What a token is.
        data_dir: The folder that holds it, or the one above it.
        **options: See `language_task`.

    Returns:
        The task.

    Raises:
        InputError: No folder is given, or a file is missing or malformed.
    """
    found: dict[Split, Path] | Path = (
        find(data_dir, folder, files)
        if isinstance(files, str)
        else {split: find(data_dir, folder, file) for split, file in files.items()}
    )
    return language_task(name, title, found, level, **options)


_WIKITEXT2: dict[Split, str] = {split: f"{split}.txt" for split in SPLITS}
_NOT_STANDARD = (
    "This is the beginning of the data set, with splits of its own: figures are not those of the "
    "whole."
)

wikitext2 = partial(
    stored_text,
    "wikitext2",
    "WikiText-2, next word",
    "wikitext2",
    _WIKITEXT2,
    "word",
    piece=35,  # a step has 33,278 scores
    parameters=2_300_000,
    published=(
        Published(99.3, "perplexity", "LSTM", "Grave et al. 2017, arXiv 1612.04426"),
        Published(65.8, "perplexity", "AWD-LSTM, 33 M", "Merity et al. 2017, arXiv 1708.02182"),
    ),
    notes=(
        "Embedding and readout of 33,278 words take 2.2 M of the parameters of a model of 32 "
        "units: that is why the size for studies is larger than that of other tasks.",
    ),
)
wikitext2_bpe = partial(
    stored_text,
    "wikitext2-bpe",
    "WikiText-2, next byte pair",
    "wikitext2",
    _WIKITEXT2,
    "bpe",
    vocabulary=4096,
    parameters=600_000,
)
wikitext2_char = partial(
    stored_text,
    "wikitext2-char",
    "WikiText-2, next character",
    "wikitext2",
    _WIKITEXT2,
    "character",
)
tinyshakespeare = partial(
    stored_text,
    "tinyshakespeare",
    "Plays of Shakespeare, next character",
    "text",
    "tinyshakespeare.txt",
    "character",
)
warpeace = partial(
    stored_text, "warpeace", "War and Peace, next character", "text", "warpeace.txt", "character"
)
enwik8_part = partial(
    stored_text,
    "enwik8-part",
    "The first 4 MB of enwik8, next byte",
    "text",
    "enwik8_first4000000",
    "byte",
    notes=(_NOT_STANDARD,),
)
text8_part = partial(
    stored_text,
    "text8-part",
    "The first 2.9 M letters of text8, next letter",
    "text",
    "text8_first2899528",
    "character",
    notes=(_NOT_STANDARD,),
)
