"""A recurrence on its last k inputs as a feed-forward ONNX graph, unrolled step by step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from unrecur import _check
from unrecur._check import InputError, extra
from unrecur.exports.graph_nodes import LAST, GraphNodes
from unrecur.exports.step_graphs import step_graph
from unrecur.interop.recurrence import Recurrence

OPSET, IR_VERSION = 17, 8  # what runtimes of 2022 read already
MOST_STEPS = 4096  # unrolled: a session of more nodes takes minutes to load
INPUT, OUTPUT = "window", "output"


def unroll(
    nodes: GraphNodes,
    recurrence: Recurrence,
    x: str,
    k: int,
    axis: int,
    fresh: Sequence[Tensor],
    every: bool = False,
    valid: str | None = None,
) -> list[list[str]]:
    """Add the last k steps of a recurrence, from the states that a window starts from.

    Args:
        nodes: The graph.
        recurrence: The cells, one a layer.
        x: The name of the inputs; their last axis holds the features.
        k: How many steps.
        axis: The axis of time. It has k steps; with `every`, k - 1 before the first output.
        fresh: The flat state that each layer starts from, [1, S].
        every: Whether to make an output for each window of the block, side by side on that axis.
        valid: The name of a mask over time, true where there is an input and false where the
            block has not begun: there the state stays as it was. None where all are there.

    Returns:
        The names of the parts of each layer's state behind the last step, the output's last.
    """
    layers = [step_graph(cells[0], nodes) for cells in recurrence.cells]
    states = [
        [nodes.constant(part) for part in _parts(state, layer.parts)]
        for state, layer in zip(fresh, layers, strict=True)
    ]
    starts = [list(state) for state in states]
    shown = layers[0].project(x)
    for number in range(k):
        end = number + 1 if not every else (number + 1 - k or LAST)
        here = None  # the last input of a window is always there
        if valid is not None and number < k - 1:
            here = nodes.slice(valid, number, end, axis)
        piece = nodes.slice(shown, number, end, axis)
        for depth, layer in enumerate(layers):
            x_t = layer.project(states[depth - 1][-1]) if depth else piece
            new = layer.step(x_t, states[depth])
            if here is not None:
                new = [
                    nodes.add("Where", here, *pair) for pair in zip(new, starts[depth], strict=True)
                ]
            states[depth] = new
    return states


def fresh_states(recurrence: Recurrence) -> list[Tensor]:
    """Give the states that a window starts from: the model's own, or zeros.

    Args:
        recurrence: The recurrence, one cell a layer.

    Returns:
        A flat state for each layer, [1, S].

    Raises:
        InputError: The model starts its rows from states of their own.
    """
    if recurrence.initial is None:
        return [cells[0].init_state(1) for cells in recurrence.cells]
    states = [cells[0] for cells in recurrence.initial]
    if any(len(state) != 1 and bool((state != state[:1]).any()) for state in states):
        raise InputError(
            "the model starts each row of a batch from a state of its own, and a window starts "
            "from one. Export it with one state to start from."
        )
    return [state[:1] for state in states]


def window_model(recurrence: Recurrence, k: int) -> Any:
    """Make the feed-forward model of a recurrence: the output behind the last k inputs.

    The graph's input `window` is [batch, k, features], its `output` [batch, units]. There is no
    Loop, Scan, RNN, LSTM or GRU in it: only products, sums, pointwise functions, Slice, Split.

    Args:
        recurrence: The recurrence, forward in time.
        k: The length of the window.

    Returns:
        An `onnx.ModelProto`, checked.

    Raises:
        InputError: k is malformed or too many steps to unroll, the recurrence also reads from the
            end, or a cell has no such form.

    Example:
        >>> import torch, unrecur
        >>> [recurrence] = unrecur.read_recurrences(torch.nn.GRU(3, 4, num_layers=2))
        >>> model = window_model(recurrence, k=5)
        >>> sorted({node.op_type for node in model.graph.node})
        ['Add', 'MatMul', 'Mul', 'Sigmoid', 'Slice', 'Split', 'Squeeze', 'Sub', 'Tanh']
    """
    onnx = extra("onnx", "interop")
    check_window(recurrence, k)
    nodes = GraphNodes()
    states = unroll(nodes, recurrence, INPUT, k, 1, fresh_states(recurrence))
    squeezed = nodes.add("Squeeze", states[-1][-1], nodes.integers(1))
    nodes.nodes[-1].output[0] = OUTPUT
    assert squeezed != OUTPUT
    first, last = recurrence.cells[0][0], recurrence.cells[-1][0]
    kind = onnx.helper.np_dtype_to_tensor_dtype(_array(next(first.parameters())).dtype)
    graph = onnx.helper.make_graph(
        nodes.nodes,
        f"window of {k}",
        [onnx.helper.make_tensor_value_info(INPUT, kind, ["batch", k, first.input_size])],
        [onnx.helper.make_tensor_value_info(OUTPUT, kind, ["batch", last.hidden_size])],
        nodes.constants,
    )
    opset = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def check_window(recurrence: Recurrence, k: int) -> None:
    """Check that a recurrence has a window of k inputs.

    Args:
        recurrence: The recurrence.
        k: The length of the window.

    Raises:
        InputError: k is malformed or too many steps to unroll, or the recurrence also reads from
            the end.
    """
    _check.positive_integer(k, "k")
    if recurrence.reverse or any(len(cells) > 1 for cells in recurrence.cells):
        also = "only" if recurrence.reverse else "also"
        raise InputError(
            f"the recurrence '{recurrence.name}' {also} reads from the end of a sequence: its "
            "outputs depend on inputs to come, and no window of the last k inputs stands for it. "
            "`unrecur audit` says how many inputs on each side it needs."
        )
    if k * len(recurrence.cells) > MOST_STEPS:
        raise InputError(
            f"expected a window of at most {MOST_STEPS // len(recurrence.cells)} inputs to unroll "
            f"{len(recurrence.cells)} layer(s) over, got k={k}. Allow a larger error."
        )


def _parts(state: Tensor, sizes: list[int]) -> list[np.ndarray]:
    """Cut a flat state [1, S] into its parts, [1, 1, H] each."""
    return [_array(part[:, None]) for part in state.split(sizes, -1)]


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
