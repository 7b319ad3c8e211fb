"""An ONNX graph cut at one recurrence: what feeds it, and what its outputs become.

The rest of the graph runs in onnxruntime, so that an audit sees the recurrence's true inputs and a
replacement of the recurrence is judged by the model's true outputs.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrecur import _check
from unrecur._check import InputError
from unrecur.core.cell import AbstractCell
from unrecur.interop.onnx_constants import constants
from unrecur.interop.onnx_file import load_onnx
from unrecur.interop.onnx_options import INITIAL_C, INITIAL_H, LENGTHS, W, input_name
from unrecur.interop.onnx_part import part, run_part
from unrecur.interop.onnx_reader import read_node, recurrent_nodes
from unrecur.interop.onnx_tensors import load_external, to_tensor
from unrecur.interop.recurrence import Recurrence, run

# Runs the inputs [B, T, D] from the states to start from (None: as the recurrence says), and gives
# the outputs [B, T, E] and the last state of each cell.
Runner = Callable[[Tensor, list[list[Tensor]] | None], tuple[Tensor, list[list[Tensor]]]]


@dataclass(frozen=True, eq=False)
class Cut:
    """A model cut at one recurrent node, or at a stack of them.

    Attributes:
        model: The whole `onnx.ModelProto`, its external data loaded.
        nodes: The nodes, one a layer from the bottom up.
        recurrence: The nodes as cells.
        dtype: The type of the numbers that go through the nodes.
    """

    model: Any
    nodes: tuple[Any, ...]
    recurrence: Recurrence
    dtype: np.dtype

    def before(
        self, inputs: Mapping[str, np.ndarray]
    ) -> tuple[Float[Tensor, "B T D"], list[list[Tensor]] | None]:
        """Run what comes before the recurrence.

        Args:
            inputs: The model's inputs by name.

        Returns:
            The recurrence's inputs, and the states [B, S] that the graph starts its cells from;
            None for zeros.

        Raises:
            InputError: An input is missing or does not fit.
        """
        names = [self.nodes[0].input[0], *(n for node in self.nodes for n in _states(node) if n)]
        values = run_part(part(self.model, dict.fromkeys(names)), inputs)
        x = to_tensor(values[names[0]])
        x = x if self._batch_first else x.transpose(0, 1)
        if len(names) == 1:
            return self._typed(x), None
        layers = zip(self.nodes, self.recurrence.cells, strict=True)
        return self._typed(x), [self._start(node, cells, values, x) for node, cells in layers]

    def _start(
        self, node: Any, cells: list[AbstractCell], values: Mapping[str, np.ndarray], x: Tensor
    ) -> list[Tensor]:
        """Give the states that one node starts from."""
        directions, hidden = len(cells), cells[0].hidden_size
        parts = []
        for name in _states(node):
            if not name:
                parts.append(x.new_zeros(directions, x.shape[0], hidden))
            else:
                value = to_tensor(values[name])
                parts.append(value.transpose(0, 1) if self._batch_first else value)
        return [*self._typed(torch.cat(parts, -1)).unbind(0)]

    def after(
        self,
        inputs: Mapping[str, np.ndarray],
        y: Float[Tensor, "B T E"],
        last: list[list[Tensor]],
    ) -> dict[str, np.ndarray]:
        """Run what comes after the recurrence, on outputs put in its place.

        Args:
            inputs: The model's inputs by name, for what does not pass through the recurrence.
            y: The recurrence's outputs, both directions side by side.
            last: The last state of each cell, [B, S].

        Returns:
            The model's outputs by name.

        Raises:
            InputError: An input is missing or does not fit.
        """
        outputs = torch.stack(y.chunk(len(self.recurrence.cells[0]), -1))  # [directions, B, T, H]
        whole = outputs.permute(1, 2, 0, 3) if self._batch_first else outputs.permute(2, 0, 1, 3)
        named = {self.nodes[-1].output[0]: whole}
        for node, cells, states in zip(self.nodes, self.recurrence.cells, last, strict=True):
            pairs = list(zip(cells, states, strict=True))
            hidden = [cell.readout(state) for cell, state in pairs]
            kept = [state[..., : cell.hidden_size] for cell, state in pairs]
            ends = (self._stacked(hidden), self._stacked(kept))
            named |= dict(zip(node.output[1:], ends, strict=False))
        given = {
            name: value.detach().cpu().numpy().astype(self.dtype)
            for name, value in named.items()
            if name
        }
        names = [output.name for output in self.model.graph.output]
        return run_part(part(self.model, names, given), {**inputs, **given})

    @property
    def _batch_first(self) -> bool:
        """Whether the node has layout 1."""
        return any(item.name == "layout" and item.i == 1 for item in self.nodes[0].attribute)

    def _typed(self, x: Tensor) -> Tensor:
        """Bring to the type of the cells."""
        return x.to(next(self.recurrence.cells[0][0].parameters()).dtype)

    def _stacked(self, states: list[Tensor]) -> Tensor:
        """Stack the states of both directions as the node does."""
        return torch.stack(states, 1 if self._batch_first else 0)


def cut_at(path: str | Path, select: str | None = None) -> Cut:
    """Cut an ONNX model at one of its recurrences.

    Args:
        path: The file.
        select: The name of the recurrence; may be left out where there is one only.

    Returns:
        The cut model.

    Raises:
        InputError: There is no recurrence, or several and none is selected, or it cannot be
            represented, or its rows have lengths of their own.
        CorruptFileError: The file is damaged.
    """
    path = Path(path)
    model = load_onnx(path)
    nodes = recurrent_nodes(model)
    if not nodes:
        raise InputError(f"{path}: expected an RNN, LSTM or GRU node to cut at, got none.")
    if select is None and len(nodes) != 1:
        raise InputError(
            f"{path}: expected one recurrence, or the name of one, got {len(nodes)}: "
            f"{', '.join(nodes)}. Choose one with select."
        )
    name = next(iter(nodes)) if select is None else _check.known_name(select, nodes, "recurrence")
    if input_name(nodes[name], LENGTHS):
        raise InputError(f"{path}, '{name}': rows with lengths of their own are not cut out.")
    load_external(model, path.parent)
    recurrence = read_node(model.graph, path.parent, nodes[name])
    weights = nodes[name].input[W]
    dtype = constants(model.graph, path.parent, {weights})[weights].dtype
    return Cut(model, (nodes[name],), dataclasses.replace(recurrence, name=name), dtype)


def _states(node: Any) -> list[str]:
    """Name what a node starts from, in the order of the flat state; empty where left out."""
    places = [INITIAL_C, INITIAL_H] if node.op_type == "LSTM" else [INITIAL_H]
    return [input_name(node, place) for place in places]


def run_rest(
    path: str | Path,
    inputs: Mapping[str, np.ndarray],
    select: str | None = None,
    runner: Runner | None = None,
) -> dict[str, np.ndarray]:
    """Run an ONNX model with one recurrence replaced, the rest in onnxruntime.

    Args:
        path: The file.
        inputs: The model's inputs by name.
        select: The name of the recurrence; may be left out where there is one only.
        runner: What runs in its place, (x, initial) -> (y, last); the cells read from the file,
            step by step, if left out.

    Returns:
        The model's outputs by name.

    Raises:
        InputError: As `cut_at`, or an input is missing or does not fit.
        CorruptFileError: The file is damaged.
    """
    cut = cut_at(path, select)
    x, initial = cut.before(inputs)
    y, last = run(cut.recurrence, x, initial) if runner is None else runner(x, initial)
    return cut.after(inputs, y, last)
