"""ONNX files: loaded, and checked before anything is made of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unrecur._check import CorruptFileError, InputError, extra

MOST_NODES = 200_000
RECURRENT = ("RNN", "LSTM", "GRU")


def load_onnx(path: Path) -> Any:
    """Load a model without its external data, and check that its graph is one.

    Args:
        path: The file.

    Returns:
        The `onnx.ModelProto`.

    Raises:
        CorruptFileError: The file is truncated or damaged, or the graph is cyclic or refers to
            what is not there.
        InputError: The graph is too large.
    """
    onnx = extra("onnx", "interop")
    decode_error = extra("google.protobuf.message", "interop").DecodeError
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (decode_error, RuntimeError, ValueError, TypeError) as error:
        raise CorruptFileError(
            f"expected a whole ONNX file, got a truncated or damaged one, or one of another format "
            f"({str(error) or type(error).__name__}). Download or export it again."
        ) from error
    count = 0
    for count, _ in enumerate(all_nodes(model.graph), 1):
        if count > MOST_NODES:
            raise InputError(f"expected a graph of at most {MOST_NODES} nodes, got more.")
    if not model.HasField("graph") or (count == 0 and not model.graph.output):
        raise CorruptFileError("expected a model with a graph, got none. Export it again.")
    _check_names(model.graph)
    _check_order(model.graph)
    return model


def all_nodes(graph: Any) -> Iterator[Any]:
    """Go through the nodes of a graph and of the graphs inside its nodes.

    Args:
        graph: An `onnx.GraphProto`.

    Yields:
        The nodes.
    """
    waiting = [graph]
    while waiting:
        for node in waiting.pop().node:
            yield node
            waiting += subgraphs(node)


def subgraphs(node: Any) -> list[Any]:
    """List the graphs inside a node: the bodies of a Loop, Scan or If.

    Args:
        node: An `onnx.NodeProto`.

    Returns:
        The graphs.
    """
    inner = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return inner + [graph for attribute in node.attribute for graph in attribute.graphs]


def attributes(node: Any) -> dict[str, Any]:
    """Read the attributes of a node.

    Args:
        node: An `onnx.NodeProto`.

    Returns:
        Their values by name; texts are bytes.

    Raises:
        CorruptFileError: One has no value or an unknown type.
    """
    helper = extra("onnx", "interop").helper
    try:
        return {
            attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute
        }
    except ValueError as error:
        raise CorruptFileError(f"a malformed attribute in {node.name}: {error}") from error


def _check_names(graph: Any) -> None:
    """Check that all names are text: protobuf gives bytes where they are not."""
    named = [*graph.input, *graph.output, *graph.initializer]
    for node in all_nodes(graph):
        named += [node, *node.attribute]
        texts = (node.op_type, node.domain, *node.input, *node.output)
        if not all(isinstance(text, str) for text in texts):
            raise CorruptFileError(f"expected names as text in {node.name!r}. Export it again.")
    if not all(isinstance(item.name, str) for item in named):
        raise CorruptFileError("expected names as text, got bytes. Download the file again.")


def _check_order(graph: Any) -> None:
    """Check that each node reads only what earlier nodes give, so that there is no cycle."""
    known = {""} | {item.name for item in graph.input} | {item.name for item in graph.initializer}
    known |= {item.values.name for item in graph.sparse_initializer}
    made = {name for node in graph.node for name in node.output}
    for node in graph.node:
        for name in node.input:
            if name not in known:
                reason = (
                    "what it or a later node makes: the graph is cyclic, or not sorted"
                    if name in made
                    else "what nothing makes: the graph is incomplete"
                )
                raise CorruptFileError(
                    f"expected a graph in order, got the node '{node.name or node.op_type}' that "
                    f"reads '{name}', {reason}. Export it again."
                )
        known.update(node.output)
    missing = [item.name for item in graph.output if item.name not in known]
    if missing:
        raise CorruptFileError(
            f"expected nodes for all outputs, got none for {missing}: the graph is incomplete. "
            "Download or export it again."
        )
