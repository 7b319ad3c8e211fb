"""A stack of recurrent layers that ONNX holds as one node for each, as torch's exporter writes it.

Between two layers there is a Squeeze that takes away the axis of directions, and nothing else.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from unrecur.interop.onnx_constants import constants
from unrecur.interop.onnx_file import all_nodes, attributes
from unrecur.interop.onnx_graph import Cut, cut_at
from unrecur.interop.onnx_reader import recurrent_nodes
from unrecur.interop.recurrence import Recurrence

DIRECTIONS = [1]  # the axis, in the output of a node of layout 0


def stack_at(path: Path, names: Sequence[str]) -> Cut | None:
    """Cut an ONNX model at nodes that are the layers of one stack.

    Args:
        path: The file.
        names: The names of the nodes in the order of the file.

    Returns:
        The cut model, the recurrence of as many layers; None where the nodes are no such stack.

    Raises:
        InputError: A node cannot be represented, or its rows have lengths of their own.
        CorruptFileError: The file is damaged.
    """
    cuts = [cut_at(path, name) for name in names]
    whole = cuts[0].model
    nodes = [recurrent_nodes(whole)[name] for name in names]
    layers = [cut.recurrence for cut in cuts]
    alike = len({cut.dtype for cut in cuts}) == 1
    one_way = not any(layer.reverse or len(layer.cells[0]) > 1 for layer in layers)
    if not (alike and one_way and all(_feeds(whole, *pair, path) for pair in pairwise(nodes))):
        return None
    starts = [layer.initial for layer in layers]
    initial = None
    if any(start is not None for start in starts):
        rows = max(len(start[0][0]) for start in starts if start is not None)
        initial = [
            [layer.cells[0][0].init_state(rows)] if start is None else start[0]
            for layer, start in zip(layers, starts, strict=True)
        ]
    notes = tuple(dict.fromkeys(note for layer in layers for note in layer.notes))
    cells = [layer.cells[0] for layer in layers]
    recurrence = Recurrence("+".join(names), cells, str(path), notes, initial=initial)
    return Cut(whole, tuple(nodes), recurrence, cuts[0].dtype)


def _feeds(model: Any, lower: Any, upper: Any, path: Path) -> bool:
    """Say whether all that becomes of a node's outputs over time is the input of another."""
    below = _readers(model, lower.output[0])
    if len(below) != 1 or below[0].op_type != "Squeeze":
        return False
    [squeeze] = below
    if len(squeeze.input) > 1:
        axes = constants(model.graph, path.parent, {squeeze.input[1]}).get(squeeze.input[1])
    else:
        axes = attributes(squeeze).get("axes")
    above = _readers(model, squeeze.output[0])
    taken = axes is not None and [int(axis) for axis in axes] == DIRECTIONS
    return taken and above == [upper] and upper.input[0] == squeeze.output[0]


def _readers(model: Any, name: str) -> list[Any]:
    """List the nodes that read a value; none where the graph hands it out too."""
    if any(output.name == name for output in model.graph.output):
        return []
    return [node for node in all_nodes(model.graph) if name and name in node.input]
