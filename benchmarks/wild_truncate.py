"""A model in the wild as feed-forward ONNX: Silero VAD truncated, beside the original, on speech.

    python benchmarks/wild_truncate.py --data-dir DIR [--windows 8 32 128] [--write]

The model is fetched from PyPI by pip (benchmarks/wild.py). Two of its files are truncated:
`silero_vad_16k.safetensors`, whose LSTM cell is written alone, on spoken digits of ten sequences,
the error counted in the probability of speech; and `silero_vad_16k_sequence.onnx`, whose whole
graph is kept, on the first recordings of digits, said one after another.

A row says: the window k; the error stated and what it rests on; the error seen when the file was
run in onnxruntime beside the original, and their ratio; the share of changed decisions; sizes, and
the time of both. A file whose error seen is above the one stated is not written, and ends this.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from rows import parser, run
from wild import HOOKS, fetch, load

import unrecur
from unrecur.exports.latency import latency
from unrecur.exports.truncated_file import TruncatedFile

SEQUENCE = "silero_vad_16k_sequence.onnx"
RECORDINGS = 122  # of the figures in THEORY.md


def row(what: str, done: TruncatedFile, data: Any, **more: Any) -> dict[str, Any]:
    """Say what was written."""
    times = latency(done, data)
    return {
        "what": what,
        "model": done.source.name,
        "form": done.form,
        "k": done.k,
        "error_stated": done.bound,
        "evidence": str(done.evidence),
        "of": done.of,
        "error_seen": done.seen.error,
        "ratio": done.seen.error / done.bound,
        "windows": done.seen.windows,
        "original_by": done.seen.original,
        **more,
        "bytes": done.path.stat().st_size,
        "bytes_original": done.source.stat().st_size,
        "seconds": times.truncated,
        "seconds_original": times.original,
        "time_of": times.per,
    }


def cell_rows(hook: Any, folder: Path, ks: list[int], place: Path) -> Iterator[dict[str, Any]]:
    """Truncate the LSTM cell, its error counted in the probability of speech."""
    path = fetch(hook)
    x = [torch.as_tensor(part) for part in hook.inputs(folder, path)]
    for k in ks:
        done = unrecur.truncate_file(
            path,
            place / f"cell{k}.onnx",
            k=k,
            data=x,
            select=hook.SELECT,
            output=lambda y: hook.outputs(y, path),
            evidence="measured",
        )
        yield row("cell", done, x)


def graph_rows(hook: Any, folder: Path, ks: list[int], place: Path) -> Iterator[dict[str, Any]]:
    """Truncate the whole graph that takes a sequence of chunks."""
    path = fetch(hook).with_name(SEQUENCE)
    audio = np.concatenate(hook.spoken_digits(folder)[:RECORDINGS])
    zero = np.zeros((1, 1, 128), np.float32)
    data = {"input": hook.chunks(audio).numpy(), "h": zero, "c": zero}
    for k in ks:
        done = unrecur.truncate_file(path, place / f"graph{k}.onnx", k=k, data=data)
        sessions = [
            onnxruntime.InferenceSession(str(each), providers=["CPUExecutionProvider"])
            for each in (path, done.path)
        ]
        speech = [
            session.run(None, {item.name: data[item.name] for item in session.get_inputs()})[0]
            for session in sessions
        ]
        changed = float(((speech[0] > 0.5) != (speech[1] > 0.5)).mean())
        yield row("graph", done, data, changed=changed)


def rows(folder: Path, ks: list[int]) -> Iterator[dict[str, Any]]:
    """Truncate both files to each window."""
    hook = load(HOOKS / "silero.py")
    with tempfile.TemporaryDirectory() as place:
        yield from graph_rows(hook, folder, ks, Path(place))
        yield from cell_rows(hook, folder, ks, Path(place))


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--data-dir", type=Path, required=True)
    options.add_argument("--windows", type=int, nargs="*", default=[8, 32, 128])
    given = options.parse_args()
    run("wild_truncate", rows(given.data_dir, given.windows), given.write)
