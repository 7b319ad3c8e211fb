"""One step of each kind of cell as ONNX nodes: matrix products and pointwise functions only."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
from torch import Tensor

from unrecur._check import InputError
from unrecur.cells import GRU, LSTM, Elman, PeepholeLSTM, ResetFirstGRU
from unrecur.cells.elman import LEAK
from unrecur.cells.gated import AbstractTorchCell
from unrecur.cells.memory import AbstractMemoryCell
from unrecur.core.cell import AbstractCell
from unrecur.exports.graph_nodes import GraphNodes

# Takes the name of W x + b of one step and those of the state's parts; gives those of the next
# state, the part that is the output last.
Step = Callable[[str, list[str]], list[str]]


@dataclass(frozen=True)
class StepGraph:
    """A cell in a graph that its weights have been put into.

    Attributes:
        project: Adds W x + b for any block of inputs, and gives its name.
        step: Adds one step.
        parts: The sizes of the state's parts, in the order of the flat state.
    """

    project: Callable[[str], str]
    step: Step
    parts: list[int]


@singledispatch
def step_graph(cell: AbstractCell, nodes: GraphNodes) -> StepGraph:
    """Put a cell's weights into a graph, once for all of its steps.

    Args:
        cell: The cell.
        nodes: The graph.

    Returns:
        What adds its steps.

    Raises:
        InputError: There is no such form of this kind of cell.
    """
    return _refuse(cell)  # a function of its own, so that this one is seen to return


def _refuse(cell: AbstractCell) -> StepGraph:
    """Refuse a cell that there is no such form of."""
    raise InputError(
        f"expected an Elman network, an LSTM or a GRU to unroll, got {type(cell).__name__}."
    )


@step_graph.register
def _(cell: Elman, nodes: GraphNodes) -> StepGraph:
    weight = _matrix(nodes, cell.weight_hh_l0)

    def step(x: str, state: list[str]) -> list[str]:
        z = nodes.add("Add", x, nodes.add("MatMul", state[0], weight))
        if cell.activation == "leaky_relu":
            return [nodes.add("LeakyRelu", z, alpha=LEAK)]
        return [nodes.add("Tanh" if cell.activation == "tanh" else "Relu", z)]

    return StepGraph(_projection(nodes, cell, _both_biases(cell)), step, [cell.hidden_size])


@step_graph.register(LSTM)
@step_graph.register(PeepholeLSTM)
def _(cell: AbstractMemoryCell, nodes: GraphNodes) -> StepGraph:
    weight, size = _matrix(nodes, cell.weight_hh_l0), cell.hidden_size
    peepholes = [
        nodes.constant(_array(p)) if isinstance(p, Tensor) else None for p in cell.peepholes
    ]

    def seen(gate: str, memory: str, peephole: str | None) -> str:
        if peephole is not None:
            gate = nodes.add("Add", gate, nodes.add("Mul", memory, peephole))
        return nodes.add("Sigmoid", gate)

    def step(x: str, state: list[str]) -> list[str]:
        memory, shown = state
        z = nodes.add("Add", x, nodes.add("MatMul", shown, weight))
        i, f, g, o = _gates(nodes, z, 4, size)
        i, f = seen(i, memory, peepholes[0]), seen(f, memory, peepholes[1])
        kept = nodes.add("Mul", f, memory)
        new = nodes.add("Add", kept, nodes.add("Mul", i, nodes.add("Tanh", g)))
        return [new, nodes.add("Mul", seen(o, new, peepholes[2]), nodes.add("Tanh", new))]

    return StepGraph(_projection(nodes, cell, _both_biases(cell)), step, [size, size])


@step_graph.register
def _(cell: GRU, nodes: GraphNodes) -> StepGraph:
    weight, size = _matrix(nodes, cell.weight_hh_l0), cell.hidden_size
    one = nodes.constant(np.ones(1, _dtype(cell)))
    inner, bias = None, _both_biases(cell)
    if bias is not None:  # that of the candidate's recurrent part is multiplied by the reset gate
        assert cell.bias_ih_l0 is not None
        assert cell.bias_hh_l0 is not None
        inner = nodes.constant(_array(cell.bias_hh_l0[2 * size :]))
        bias[2 * size :] = _array(cell.bias_ih_l0[2 * size :])

    def step(x: str, state: list[str]) -> list[str]:
        (h,) = state
        r_x, z_x, n_x = _gates(nodes, x, 3, size)
        r_h, z_h, m = _gates(nodes, nodes.add("MatMul", h, weight), 3, size)
        r, z = (nodes.add("Sigmoid", nodes.add("Add", *pair)) for pair in ((r_x, r_h), (z_x, z_h)))
        m = m if inner is None else nodes.add("Add", m, inner)
        return [_mixed(nodes, one, z, nodes.add("Add", n_x, nodes.add("Mul", r, m)), h)]

    return StepGraph(_projection(nodes, cell, bias), step, [size])


@step_graph.register
def _(cell: ResetFirstGRU, nodes: GraphNodes) -> StepGraph:
    size = cell.hidden_size
    gates, candidate = (_matrix(nodes, part) for part in cell.weight_hh_l0.split([2 * size, size]))
    one = nodes.constant(np.ones(1, _dtype(cell)))

    def step(x: str, state: list[str]) -> list[str]:
        (h,) = state
        rz_x, n_x = nodes.add_several("Split", 2, x, nodes.integers(2 * size, size), axis=-1)
        both = nodes.add("Sigmoid", nodes.add("Add", rz_x, nodes.add("MatMul", h, gates)))
        r, z = _gates(nodes, both, 2, size)
        reset = nodes.add("MatMul", nodes.add("Mul", r, h), candidate)
        return [_mixed(nodes, one, z, nodes.add("Add", n_x, reset), h)]

    return StepGraph(_projection(nodes, cell, _both_biases(cell)), step, [size])


def _mixed(nodes: GraphNodes, one: str, z: str, candidate: str, h: str) -> str:
    """Add (1 - z) tanh(candidate) + z h."""
    new = nodes.add("Mul", nodes.add("Sub", one, z), nodes.add("Tanh", candidate))
    return nodes.add("Add", new, nodes.add("Mul", z, h))


def _gates(nodes: GraphNodes, z: str, count: int, size: int) -> list[str]:
    """Split stacked gates."""
    return nodes.add_several("Split", count, z, nodes.integers(*[size] * count), axis=-1)


def _projection(
    nodes: GraphNodes, cell: AbstractTorchCell, bias: np.ndarray | None
) -> Callable[[str], str]:
    """Make what adds W x + b."""
    weight = _matrix(nodes, cell.weight_ih_l0)
    held = None if bias is None else nodes.constant(bias)

    def project(x: str) -> str:
        product = nodes.add("MatMul", x, weight)
        return product if held is None else nodes.add("Add", product, held)

    return project


def _both_biases(cell: AbstractTorchCell) -> np.ndarray | None:
    """Give the sum of both biases; None where there are none."""
    if cell.bias_ih_l0 is None or cell.bias_hh_l0 is None:
        return None
    return _array(cell.bias_ih_l0 + cell.bias_hh_l0).copy()


def _matrix(nodes: GraphNodes, weight: Tensor) -> str:
    """Add a matrix [rows, columns] as what rows of inputs are multiplied by."""
    return nodes.constant(_array(weight.T))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _dtype(cell: AbstractTorchCell) -> Any:
    return _array(cell.weight_hh_l0).dtype
