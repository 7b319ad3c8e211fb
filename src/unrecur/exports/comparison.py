"""A truncated file run in onnxruntime beside the original, on the same inputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrecur.audits.blocks import NUMBERS, Reference
from unrecur.audits.budget import weights_of
from unrecur.exports.onnx_program import session_of
from unrecur.exports.sight import Sight
from unrecur.exports.window_graph import INPUT
from unrecur.interop.onnx_constants import constants
from unrecur.interop.onnx_graph import Cut
from unrecur.interop.onnx_options import INITIAL_C, INITIAL_H, input_name
from unrecur.interop.onnx_part import part, run_part

BUDGET = 1e11  # multiplications of a comparison: some seconds on one core
ROWS = 1024  # windows that are run side by side


@dataclass(frozen=True)
class Comparison:
    """What was seen when both were run on the same inputs.

    Attributes:
        error: The largest difference of any output.
        windows: How many windows were compared.
        original: What the original was run by.
    """

    error: float
    windows: int
    original: str


def compare_windows(model: Any, sight: Sight, k: int, cut: Cut | None) -> Comparison:
    """Run the window of a recurrence at the steps of its inputs, beside the whole recurrence.

    Where there are more windows than the budget allows, as many are taken, evenly spread.

    Args:
        model: The feed-forward model.
        sight: The recurrence on its inputs.
        k: The length of the window.
        cut: The graph that it comes from; None where it comes from another kind of file.

    Returns:
        What was seen.
    """
    by_node = cut is not None and _can_run(cut)
    whole = _by_node(cut, sight) if cut is not None and by_node else sight.reference.y
    ends = _ends(sight, k)
    y = whole.clone()
    y[ends] = _run_windows(
        session_of(model.SerializeToString()), sight.subject.sequences.x, ends, k
    )
    full, truncated = (_finished(sight, values) for values in (whole, y))
    error = torch.stack(
        [(a.double() - b.double()).abs().amax() for a, b in zip(full, truncated, strict=True)]
    )
    return Comparison(float(error.amax()), len(ends), "onnxruntime" if by_node else "torch")


def compare_graphs(model: Any, cut: Cut, inputs: Mapping[str, np.ndarray]) -> Comparison:
    """Run a graph with a window in it beside the graph itself.

    Args:
        model: The graph with the window.
        cut: The original graph.
        inputs: Its inputs by name.

    Returns:
        What was seen in the first output.
    """
    name = cut.model.graph.output[0].name
    full, truncated = (run_part(graph, inputs)[name] for graph in (cut.model, model))
    gap = np.abs(full.astype(np.float64) - truncated.astype(np.float64))
    x, _ = cut.before(inputs)
    return Comparison(float(gap.max()), x.shape[0] * x.shape[1], "onnxruntime")


def _ends(sight: Sight, k: int) -> Tensor:
    """List the steps that have k inputs, by their places in the flat layout."""
    sequences = sight.subject.sequences
    bounds = zip(sequences.starts.tolist(), sequences.lengths.tolist(), strict=True)
    ends = torch.cat([start + torch.arange(k - 1, max(k - 1, length)) for start, length in bounds])
    most = max(1, int(BUDGET / (k * weights_of(sight.subject.layers))))
    if len(ends) <= most:
        return ends
    return ends[torch.linspace(0, len(ends) - 1, most).round().long()]


def _run_windows(session: Any, x: Tensor, ends: Tensor, k: int) -> Tensor:
    """Run the windows that end at some steps."""
    size = max(1, min(ROWS, NUMBERS // (k * x.shape[1])))
    found = []
    for some in ends.split(size):
        rows = x[some[:, None] + torch.arange(1 - k, 1)]
        found.append(torch.from_numpy(session.run(None, {INPUT: rows.numpy()})[0]))
    return torch.cat(found)


def _finished(sight: Sight, y: Tensor) -> list[Tensor]:
    """Make the outputs that errors are counted in of the recurrence's."""
    lengths = sight.subject.sequences.lengths
    return sight.subject.finish(Reference([], y, sight.reference.last, lengths))


def _can_run(cut: Cut) -> bool:
    """Say whether onnxruntime can run the nodes themselves, in the precision of the cells."""
    layouts = [item.i for node in cut.nodes for item in node.attribute if item.name == "layout"]
    weight = next(cut.recurrence.cells[0][0].parameters())
    return not any(layouts) and cut.nodes[-1].output[0] != "" and cut.dtype == weight.numpy().dtype


def _by_node(cut: Cut, sight: Sight) -> Tensor:
    """Run the nodes themselves on each sequence; what the graph computes to start from is zero."""
    zeros = {
        name: np.zeros((1, 1, cells[0].hidden_size), cut.dtype)
        for node, cells in zip(cut.nodes, cut.recurrence.cells, strict=True)
        for place in (INITIAL_H, INITIAL_C)
        if (name := input_name(node, place))
    }
    known = constants(cut.model.graph, Path(), set(zeros))  # all data are in it
    given = {name: zero for name, zero in zeros.items() if name not in known}
    x_name, y_name = cut.nodes[0].input[0], cut.nodes[-1].output[0]
    given[x_name] = np.zeros((1, 1, cut.recurrence.cells[0][0].input_size), cut.dtype)
    alone = part(cut.model, [y_name], given)
    sequences, found = sight.subject.sequences, []
    for x in sequences.split(sequences.x):
        values = run_part(alone, {**given, x_name: x[:, None].numpy()})
        found.append(torch.from_numpy(values[y_name][:, 0, 0]))
    return torch.cat(found)
