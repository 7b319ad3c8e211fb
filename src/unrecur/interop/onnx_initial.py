"""The states that ONNX's recurrent nodes start from."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrecur._check import InputError
from unrecur.cells.gated import AbstractTorchCell
from unrecur.interop.onnx_options import INITIAL_C, INITIAL_H, input_name
from unrecur.interop.onnx_tensors import to_tensor


def initial_states(
    node: Any,
    options: dict[str, Any],
    values: dict[str, np.ndarray],
    zero: set[str],
    cells: list[AbstractTorchCell],
) -> tuple[list[list[Tensor]] | None, list[str]]:
    """Read the states to start from; what the graph computes is only noted.

    Args:
        node: The node.
        options: Its attributes.
        values: What is constant in the graph.
        zero: The names of what is zero, whatever its shape.
        cells: The cells of the node.

    Returns:
        The flat states of each cell of the one layer, [rows, S], None for zeros; and the notes.

    Raises:
        InputError: A constant state is not as large as the cells'.
    """
    places = [INITIAL_C, INITIAL_H] if node.op_type == "LSTM" else [INITIAL_H]
    names = [input_name(node, place) for place in places]
    if zero.issuperset(names):
        return None, []
    if any(name not in values and name not in zero for name in names):
        given = ", ".join(f"'{name}'" for name in names if name not in zero)
        return None, [f"the graph starts the state from {given}, not from zeros."]
    hidden = cells[0].hidden_size
    parts = []
    for name in names:
        if name in values:
            value = to_tensor(values[name])
            value = value.transpose(0, 1) if options.get("layout") else value
        else:
            value = torch.zeros(len(cells), 1, hidden)
        if value.dim() != 3 or value.shape[::2] != (len(cells), hidden):
            raise InputError(f"expected the initial state '{name}' for {len(cells)} x {hidden}.")
        parts.append(value.to(cells[0].weight_hh_l0.dtype))
    rows = max(part.shape[1] for part in parts)
    state = torch.cat([part.expand(-1, rows, -1) for part in parts], -1)
    return [[*state.unbind(0)]], []
