"""Raw audio: predict the next sample of a recording."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from unrecur import _check
from unrecur._check import InputError
from unrecur.data.floors import token_floors
from unrecur.data.losses import categorical_bits
from unrecur.data.own_files import ignored, split_folder
from unrecur.data.quantizer import Law, Quantizer
from unrecur.data.recordings import Recordings
from unrecur.data.sequences import SPLITS, Pair, Split
from unrecur.data.sound import open_sounds
from unrecur.data.task import Task

SUFFIXES = (".wav", ".flac")
PIECE = 2_000  # samples
ORDER = 2  # of the n-gram, which is a chain from sample to sample
PARAMETERS = 60_000


@dataclass(frozen=True)
class Pieces:
    """The pieces of recordings, read when asked for; every sample is predicted once.

    The inputs of a piece are its samples one step late: the first is the sample before the piece,
    or silence at the start of a recording. Mu-law levels are given as token ids, linear ones as the
    samples they stand for.

    Attributes:
        recordings: The recordings.
        quantizer: Makes samples levels.
        size: The number of samples of a piece; the last one of a recording may have fewer.
    """

    recordings: Recordings
    quantizer: Quantizer
    size: int

    @cached_property
    def ends(self) -> np.ndarray:
        """The number of pieces of all recordings up to each."""
        return (-(-self.recordings.lengths // self.size)).cumsum()

    @cached_property
    def lengths(self) -> np.ndarray:
        """The number of samples of each piece."""
        lengths = np.full(len(self), self.size)
        lengths[self.ends - 1] = (self.recordings.lengths - 1) % self.size + 1
        return lengths

    @property
    def hash(self) -> str:
        """The SHA-256 of the recordings, and of what is made of them."""
        made = f"{self.quantizer.law} {self.quantizer.levels} {self.size} {self.recordings.hash}"
        return hashlib.sha256(made.encode()).hexdigest()

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, number: int) -> Pair:
        number = range(len(self))[number]
        recording = int(self.ends.searchsorted(number, side="right"))
        start = (number - (int(self.ends[recording - 1]) if recording else 0)) * self.size
        stop = min(start + self.size, int(self.recordings.lengths[recording]))
        samples = torch.from_numpy(self.recordings.read(recording, max(0, start - 1), stop))
        levels = self.quantizer.encode(samples)
        if start == 0:
            levels = torch.cat([torch.tensor([self.quantizer.silence]), levels])
        if self.quantizer.law == "mu-law":
            return levels[:-1], levels[1:]
        return self.quantizer.decode(levels[:-1])[:, None], levels[1:]


def audio_task(
    name: str,
    title: str,
    recordings: Mapping[Split, Recordings],
    *,
    law: Law = "mu-law",
    levels: int = 256,
    piece: int = PIECE,
    notes: tuple[str, ...] = (),
) -> Task:
    """Make the task of predicting each sample of recordings from those before it.

    The metric is the negative log-likelihood of the level of a sample, in bits (van den Oord et al.
    2016, arXiv 1609.03499, section 2.2; Mehri et al. 2017, arXiv 1612.07837, for linear levels).

    Args:
        name: The task's name.
        title: What it is, in words.
        recordings: Those of each split, `open_sounds` or `StoredRecordings`.
        law: How samples become levels.
        levels: The number of levels.
        piece: The number of samples of a sequence.
        notes: What was done to the recordings before, a sentence each.

    Returns:
        The task; pieces are read when they are needed.

    Raises:
        InputError: A size is below 1, or the splits have other rates.
    """
    _check.positive_integer(piece, "piece")
    rates = {recordings[split].rate for split in SPLITS}
    if len(rates) > 1:
        raise InputError(f"expected one rate in all splits, got {sorted(rates)}.")
    quantizer = Quantizer(law, levels)
    splits = {split: Pieces(recordings[split], quantizer, piece) for split in SPLITS}
    tokens = law == "mu-law"
    steps = sum(int(splits[split].lengths.sum()) for split in SPLITS[1:])
    return Task(
        name=name,
        title=title,
        metric="negative log-likelihood of the next sample",
        unit="bits per sample",
        in_features=levels if tokens else 1,
        out_features=levels,
        step_loss=categorical_bits,
        chance_level=math.log2(levels),
        splits=splits,
        input_box=None if tokens else (-1.0, 1.0),
        hashes={split: pieces.hash for split, pieces in splits.items()},
        floors=token_floors(levels, steps, ORDER) if tokens else {"constant": {}},
        tokens=tokens,
        parameters=PARAMETERS,
        notes=(
            *notes,
            f"Samples are rounded to {levels} {law} levels, those a model reads too.",
            f"Recordings are cut into pieces of {piece:,} samples, each read without a past but "
            "the sample before it; every sample is predicted once.",
        ),
    )


def sound_folder(
    folder: Path, *, law: Law = "mu-law", levels: int = 256, piece: int = PIECE
) -> Task:
    """Make the task of predicting each sample of the wav and flac files of a folder.

    Args:
        folder: The folder; `split_folder` says which file goes to which split.
        law: How samples become levels.
        levels: The number of levels.
        piece: The number of samples of a sequence.

    Returns:
        The task.

    Raises:
        InputError: A split has no files; or one is empty, of another rate, or has several channels.
        CorruptFileError: One is damaged.
    """
    files = split_folder(folder, SUFFIXES)
    train = open_sounds(files["train"])
    others = {split: open_sounds(files[split], train.rate) for split in SPLITS[1:]}
    return audio_task(
        folder.resolve().name,
        f"The next sample of the recordings in {folder.resolve().name}",
        {"train": train, **others},
        law=law,
        levels=levels,
        piece=piece,
        notes=(
            "The split is by file: " + ", ".join(f"{len(files[s])} {s}" for s in SPLITS) + ".",
            *ignored(folder, [path for split in SPLITS for path in files[split]]),
        ),
    )
