"""A foreign ONNX graph whose recurrent node is replaced by the window of it, the rest kept.

The node reads a block [time, batch, features]. In its place every step of the block gets the
output of the last k inputs, all windows side by side; where fewer than k have come, of all of them.
"""

from typing import Any

import numpy as np
from torch import Tensor

from unrecur._check import InputError, extra
from unrecur.exports.graph_nodes import LAST, GraphNodes
from unrecur.exports.window_graph import check_window, fresh_states, unroll
from unrecur.interop.onnx_constants import DEFAULT_DOMAINS
from unrecur.interop.onnx_file import all_nodes
from unrecur.interop.onnx_graph import Cut
from unrecur.interop.onnx_options import INITIAL_C, INITIAL_H, input_name
from unrecur.interop.onnx_part import part
from unrecur.interop.onnx_reader import is_recurrent

LEAST_OPSET = 13  # Split and Squeeze take what they need as inputs from then on
X, STATES = 0, (INITIAL_H, INITIAL_C)


def window_graph(cut: Cut, k: int) -> Any:
    """Replace the recurrent node of a graph by its window of k inputs.

    States that the graph takes as inputs are gone from it: a window starts from zeros.

    Args:
        cut: The graph, cut at the node.
        k: The length of the window.

    Returns:
        The `onnx.ModelProto`.

    Raises:
        InputError: This node cannot be replaced; the message says why.
    """
    onnx = extra("onnx", "interop")
    check_window(cut.recurrence, k)
    check_replaceable(cut)
    fresh = fresh_states(cut.recurrence)
    nodes = GraphNodes(prefix=_prefix(cut))
    _replace(nodes, cut, k, fresh)
    model = onnx.ModelProto()
    model.CopyFrom(cut.model)
    places = [n for n, node in enumerate(cut.model.graph.node) if node in cut.nodes]
    for place in reversed(places):
        del model.graph.node[place]
    for offset, node in enumerate(nodes.nodes):
        model.graph.node.insert(place + offset, node)
    model.graph.initializer.extend(nodes.constants)
    del model.graph.value_info[:]
    return part(model, [output.name for output in cut.model.graph.output])


def _replace(nodes: GraphNodes, cut: Cut, k: int, fresh: list[Tensor]) -> None:
    """Add the windows of the node's input, and its outputs under their own names."""
    x, whole = cut.nodes[0].input[X], cut.nodes[-1].output[0]
    every = _is_read(cut, whole)
    early = nodes.integers(k - 1, 0, 0, 0, 0, 0)
    seen, valid = nodes.add("Pad", x, early), _valid(nodes, x, k)
    if not every:  # only the states behind the last step are asked for
        seen, valid = (nodes.slice(block, -k, LAST, 0) for block in (seen, valid))
    states = unroll(nodes, cut.recurrence, seen, k, 0, fresh, every, valid)
    for node, parts in zip(cut.nodes, states, strict=True):
        ends = [state if not every else nodes.slice(state, -1, LAST, 0) for state in parts]
        for value, name in zip(reversed(ends), node.output[1:], strict=False):
            if name:
                nodes.add("Identity", value)
                nodes.nodes[-1].output[0] = name
    if every:
        nodes.add("Unsqueeze", states[-1][-1], nodes.integers(1))
        nodes.nodes[-1].output[0] = whole


def _valid(nodes: GraphNodes, x: str, k: int) -> str:
    """Add the mask of the steps of a block with k - 1 before it, [time, 1, 1]."""
    time = nodes.slice(nodes.add("Shape", x), 0, 1, 0)
    size = nodes.add("Concat", time, nodes.integers(1, 1), axis=0)
    yes = extra("onnx", "interop").numpy_helper.from_array(np.array([True]))
    inside = nodes.add("ConstantOfShape", size, value=yes)
    before = nodes.constant(np.zeros((k - 1, 1, 1), np.bool_))
    return nodes.add("Concat", before, inside, axis=0)


def check_replaceable(cut: Cut) -> None:
    """Check that the rest of the graph can be kept around a window.

    Args:
        cut: The graph, cut at its recurrent node.

    Raises:
        InputError: It cannot; the message says why.
    """
    graph = cut.model.graph
    own = {node.output[-1] for node in cut.nodes}
    others = [
        n.name or n.op_type for n in all_nodes(graph) if is_recurrent(n) and n.output[-1] not in own
    ]
    loops = [n.op_type for n in all_nodes(graph) if n.op_type in ("Loop", "Scan")]
    if others or loops:
        raise InputError(f"the graph has other recurrences: {', '.join([*others, *loops])}.")
    versions = [o.version for o in cut.model.opset_import if o.domain in DEFAULT_DOMAINS]
    if min(versions, default=0) < LEAST_OPSET:
        raise InputError(f"the graph is of opset {versions}, and a window takes {LEAST_OPSET}.")
    if any(item.name == "layout" and item.i == 1 for n in cut.nodes for item in n.attribute):
        raise InputError("the node has layout 1, which onnxruntime cannot check.")
    weight = next(cut.recurrence.cells[0][0].parameters()).detach().numpy()
    if cut.dtype != weight.dtype:
        raise InputError(f"the graph computes in {cut.dtype}, and a window in {weight.dtype}.")
    given = given_states(cut)
    made = [name for name in _starts(cut) if name not in given]
    if cut.recurrence.notes and made:
        raise InputError(f"the graph computes the state to start from ({', '.join(made)}).")


def given_states(cut: Cut) -> list[str]:
    """Name the inputs of a graph that its recurrence starts from.

    Args:
        cut: The graph, cut at its recurrent node.

    Returns:
        Their names.
    """
    inputs = {item.name for item in cut.model.graph.input}
    inputs -= {item.name for item in cut.model.graph.initializer}
    return [name for name in _starts(cut) if name in inputs]


def _starts(cut: Cut) -> list[str]:
    """Name what the nodes start from."""
    names = (input_name(node, place) for node in cut.nodes for place in STATES)
    return [*dict.fromkeys(filter(None, names))]


def _is_read(cut: Cut, name: str) -> bool:
    """Say whether anything reads an output of the node."""
    outputs = {output.name for output in cut.model.graph.output}
    return name != "" and (
        name in outputs or any(name in node.input for node in all_nodes(cut.model.graph))
    )


def _prefix(cut: Cut) -> str:
    """Find a prefix that no name of the graph begins with."""
    graph = cut.model.graph
    names = [name for node in all_nodes(graph) for name in (*node.input, *node.output, node.name)]
    names += [item.name for item in (*graph.input, *graph.initializer)]
    prefix = "window/"
    while any(name.startswith(prefix) for name in names):
        prefix = f"_{prefix}"
    return prefix
