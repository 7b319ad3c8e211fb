"""How long an output takes: a truncated file in onnxruntime beside what it was made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from unrecur._check import extra
from unrecur.exports.onnx_program import session_of
from unrecur.exports.source import read_source
from unrecur.exports.timing import median_seconds
from unrecur.exports.truncated_file import TruncatedFile
from unrecur.exports.window_graph import INPUT
from unrecur.interop.onnx_file import load_onnx
from unrecur.interop.onnx_tensors import load_external
from unrecur.interop.recurrence import run


@dataclass(frozen=True)
class Latency:
    """Medians over repeated runs, in seconds, on as many threads as torch uses.

    Attributes:
        original: The original.
        truncated: The file written.
        per: What is timed, in words.
    """

    original: float
    truncated: float
    per: str


def latency(result: TruncatedFile, data: Any = None) -> Latency:
    """Time a truncated file and its original.

    Args:
        result: What was written.
        data: The inputs of the graph by name, where the whole graph was written.

    Returns:
        The times of both on the data; for a recurrence written alone, of one output at batch 1: one
        step of the recurrence by torch, as a stream pays for it, and one window.
    """
    if result.form == "graph" and isinstance(data, Mapping):
        original = load_onnx(result.source)
        load_external(original, result.source.parent)
        written = extra("onnx", "interop").load(result.path)
        before, after = (_graph_time(model, data) for model in (original, written))
        return Latency(before, after, "the whole of the data, both in onnxruntime")
    recurrence = read_source(result.source, result.select, None).recurrence
    weight = next(recurrence.cells[0][0].parameters())
    x = torch.zeros(1, result.k, recurrence.cells[0][0].input_size, dtype=weight.dtype)
    session = session_of(result.path.read_bytes())
    with torch.no_grad():
        step = median_seconds(lambda: run(recurrence, x[:, -1:]))
    window = median_seconds(lambda: session.run(None, {INPUT: x.numpy()}))
    return Latency(step, window, "one output: a step in torch, a window in onnxruntime")


def _graph_time(model: Any, data: Mapping[str, np.ndarray]) -> float:
    """Time a graph on inputs of which it may take fewer."""
    session = session_of(model.SerializeToString())
    feeds = {item.name: data[item.name] for item in session.get_inputs()}
    return median_seconds(lambda: session.run(None, feeds))
