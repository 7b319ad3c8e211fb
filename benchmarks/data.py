"""Every data set of the shared data folder, loaded and counted: are they what its README says?

    python benchmarks/data.py --data-dir DIR              # prints JSON rows, then a table
    python benchmarks/data.py --data-dir DIR --write      # and keeps the rows in benchmarks/results

Each data set is loaded by the one command that its row names. The numbers it is held to are those
of a sentence of DIR/README.md, or of the README.txt of the folder, which must stand there word for
word. Ends with exit code 1 if any number differs, or a data set cannot be loaded.
"""

import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rows
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unrecur import load_task, own_task
from unrecur._check import InputError
from unrecur.data.places import find
from unrecur.data.sequences import SPLITS
from unrecur.data.sound import open_sounds
from unrecur.data.table import read_table
from unrecur.data.task import Task

NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
Found = list[float]
README, TEXT, SNIPS = "README.md", "text/README.txt", "snips/README.txt"


@dataclass(frozen=True)
class Check:
    """What a README says of a data set, and how that is counted.

    Attributes:
        data_set: Its name.
        says: The sentence; its numbers are those expected.
        count: Loads the data set from the folder and counts.
        command: What loads it, for the reader.
        readme: Where the sentence stands.
        note: What is to be known about the count.
    """

    data_set: str
    says: str
    count: Callable[[Path], Found]
    command: str
    readme: str = README
    note: str = ""


def sequences(task: Task) -> Found:
    """Count the sequences of each split."""
    return [len(task.splits[split]) for split in SPLITS]


def tokens(task: Task) -> Found:
    """Count the tokens of each split of a text: all but the first of a stream are predicted."""
    return [task.steps(split) + 1 for split in SPLITS]


def learnt_and_tested(task: Task) -> Found:
    """Count the sequences of training and validation together, and of test."""
    train, valid, test = sequences(task)
    return [train + valid, test]


def of(name: str, counts: Callable[[Task], Found]) -> dict[str, Any]:
    """Count something of a task of the table."""
    return {
        "count": lambda folder: counts(load_task(name, folder)),
        "command": f"load_task('{name}', DIR)",
    }


def recorded(folder: Path) -> list[Any]:
    """Load the recordings of each split."""
    splits: Any = load_task("fsdd", folder).splits
    return [splits[split].recordings for split in SPLITS]


def fsdd(folder: Path) -> Found:
    """Count recordings and minutes."""
    recordings = recorded(folder)
    seconds = sum(int(each.lengths.sum()) / each.rate for each in recordings)
    return [sum(len(each.lengths) for each in recordings), round(seconds / 60, 1)]


def wav_files(folder: Path) -> Found:
    """Count the wav files that hold, sample by sample, a recording of fsdd.npz."""
    stored = {
        recordings.read(number, 0, int(length)).tobytes()
        for recordings in recorded(folder)
        for number, length in enumerate(recordings.lengths)
    }
    files = open_sounds(sorted((folder / "fsdd" / "sample_wav").glob("*.wav")))
    read = [files.read(number, 0, int(length)) for number, length in enumerate(files.lengths)]
    return [sum(samples.tobytes() in stored for samples in read)]


def war_and_peace(folder: Path) -> Found:
    """Count the bytes, and how many different ones there are."""
    task = own_task(str(find(folder, "text", "warpeace.txt")), level="byte")
    splits: Any = task.splits
    different = np.unique(np.concatenate([splits[split].tokens.ids for split in SPLITS]))
    return [sum(tokens(task)), len(different)]


def table_rows(*files: str) -> Callable[[Path], Found]:
    """Count the rows of tables."""
    return lambda folder: [
        sum(read_table(find(folder, "timeseries", file)).frame.height for file in files)
    ]


def read(*files: str) -> str:
    """Name what reads tables."""
    return " + ".join(f"read_table('{file}.gz')" for file in files)


OCCUPANCY = [f"occupancy_{part}.csv" for part in ("datatraining", "datatest", "datatest2")]

CHECKS = [
    Check("polymusic, JSB", "JSB 229/76/77 sequences", **of("jsb", sequences)),
    Check("polymusic, Nottingham", "Nottingham 694/173/170", **of("nottingham", sequences)),
    Check(
        "wikitext2",
        "2,088,628 / 217,646 / 245,569 tokens, vocabulary 33,278",
        **of("wikitext2", lambda task: [*tokens(task), task.in_features]),
    ),
    Check(
        "snips",
        "13,084/700/700 utterances, 72 slot labels",
        **of("snips", lambda task: [*sequences(task), task.out_features]),
    ),
    Check(
        "snips, words",
        "117700 words (11418 types, 72 slot labels",
        readme=SNIPS,
        # One id more stands for all other words.
        **of("snips", lambda t: [t.steps("train"), t.in_features - 1, t.out_features]),
    ),
    Check(
        "snips, intents",
        "7 intents",
        readme=SNIPS,
        **of("snips-intent", lambda task: [task.out_features]),
    ),
    Check("multi30k", "29,000/1,014/1,000 pairs", **of("multi30k", sequences)),
    Check("fsdd", "3,000 recordings, 21.9 min", fsdd, "load_task('fsdd', DIR)"),
    Check(
        "fsdd, wav files",
        "+ 20 wav files",
        wav_files,
        "open_sounds(DIR/fsdd/sample_wav/*.wav)",
        note="each equals a recording of fsdd.npz, sample by sample",
    ),
    Check(
        "mnist",
        "60,000/10,000",
        note="5,000 of the 60,000 are the validation split",
        **of("mnist-rows", learnt_and_tested),
    ),
    Check(
        "text, tinyshakespeare",
        "1115394 chars, 65 symbols",
        **of("tinyshakespeare", lambda task: [sum(tokens(task)), task.in_features]),
        readme=TEXT,
    ),
    Check(
        "text, warpeace",
        "3202320 bytes, 83 symbols",
        war_and_peace,
        "own_task('warpeace.txt.gz', level='byte')",
        TEXT,
        "83 different bytes; load_task('warpeace', DIR) reads characters, 3,202,303 of 82 "
        "kinds, as à, ä, é and ê are two bytes each",
    ),
    Check(
        "text, enwik8",
        "first 4,000,000 bytes",
        **of("enwik8-part", lambda task: [sum(tokens(task))]),
        readme=TEXT,
    ),
    Check(
        "text, text8",
        "first2899528",
        **of("text8-part", lambda task: [sum(tokens(task))]),
        readme=TEXT,
    ),
    Check(
        "text, text8, symbols",
        "27 symbols",
        **of("text8-part", lambda task: [task.in_features]),
        readme=TEXT,
    ),
    Check("timeseries, ETTh1", "17,420 rows", table_rows("ETTh1.csv"), read("ETTh1.csv")),
    Check("timeseries, occupancy", "20,560 rows", table_rows(*OCCUPANCY), read(*OCCUPANCY)),
    Check(
        "timeseries, sunspots",
        "2,820 rows",
        table_rows("monthly-sunspots.csv"),
        read("monthly-sunspots.csv"),
    ),
    Check(
        "qa",
        "3,524 + 3,493 questions",
        note="of the 3,524, 493 are the validation split",
        **of("drcd", learnt_and_tested),
    ),
]


def expected(check: Check, folder: Path) -> Found:
    """Take the numbers of the sentence, if it stands in the README."""
    readme = folder / check.readme
    if check.says not in readme.read_text("utf-8"):
        raise InputError(f"{readme}: expected '{check.says}' in it, got other words.")
    return [float(number.replace(",", "")) for number in NUMBER.findall(check.says)]


def measured(folder: Path, done: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Count every data set; a row is put into `done` too."""
    for check in CHECKS:
        began = time.perf_counter()
        row: dict[str, Any] = {
            "benchmark": "data",
            "data_set": check.data_set,
            "command": check.command,
            "readme": f"{check.readme}: {check.says}",
        }
        try:
            row["found"] = check.count(folder)
            row["stated"] = expected(check, folder)
            row["equal"] = row["stated"] == row["found"]
        except (InputError, OSError) as error:
            row |= {"equal": False, "error": str(error)}
        if check.note:
            row["note"] = check.note
        row["seconds"] = round(time.perf_counter() - began, 2)
        done.append(row)
        yield row


def table_of(done: list[dict[str, Any]]) -> Table:
    """Lay the rows out for people."""
    table = Table("data set", "stated", "found", "equal")
    table.add_column("loaded by", overflow="fold", ratio=1)
    for row in done:
        numbers = (
            " / ".join(f"{number:,.10g}" for number in row.get(key, ()))
            for key in ("stated", "found")
        )
        last = "\n".join(row[key] for key in ("command", "note", "error") if key in row)
        table.add_row(
            *map(Text, (row["data_set"], *numbers, "yes" if row["equal"] else "NO", last))
        )
    return table


if __name__ == "__main__":
    parser = rows.parser(__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="the shared data folder")
    given = parser.parse_args()
    done: list[dict[str, Any]] = []
    rows.run("data", measured(given.data_dir, done), given.write)
    Console(width=120).print(table_of(done))
    if not all(row["equal"] for row in done):
        sys.exit(1)
