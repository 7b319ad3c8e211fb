"""The nodes and weights of an ONNX graph while it is put together."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unrecur._check import extra

LAST = np.iinfo(np.int64).max  # the end of an axis, for Slice


@dataclass
class GraphNodes:
    """Collects nodes and constants under names of its own.

    Attributes:
        prefix: What all names begin with, so that they clash with none of another graph.
        nodes: The `onnx.NodeProto`s so far, in order.
        constants: The `onnx.TensorProto`s so far.
    """

    prefix: str = ""
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    _known: dict[tuple[int, ...], str] = field(default_factory=dict)

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one output.

        Args:
            op: Its type.
            *inputs: The names of what it reads.
            **attributes: Its attributes.

        Returns:
            The name of its output.
        """
        return self.add_several(op, 1, *inputs, **attributes)[0]

    def add_several(self, op: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node of several outputs.

        Args:
            op: Its type.
            count: How many outputs it has.
            *inputs: The names of what it reads.
            **attributes: Its attributes.

        Returns:
            The names of its outputs.
        """
        name = f"{self.prefix}{op}_{len(self.nodes)}"
        outputs = [name if count == 1 else f"{name}_{place}" for place in range(count)]
        helper = extra("onnx", "interop").helper
        self.nodes.append(helper.make_node(op, inputs, outputs, name=name, **attributes))
        return outputs

    def constant(self, value: np.ndarray) -> str:
        """Add a constant.

        Args:
            value: The numbers.

        Returns:
            Its name.
        """
        name = f"{self.prefix}constant_{len(self.constants)}"
        onnx = extra("onnx", "interop")
        self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def integers(self, *values: int) -> str:
        """Add a list of whole numbers, once for all nodes that read the same.

        Args:
            *values: The numbers.

        Returns:
            Its name.
        """
        if values not in self._known:
            self._known[values] = self.constant(np.array(values, np.int64))
        return self._known[values]

    def slice(self, x: str, start: int, end: int, axis: int) -> str:
        """Cut a stretch out of one axis.

        Args:
            x: What to cut.
            start: Where it begins.
            end: Where it ends; below zero counted from the end, `LAST` for the end itself.
            axis: The axis.

        Returns:
            The name of the stretch.
        """
        return self.add("Slice", x, self.integers(start), self.integers(end), self.integers(axis))
