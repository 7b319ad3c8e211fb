"""Parts of an ONNX graph: cut out, and run in onnxruntime."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from unrecur._check import InputError, extra
from unrecur.interop.onnx_file import subgraphs


def part(
    model: Any,
    wanted: Iterable[str],
    given: Mapping[str, np.ndarray] | None = None,
) -> Any:
    """Cut out the part of a model that some values need.

    Args:
        model: An `onnx.ModelProto`, its graph in order.
        wanted: The names of the values, the part's outputs.
        given: Values that become inputs of the part; the nodes that make them are left out.

    Returns:
        The part, an `onnx.ModelProto`.
    """
    onnx = extra("onnx", "interop")
    wanted, given = list(wanted), given or {}
    reached = set(wanted)
    nodes = []
    for node in reversed(model.graph.node):
        if reached.intersection(node.output) and not given.keys() & {*node.output}:
            nodes.append(node)
            reached |= _reads(node)
    graph = onnx.GraphProto(name="part")
    graph.node.extend(reversed(nodes))
    graph.initializer.extend(item for item in model.graph.initializer if item.name in reached)
    graph.sparse_initializer.extend(
        item for item in model.graph.sparse_initializer if item.values.name in reached
    )
    graph.input.extend(item for item in model.graph.input if item.name in reached)
    graph.input.extend(_info(name, value) for name, value in given.items() if name in reached)
    known = {item.name: item for item in [*model.graph.output, *model.graph.value_info]}
    graph.output.extend(known.get(name, onnx.ValueInfoProto(name=name)) for name in wanted)
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    cut.graph.CopyFrom(graph)
    return cut


def run_part(model: Any, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run a part in onnxruntime, on as many threads as torch uses.

    Args:
        model: The part.
        inputs: Its inputs by name; others are left aside.

    Returns:
        Its outputs by name.

    Raises:
        InputError: An input is missing or does not fit, or onnxruntime lacks an operator.
    """
    runtime = extra("onnxruntime", "interop")
    names = [output.name for output in model.graph.output]
    held = {item.name for item in model.graph.initializer}
    wanted = [item.name for item in model.graph.input if item.name not in held]
    if missing := [name for name in wanted if name not in inputs]:
        raise InputError(
            f"expected the inputs {', '.join(wanted)}, got none for {', '.join(missing)}."
        )
    passed = {name: inputs[name] for name in names if name in inputs}
    if len(passed) == len(names):
        return passed
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what goes wrong is raised
    try:
        session = runtime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        feeds = {name: np.asarray(inputs[name]) for name in wanted}
        return dict(zip(names, session.run(names, feeds), strict=True))
    except Exception as error:  # onnxruntime's errors share no other type
        raise InputError(
            f"expected inputs and a graph that onnxruntime can run, got: {error}"
        ) from error


def _reads(node: Any) -> set[str]:
    """Name what a node reads, the graphs inside it included."""
    names: set[str] = set()
    waiting = [node]
    while waiting:
        inner = waiting.pop()
        names.update(inner.input)
        for graph in subgraphs(inner):
            waiting.extend(graph.node)
            names.update(output.name for output in graph.output)
    return names


def _info(name: str, value: np.ndarray) -> Any:
    """Describe an input of any shape."""
    helper = extra("onnx", "interop").helper
    dtype = helper.np_dtype_to_tensor_dtype(value.dtype)
    return helper.make_tensor_value_info(name, dtype, [None] * value.ndim)
