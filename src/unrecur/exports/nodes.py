"""Cells as nodes of ONNX, over a whole block: LSTM, GRU and RNN."""

from functools import singledispatch
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrecur.cells import GRU, LSTM, Elman
from unrecur.core.cell import AbstractCell


class Node(nn.Module):
    """One recurrent node of ONNX in place of a cell.

    Args:
        cell: A cell with torch's weights.
        operator: The node's type.
        order: The place in torch's order of each gate that the node's order names.
        attributes: The node's attributes besides hidden_size.
    """

    from_input: Tensor
    from_hidden: Tensor
    biases: Tensor | None

    def __init__(
        self, cell: LSTM | GRU | Elman, operator: str, order: list[int], attributes: dict[str, Any]
    ) -> None:
        super().__init__()
        self.operator = f"::{operator}"
        self.hidden = cell.hidden_size
        self.attributes = {"hidden_size": self.hidden, **attributes}

        def ordered(weight: Tensor) -> Tensor:
            return weight.detach().unflatten(0, (len(order), -1))[order].flatten(0, 1)[None]

        self.register_buffer("from_input", ordered(cell.weight_ih_l0))
        self.register_buffer("from_hidden", ordered(cell.weight_hh_l0))
        biases = [bias for bias in (cell.bias_ih_l0, cell.bias_hh_l0) if bias is not None]
        both = torch.cat([ordered(bias) for bias in biases], 1) if biases else None
        self.register_buffer("biases", both)

    def forward(
        self, x: Float[Tensor, "B T D"], h: Float[Tensor, "B S"]
    ) -> tuple[Float[Tensor, "B T H"], Float[Tensor, "B S"]]:
        """Stand for the node in a trace; the values are zeros.

        Args:
            x: The inputs.
            h: The state before them, [h] or [c, h].

        Returns:
            The outputs and the state after them.
        """
        parts = [part[None] for part in h.split(self.hidden, -1)]
        start = parts[::-1]  # the node takes h and then c
        batch, time = x.shape[:2]
        y, *last = torch.onnx.ops.symbolic_multi_out(
            self.operator,
            (x.transpose(0, 1), self.from_input, self.from_hidden, self.biases, None, *start),
            self.attributes,
            dtypes=[x.dtype] * (1 + len(parts)),
            shapes=[(time, 1, batch, self.hidden)] + [(1, batch, self.hidden)] * len(parts),
        )
        return y[:, 0].transpose(0, 1), torch.cat([part[0] for part in last[::-1]], -1)


@singledispatch
def as_node(cell: AbstractCell) -> Node | None:
    """Make the node that computes what a cell does over a block.

    Args:
        cell: The cell.

    Returns:
        The node; None where ONNX has none.
    """
    return None


@as_node.register
def _(cell: LSTM) -> Node | None:
    return Node(cell, "LSTM", [0, 3, 1, 2], {})


@as_node.register
def _(cell: GRU) -> Node | None:
    return Node(cell, "GRU", [1, 0, 2], {"linear_before_reset": 1})


@as_node.register
def _(cell: Elman) -> Node | None:
    names = {"tanh": "Tanh", "relu": "Relu"}
    if cell.activation not in names:
        return None
    return Node(cell, "RNN", [0], {"activations": [names[cell.activation]]})
