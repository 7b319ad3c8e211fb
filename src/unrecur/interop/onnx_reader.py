"""The RNN, LSTM and GRU nodes of ONNX graphs, read as cells."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unrecur._check import InputError
from unrecur.cells.gated import AbstractTorchCell
from unrecur.interop.onnx_constants import DEFAULT_DOMAINS, constants, zeros
from unrecur.interop.onnx_file import RECURRENT, all_nodes, load_onnx, subgraphs
from unrecur.interop.onnx_initial import initial_states
from unrecur.interop.onnx_options import (
    DIRECTIONS,
    ELMAN,
    LENGTHS,
    B,
    P,
    R,
    W,
    input_name,
    read_options,
)
from unrecur.interop.onnx_tensors import to_tensor
from unrecur.interop.recurrence import Found, Recurrence, add
from unrecur.interop.weights import make_cell

KINDS = {"LSTM": "lstm", "GRU": "gru", "RNN": "elman"}
# The order in which ONNX stacks the gates; its c is torch's g, its h torch's n.
ORDERS = {"LSTM": "iofg", "GRU": "zrn", "RNN": "h"}


def find_in_onnx(path: Path) -> Found:
    """Find the recurrent nodes of an ONNX model.

    Args:
        path: The file; external data are read from its folder only.

    Returns:
        The recurrences by the names of their nodes, each of one layer.

    Raises:
        InputError: There is none, but another kind of loop, or the graph is too large.
        CorruptFileError: The file or its graph is damaged.
    """
    model = load_onnx(path)
    found: Found = {}
    for name, node in recurrent_nodes(model).items():
        add(found, name, partial(read_node, model.graph, path.parent, node))
    hidden = [node for function in model.functions for node in function.node]
    for node in model.graph.node:
        hidden += [inner for graph in subgraphs(node) for inner in all_nodes(graph)]
    for node in hidden:
        if is_recurrent(node):
            add(found, node.name or node.op_type, _refuse_hidden)
    loops = {node.op_type for node in all_nodes(model.graph)} & {"Loop", "Scan"}
    if not found and loops:
        raise InputError(
            f"expected RNN, LSTM or GRU nodes, got a recurrence written as {' and '.join(loops)}. "
            "Read it from the module that it was exported from."
        )
    return found


def recurrent_nodes(model: Any) -> dict[str, Any]:
    """List the recurrent nodes of a graph.

    Args:
        model: An `onnx.ModelProto`.

    Returns:
        The nodes by name, or by their first output where they have none.
    """
    nodes: dict[str, Any] = {}
    for node in model.graph.node:
        if is_recurrent(node):
            name = node.name or next(filter(None, node.output), node.op_type)
            nodes[name if name not in nodes else f"{name}#{len(nodes) + 1}"] = node
    return nodes


def is_recurrent(node: Any) -> bool:
    """Say whether a node is an RNN, LSTM or GRU.

    Args:
        node: An `onnx.NodeProto`.

    Returns:
        Whether it is.
    """
    return node.op_type in RECURRENT and node.domain in DEFAULT_DOMAINS


def read_node(graph: Any, folder: Path, node: Any) -> Recurrence:
    """Read one node as a recurrence of one layer.

    Args:
        graph: The graph it is in.
        folder: The model's folder.
        node: The node.

    Returns:
        The recurrence.

    Raises:
        InputError: A feature of the node cannot be represented, or a weight is not constant.
        CorruptFileError: A weight is damaged.
    """
    options = read_options(node)
    values = constants(graph, folder, set(node.input))
    directions = DIRECTIONS[options["direction"]]
    w, r, b, p = (_weight(node, place, values, directions) for place in (W, R, B, P))
    if w is None or r is None:
        raise InputError("expected a node with weights W and R, got it without.")
    if options.get("hidden_size", r.shape[-1]) != r.shape[-1]:
        raise InputError(
            f"expected weights for hidden_size={options['hidden_size']}, got {list(r.shape)}."
        )
    cells = [
        _cell(
            node.op_type, options, place, *(None if v is None else v[place] for v in (w, r, b, p))
        )
        for place in range(directions)
    ]
    zero = zeros(graph, values, folder) | {""}
    initial, notes = initial_states(node, options, values, zero, cells)
    if input_name(node, LENGTHS):
        notes.append(f"the graph gives the length of each row in '{input_name(node, LENGTHS)}'.")
    return Recurrence(
        "",
        [[*cells]],
        notes=tuple(notes),
        reverse=options["direction"] == "reverse",
        initial=initial,
    )


def _weight(node: Any, place: int, values: dict[str, np.ndarray], directions: int) -> Any:
    """Give a weight [directions, ...] of a node; None where it is left out."""
    name = input_name(node, place)
    if not name:
        return None
    if name not in values:
        raise InputError(
            f"expected constant weights, got '{name}', which the graph computes or takes as an "
            "input. Export with constant folding."
        )
    value = np.asarray(values[name])
    if value.ndim < 2 or value.shape[0] != directions:
        raise InputError(
            f"expected '{name}' for {directions} direction(s), got {list(value.shape)}."
        )
    return to_tensor(value)


def _cell(
    op: str, options: dict[str, Any], place: int, w: Any, r: Any, b: Any, p: Any
) -> AbstractTorchCell:
    """Make the cell of one direction from W, R, B and P."""
    kind = KINDS[op]
    b_ih, b_hh = (None, None) if b is None else b.chunk(2)
    if op == "GRU" and not options.get("linear_before_reset"):
        kind = "reset_first_gru"
    if p is not None and bool(p.any()):
        if len(p) % 3:
            raise InputError(f"expected peepholes [3 H], got {list(p.shape)}.")
        p_i, p_o, p_f = p.chunk(3)
        kind, p = "peephole_lstm", torch.cat([p_i, p_f, p_o])
    else:
        p = None
    activation = ELMAN[options["activations"][place]] if op == "RNN" else "tanh"
    return make_cell(kind, w, r, b_ih, b_hh, activation, p, order=ORDERS[op])


def _refuse_hidden() -> Recurrence:
    """Refuse a node inside another's body."""
    raise InputError(
        "a recurrent node inside the body of a Loop, Scan, If or function is not read. Export the "
        "model without control flow, or inline it (onnx.inliner.inline_local_functions)."
    )
