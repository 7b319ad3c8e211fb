"""Tokenizing: our whole way from a text file to a mapped file of ids, and the library's own part.

    python benchmarks/tokenize_speed.py --data-dir DIR                # three sizes up to 64 MB
    python benchmarks/tokenize_speed.py --data-dir DIR --megabytes 1000 --turns 2

The text is WikiText-2 and War and Peace, over and over; byte pairs are learned before from 8 MB
of it. Then, in turns and on the same lines,

- the library: `encode_batch_fast` and `encode_batch` of tokenizers, of lines that are in memory;
- ours, `tokenized`, in a process of its own: hashing the file, reading, decoding, splitting into
  lines, `encode_batch_fast`, taking the ids out, writing and syncing the file of ids.

`ratio` is the library's time, the faster of its two, over ours: aim 0.8. Each is the best of the
turns. `peak_mebibytes` is the most memory that the process had that went our way, imports included.
All ids are compared with those of `encode_batch`; a difference ends the benchmark before a speed is
printed.
"""

import itertools
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rows

from unrecur.data.corpus import Corpus, tokenized
from unrecur.data.lines import Part, blocks, units
from unrecur.data.places import find

LEARNED = 8 * 10**6  # bytes
AIM = 0.8


def make(path: Path, sources: list[Path], size: int) -> None:
    """Write a text of so many bytes."""
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


def fast(corpus: Corpus, text: Path) -> float:
    """Give the seconds that the library's fast way needs for all lines."""
    encode = corpus.tokenizer.tokenizer.encode_batch_fast
    seconds = 0.0
    for block in units(Part(text)):
        start = time.perf_counter()
        encode(block, add_special_tokens=False)
        seconds += time.perf_counter() - start
    return seconds


def compared(corpus: Corpus, text: Path) -> float:
    """Give the seconds that `encode_batch` needs for all lines; end if its ids are not ours."""
    ids, encode = corpus.tokens["valid"].ids, corpus.tokenizer.tokenizer.encode_batch
    begin = wrong = 0
    seconds = 0.0
    for block in units(Part(text)):
        start = time.perf_counter()
        encoded = encode(block, add_special_tokens=False)
        seconds += time.perf_counter() - start
        right = np.array([number for each in encoded for number in each.ids])
        wrong += int((ids[begin : begin + len(right)] != right).sum())
        begin += len(right)
    if wrong := wrong + abs(len(ids) - begin):
        sys.exit(f"wrong answer: {wrong} ids differ from the library's, no speed given")
    return seconds


def alone(folder: Path) -> tuple[float, float]:
    """Go our way; give the seconds, and the most mebibytes that this process had."""
    start = time.perf_counter()
    ours(folder)
    seconds = time.perf_counter() - start
    return seconds, rows.peak()


def measured(data_dir: Path, megabytes: float, turns: int) -> Iterator[dict[str, Any]]:
    """Measure three sizes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = folder / "text"
        sources = [find(data_dir, "wikitext2", "train.txt"), find(data_dir, "text", "warpeace.txt")]
        make(folder / "learn", sources[::-1], min(LEARNED, int(megabytes * 10**6)))
        make(text, sources, 10**5)
        forget(folder, ours(folder))  # the byte pairs stay
        for size in (megabytes / 16, megabytes / 4, megabytes):
            make(text, sources, int(size * 10**6))
            times: dict[str, list[float]] = {}
            for _ in range(turns):
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    seconds, most = pool.apply(alone, (folder,))
                corpus = ours(folder)
                times.setdefault("ours", []).append(seconds)
                times.setdefault("encode_batch_fast", []).append(fast(corpus, text))
                times.setdefault("encode_batch", []).append(compared(corpus, text))
                forget(folder, corpus)
            best = {name: min(found) for name, found in times.items()}
            yield {
                "benchmark": "tokenize",
                "megabytes": size,
                "tokens": corpus.tokens["valid"].count,
                "turns": turns,
                "seconds": best,
                "ratio": min(best["encode_batch_fast"], best["encode_batch"]) / best["ours"],
                "same_ids": True,
                "peak_mebibytes": round(most),
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
