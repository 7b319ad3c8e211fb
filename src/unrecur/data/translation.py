"""Translation: predict the next token of a sentence, given the sentence it translates."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrecur._check import InputError
from unrecur.data.bleu import Bleu
from unrecur.data.byte_pairs import BPETokenizer
from unrecur.data.floors import token_floors
from unrecur.data.hashing import split_hash
from unrecur.data.lines import lines
from unrecur.data.losses import categorical_nll
from unrecur.data.places import find
from unrecur.data.scores import perplexity
from unrecur.data.sequences import SPLITS, Pair, Split
from unrecur.data.task import Score, Task

LONGEST = 256  # tokens of a sentence
BLOCK = 2048  # pairs that are encoded at once
Files = Path | tuple[Path, Path]


def translation_task(
    name: str,
    title: str,
    files: Mapping[Split, Files],
    vocabulary: int = BPETokenizer.DEFAULT,
    **details: Any,
) -> Task:
    """Make the task of translating sentences.

    Source and target have a vocabulary of byte pairs each, learned from the training text: an
    encoder and a decoder have tables of their own here, and of a joint vocabulary each would hold
    words that only the other needs. The decoder reads <s> y_1 ... y_n and predicts y_1 ... y_n
    </s>; <s> and </s> have the two ids behind those of the target's byte pairs, so no text can be
    mistaken for them.

    Pairs with a blank side, and pairs with more than 256 tokens on a side, are left out; the task's
    notes count them.

    Args:
        name: The task's name.
        title: What it is, in words.
        files: For each split the file of the source and that of the target, aligned by line, or one
            file with a source, a tab and a target in each line; plain or gzip.
        vocabulary: How many byte pairs each side has.
        **details: What else the `Task` says of itself.

    Returns:
        The task.

    Raises:
        InputError: A split is missing, a line has no partner, not two columns, is too long or no
            UTF-8, or nothing is left.
        CorruptFileError: A gzip file is damaged.
    """
    missing = [split for split in SPLITS if split not in files]
    if missing:
        raise InputError(f"expected files for each split, got none for {', '.join(missing)}.")
    source, target = (
        BPETokenizer.learn(_side(files["train"], side), vocabulary) for side in (0, 1)
    )
    read = {split: _encoded(files[split], source, target) for split in SPLITS}
    size, bleu = target.size + 2, Bleu(target)
    steps = sum(int(read[split].targets.lengths.sum()) for split in SPLITS[1:])
    notes = [
        f"Source and target have {source.size:,} and {target.size:,} byte pairs, learned from the "
        "training text alone.",
        *(note for split in SPLITS for note in read[split].notes(split)),
        f"BLEU is sacrebleu's, with the signature {bleu.signature}.",
    ]
    return Task(
        name=name,
        title=title,
        metric="negative log-likelihood of the next token of the translation",
        unit="nats per token",
        in_features=size,
        out_features=size,
        step_loss=categorical_nll,
        chance_level=math.log(size),
        splits={split: Targets(read[split].targets, bleu.start, bleu.end) for split in SPLITS},
        hashes={split: read[split].hash() for split in SPLITS},
        floors=token_floors(size, steps, 3),
        tokens=True,
        sources={split: read[split].sources for split in SPLITS},
        source_features=source.size,
        scores={
            "perplexity": perplexity,
            "bleu": Score("BLEU of greedy translations", "", "higher", bleu),
        },
        notes=(*notes, *details.pop("notes", ())),
        **details,
    )


class Rows(Sequence[Tensor]):
    """Rows of token ids, side by side in one array.

    Args:
        rows: The ids of each.
    """

    def __init__(self, rows: list[np.ndarray]) -> None:
        self.ids = np.concatenate([np.empty(0, np.int32), *rows])
        self.ends = np.cumsum([0, *map(len, rows)])

    def __len__(self) -> int:
        return len(self.ends) - 1

    @property
    def lengths(self) -> np.ndarray:
        """The number of ids of each row."""
        return np.diff(self.ends)

    def __getitem__(self, number: int) -> Tensor:  # type: ignore[override]
        if not 0 <= number < len(self):
            raise IndexError(number)
        row = self.ids[self.ends[number] : self.ends[number + 1]]
        return torch.from_numpy(row.astype(np.int64))


@dataclass(frozen=True)
class Targets:
    """What a decoder reads and predicts: a sentence behind its start, and before its end.

    Attributes:
        rows: The sentences.
        start: The id before each.
        end: The id behind each.
    """

    rows: Rows
    start: int
    end: int

    @property
    def lengths(self) -> np.ndarray:
        """The number of steps of each sentence, that of the end included."""
        return self.rows.lengths + 1

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> Pair:
        ids = torch.nn.functional.pad(self.rows[number], (1, 0), value=self.start)
        return ids, torch.nn.functional.pad(ids[1:], (0, 1), value=self.end)


@dataclass(frozen=True)
class Read:
    """The pairs of a split.

    Attributes:
        sources: The sources.
        targets: What they translate to.
        blank: The numbers of the lines that were left out as a side is blank.
        long: The numbers of those that were left out as a side is too long.
    """

    sources: Rows
    targets: Rows
    blank: list[int]
    long: list[int]

    def hash(self) -> str:
        """Identify the pairs."""
        rows = (self.sources, self.targets)
        return split_hash([array for side in rows for array in (side.ids, side.ends)])

    def notes(self, split: Split) -> Iterator[str]:
        """Say what was left out."""
        for left_out, why in (
            (self.blank, "a side is blank"),
            (self.long, f"a side has more than {LONGEST} tokens"),
        ):
            if left_out:
                yield (
                    f"{len(left_out):,} pairs of {split} are left out because {why}, the first in "
                    f"line {left_out[0]:,}."
                )


def _encoded(files: Files, source: BPETokenizer, target: BPETokenizer) -> Read:
    """Read and encode the pairs of a split."""
    sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    blank: list[int] = []
    long: list[int] = []
    numbered = enumerate(_pairs(files), 1)
    while block := list(itertools.islice(numbered, BLOCK)):
        blank += [number for number, pair in block if not all(pair)]
        kept = [(number, pair) for number, pair in block if all(pair)]
        encoded = (
            tokenizer.each([pair[side] for _, pair in kept])
            for side, tokenizer in enumerate((source, target))
        )
        for (number, _), *both in zip(kept, *encoded, strict=True):
            if max(map(len, both)) > LONGEST:
                long.append(number)
                continue
            for rows, ids in zip(sides, both, strict=True):
                rows.append(np.array(ids, np.int32))
    return Read(Rows(sides[0]), Rows(sides[1]), blank, long)


def _side(files: Files, side: int) -> Iterable[list[str]]:
    """Read one side of the pairs, as a tokenizer learns from it."""
    return ([pair[side]] for pair in _pairs(files))


def _pairs(files: Files) -> Iterator[tuple[str, str]]:
    """Read pairs of lines."""
    if isinstance(files, Path):
        for number, line in enumerate(lines(files, strip="\r"), 1):
            cells = line.split("\t")
            if len(cells) != 2:
                raise InputError(
                    f"{files}, line {number}: expected a source, a tab and a target, got "
                    f"{len(cells)} columns. Remove what is too much, or give two files."
                )
            yield cells[0].strip(), cells[1].strip()
        return
    sides = itertools.zip_longest(*map(lines, files))
    for number, (source, target) in enumerate(sides, 1):
        if source is None or target is None:
            ended, longer = files if source is None else files[::-1]
            raise InputError(
                f"expected files that are aligned by line, got {ended} with {number - 1} lines and "
                f"{longer} with more: line {number} has no partner."
            )
        yield source, target


def multi30k(data_dir: Path | None = None) -> Task:
    """Load Multi30k, English to German, tested on the Flickr images of 2016.

    Args:
        data_dir: The folder that holds it, or the one above it.

    Returns:
        The task.

    Raises:
        InputError: No folder is given, or a file is missing or malformed.
    """
    stems: dict[Split, str] = {"train": "train", "valid": "val", "test": "test_2016_flickr"}
    return translation_task(
        "multi30k",
        "Multi30k image captions, English to German",
        {
            split: (
                find(data_dir, "multi30k", f"{stem}.en"),
                find(data_dir, "multi30k", f"{stem}.de"),
            )
            for split, stem in stems.items()
        },
        parameters=1_000_000,
    )
