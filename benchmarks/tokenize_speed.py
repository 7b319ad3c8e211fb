"""Tokenizing: our whole way from a text file to a mapped file of ids, and the library's own part.

    python benchmarks/tokenize_speed.py --data-dir DIR                # three sizes up to 64 MB
    python benchmarks/tokenize_speed.py --data-dir DIR --megabytes 1000 --write

The text is WikiText-2 and War and Peace, over and over; byte pairs are learned before from the
first 8 MB. Then, in turns and on the same lines,

- the library: `encode_batch_fast` and `encode_batch` of tokenizers, of lines that are in memory;
  their answers are thrown away;
- ours, `tokenized`: hashing the file, reading, decoding, splitting into lines,
  `encode_batch_fast`, taking the ids out, writing and syncing the file of ids.

`ratio` is the library's time, the faster of its two, over ours: aim 0.8. Each is the best of the
turns. `peak_megabytes` is the most memory that a process of its own had that went our way only,
imports included. All ids are compared with those of `encode_batch`; a difference ends the benchmark
before a speed is printed.
"""

import itertools
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rows

from unrecur.data.corpus import Corpus, tokenized
from unrecur.data.lines import Part, blocks, units
from unrecur.data.places import find

LEARNED = 8 * 10**6  # bytes
AIM = 0.8


def make(path: Path, data_dir: Path, size: int) -> None:
    """Write a text of so many bytes."""
    sources = [find(data_dir, "wikitext2", "train.txt"), find(data_dir, "text", "warpeace.txt")]
    with path.open("wb") as file:
        for content in (c for each in itertools.cycle(sources) for c in blocks(Part(each))):
            text = content[: size - file.tell()].decode(errors="ignore").encode()
            file.write(text)
            if len(text) < len(content):
                return


def ours(folder: Path) -> Corpus:
    """Go our way, with a text as validation text; what was learned is there, its ids are not."""
    files = {"train": folder / "learn", "valid": folder / "text", "test": folder / "learn"}
    return tokenized(files, "bpe", cache=folder / "cache")


def forget(folder: Path, corpus: Corpus) -> None:
    """Remove the ids of the text, and what is noted of files."""
    shutil.rmtree(folder / "cache" / "notes", ignore_errors=True)
    corpus.tokens["valid"].path.unlink()


def library(text: Path, encode: Callable[..., Any]) -> float:
    """Give the seconds that a function of the library needs for all lines."""
    seconds = 0.0
    for block in units(Part(text)):
        start = time.perf_counter()
        encode(block, add_special_tokens=False)
        seconds += time.perf_counter() - start
    return seconds


def timed(call: Callable[[], Any]) -> float:
    """Give the seconds that a call needs."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def differences(corpus: Corpus, text: Path) -> int:
    """Count the ids of the text that differ from those of the library."""
    ids, tokenizer = corpus.tokens["valid"].ids, corpus.tokenizer.tokenizer
    begin = wrong = 0
    for block in units(Part(text)):
        encoded = tokenizer.encode_batch(block, add_special_tokens=False)
        right = np.array([number for each in encoded for number in each.ids])
        wrong += int((ids[begin : begin + len(right)] != right).sum())
        begin += len(right)
    return wrong + abs(len(ids) - begin)


def peak(folder: Path) -> float:
    """Go our way and give the most megabytes that this process had."""
    ours(folder)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def measured(data_dir: Path, megabytes: int, turns: int) -> Iterator[dict[str, Any]]:
    """Measure three sizes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = folder / "text"
        make(folder / "learn", data_dir, min(LEARNED, megabytes * 10**6))
        for size in (megabytes / 16, megabytes / 4, megabytes):
            make(text, data_dir, int(size * 10**6))
            corpus = ours(folder)
            if wrong := differences(corpus, text):
                sys.exit(f"wrong answer: {wrong} ids differ from the library's, no speed given")
            tokenizer = corpus.tokenizer.tokenizer
            times: dict[str, list[float]] = {}
            for _ in range(turns):
                for call in (tokenizer.encode_batch_fast, tokenizer.encode_batch):
                    times.setdefault(call.__name__, []).append(library(text, call))
                forget(folder, corpus)
                times.setdefault("ours", []).append(timed(lambda: ours(folder)))
            best = {name: min(found) for name, found in times.items()}
            forget(folder, corpus)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                most = pool.apply(peak, (folder,))
            yield {
                "benchmark": "tokenize",
                "megabytes": size,
                "tokens": corpus.tokens["valid"].count,
                "seconds": best,
                "ratio": min(seconds for name, seconds in best.items() if name != "ours")
                / best["ours"],
                "same_ids": True,
                "peak_megabytes": most,
                "aim": {"ratio": AIM},
            }


def main() -> int:
    """Print the rows; 1 if one misses its aim."""
    parser = rows.parser(__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--megabytes", type=float, default=64, help="of the largest text")
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    found = list[dict[str, Any]]()

    def kept() -> Iterator[dict[str, Any]]:
        for row in measured(args.data_dir, args.megabytes, args.turns):
            found.append(row)
            yield row

    rows.run("tokenize_speed", kept(), args.write)
    return int(any(row["ratio"] < AIM for row in found))


if __name__ == "__main__":
    sys.exit(main())
