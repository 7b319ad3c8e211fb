"""The feed-forward form of a step graph: k copies of it, one after the other, and no loop."""

from typing import Any

import numpy as np
from torch import Tensor

from unrecur._check import InputError, extra
from unrecur.exports.forms import Port
from unrecur.interop.onnx_part import part

# What a window must not hold: a runtime without recurrences has none of them.
RECURRENT = frozenset({"Loop", "Scan", "If", "LSTM", "GRU", "RNN", "SequenceMap"})


def unrolled(
    step: Any, inputs: list[Port], outputs: list[Port], start: list[Tensor], window: Port, k: int
) -> Any:
    """Unroll the graph of one step over a window of k inputs.

    The first copy begins at the state before the first input, each other one at the state of the
    copy before it; the last one's output is the window's. What nothing reads is left out.

    Args:
        step: The `onnx.ModelProto` of one step.
        inputs: Its inputs: one input of the sequence, then the leaves of the state.
        outputs: Its outputs, in the same order.
        start: The leaves of the state before the first input, of one row.
        window: The input of the window, [batch, k, ...].
        k: How many inputs.

    Returns:
        The `onnx.ModelProto` of the window, its input "x" and its output "y".
    """
    onnx = extra("onnx", "interop")
    helper = onnx.helper
    model = onnx.ModelProto()
    model.CopyFrom(step)
    graph = model.graph
    for held in ("node", "input", "output", "value_info"):
        graph.ClearField(held)
    state = _start(graph, [port.name for port in inputs[1:]], start)
    shared = {item.name for item in step.graph.initializer}
    for t in range(k):
        name = f"step_{t}/"
        graph.initializer.append(onnx.numpy_helper.from_array(np.int64(t), f"{name}place"))
        graph.node.append(helper.make_node("Gather", ["x", f"{name}place"], [f"{name}x"], axis=1))
        known = {"": "", "x": f"{name}x"}
        known |= {port.name: value for port, value in zip(inputs[1:], state, strict=True)}
        if t == k - 1:
            known["y"] = "y"
        for node in step.graph.node:
            copied = graph.node.add()
            copied.CopyFrom(node)
            copied.name = f"{name}{node.name}"
            for names in (copied.input, copied.output):
                names[:] = [
                    one if one in shared else known.get(one, f"{name}{one}") for one in names
                ]
        state = [f"{name}{port.name}" for port in outputs[1:]]
    graph.input.append(_described(helper, window))
    graph.output.append(_described(helper, outputs[0]))
    return part(model, ["y"])


def _start(graph: Any, names: list[str], start: list[Tensor]) -> list[str]:
    """Put the state before the first input into a graph, and name its leaves."""
    # A leaf that is a row of numbers stays one row: what is added to it spreads it over the batch.
    # Any other is repeated for each row of x, as it may be put beside a part of x.
    onnx = extra("onnx", "interop")
    helper, given = onnx.helper, []
    for name, leaf in zip(names, start, strict=True):
        value = onnx.numpy_helper.from_array(leaf.numpy(), f"start/{name}")
        graph.initializer.append(value)
        given.append(value.name)
        if leaf.dim() == 2 and leaf.is_floating_point():
            continue
        rest = np.array(leaf.shape[1:], np.int64)
        graph.initializer.append(onnx.numpy_helper.from_array(rest, f"{value.name}/rest"))
        rows, shape, repeated = (f"{value.name}/{word}" for word in ("rows", "shape", "all"))
        graph.node.append(helper.make_node("Shape", ["x"], [rows], start=0, end=1))
        graph.node.append(helper.make_node("Concat", [rows, f"{value.name}/rest"], [shape], axis=0))
        graph.node.append(helper.make_node("Expand", [value.name, shape], [repeated]))
        given[-1] = repeated
    return given


def _described(helper: Any, port: Port) -> Any:
    """Describe an input or output of a graph."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
    return helper.make_tensor_value_info(port.name, kind, list(port.shape))


def operators(model: Any) -> tuple[str, ...]:
    """Name the operators of a graph, those of the graphs and functions inside it included.

    Args:
        model: An `onnx.ModelProto`.

    Returns:
        Their names, sorted.
    """
    found, waiting = set(), [model.graph, *model.functions]
    while waiting:
        for node in waiting.pop().node:
            found.add(node.op_type)
            waiting.extend(item.g for item in node.attribute if item.HasField("g"))
    return tuple(sorted(found))


def refuse_recurrent(model: Any) -> None:
    """Refuse a graph that is no feed-forward one.

    Args:
        model: An `onnx.ModelProto`.

    Raises:
        InputError: It has a loop or a recurrent node.
    """
    if found := RECURRENT.intersection(operators(model)):
        raise InputError(
            f"the window form came out with {', '.join(sorted(found))}, which a runtime without "
            "recurrences does not run. Report the model, please."
        )
