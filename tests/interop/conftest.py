"""What the tests of several formats share: an ONNX model of one recurrent node."""

from dataclasses import dataclass, field

import numpy as np
import pytest

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
FEATURES, HIDDEN, BATCH, TIME = 3, 4, 2, 6


@dataclass
class OneNode:
    """An ONNX model of one recurrent node; what its fields say is in it, all at random."""

    op: str
    direction: str = "forward"
    options: dict = field(default_factory=dict)
    bias: bool = True
    initial: bool = False
    peepholes: bool = False
    dtype: type = np.float32
    name: str = "rnn"

    def __post_init__(self):
        random = np.random.default_rng(0)
        directions = 2 if self.direction == "bidirectional" else 1
        rows = GATES[self.op] * HIDDEN
        batch_first = self.options.get("layout")

        def draw(*shape):
            return (0.5 * random.standard_normal(shape)).astype(self.dtype)

        states = (BATCH, directions, HIDDEN) if batch_first else (directions, BATCH, HIDDEN)
        self.weights = {"W": draw(directions, rows, FEATURES), "R": draw(directions, rows, HIDDEN)}
        if self.bias:
            self.weights["B"] = draw(directions, 2 * rows)
        if self.initial:
            self.weights["h0"] = draw(*states)
            if self.op == "LSTM":
                self.weights["c0"] = draw(*states)
        if self.peepholes:
            self.weights["P"] = draw(directions, 3 * HIDDEN)
        x = draw(BATCH, TIME, FEATURES)
        self.x = x if batch_first else x.swapaxes(0, 1)

    def node(self, x="x"):
        from onnx import helper

        slots = ["W", "R", "B", "", "h0", "c0", "P"]
        inputs = [x, *(slot if slot in self.weights else "" for slot in slots)]
        while not inputs[-1]:
            inputs.pop()
        return helper.make_node(
            self.op,
            inputs,
            ["y", "y_h", "y_c"][: 3 if self.op == "LSTM" else 2],
            name=self.name,
            hidden_size=HIDDEN,
            direction=self.direction,
            **self.options,
        )

    def model(self, before=(), after=(), x="x", outputs=None, weights=None, opset=17):
        """The model, with nodes before and after the recurrent one."""
        from onnx import helper, numpy_helper

        dtype = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        outputs = list(self.node().output) if outputs is None else outputs
        graph = helper.make_graph(
            [*before, self.node(x), *after],
            "graph",
            [helper.make_tensor_value_info("x", dtype, [None] * 3)],
            [helper.make_tensor_value_info(name, dtype, None) for name in outputs],
            [
                numpy_helper.from_array(np.asarray(value), name)
                for name, value in (self.weights if weights is None else weights).items()
            ],
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10
        )


@pytest.fixture
def one_node():
    pytest.importorskip("onnx")
    return OneNode
