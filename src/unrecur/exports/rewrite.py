"""A copy of a model made of layers that an exporter can trace at any batch and any length."""

import copy
from collections.abc import Callable
from functools import singledispatch
from typing import cast

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from unrecur._check import InputError
from unrecur.cells.diagonal import AbstractDiagonalCell
from unrecur.core.cell import AbstractCell
from unrecur.core.field import Field
from unrecur.core.model import AbstractConditionalModel, AbstractSequenceModel
from unrecur.core.state import State
from unrecur.exports.nodes import as_node
from unrecur.exports.real import RealDiagonal
from unrecur.layers.attention import CausalAttention
from unrecur.layers.recurrent import Recurrent
from unrecur.layers.seq2seq import Seq2Seq


def exportable(model: AbstractSequenceModel, nodes: bool) -> AbstractSequenceModel:
    """Copy a model for an exporter: in evaluation mode, on the processor, in real numbers.

    Its two forms give what the model's give, to rounding. Loops over time that torch would unroll
    become one operator each, and nothing branches on the length of a block.

    Args:
        model: The model.
        nodes: Whether cells that ONNX has a node for are to become that node.

    Returns:
        The copy.
    """
    twin = copy.deepcopy(model).cpu().requires_grad_(False)
    return cast("AbstractSequenceModel", _rewritten(twin, nodes, {}).eval())


def _rewritten(module: nn.Module, nodes: bool, done: dict[nn.Module, nn.Module]) -> nn.Module:
    """Rewrite the parts of a module and then the module; what stands twice is rewritten once."""
    if module not in done:
        for name, part in list(module._modules.items()):
            if part is not None:
                setattr(module, name, _rewritten(part, nodes, done))
        done[module] = _traceable(module, nodes)
    return done[module]


@singledispatch
def _traceable(module: nn.Module, nodes: bool) -> nn.Module:
    """Give what stands in for a module whose parts are rewritten: itself, if it says nothing."""
    return module


@_traceable.register
def _(module: AbstractDiagonalCell, nodes: bool) -> nn.Module:
    return RealDiagonal(module)


@_traceable.register
def _(module: Recurrent, nodes: bool) -> nn.Module:
    return Scanned(module, nodes)


@_traceable.register
def _(module: Seq2Seq, nodes: bool) -> nn.Module:
    return FedBack(module) if module.input_feeding else module


@_traceable.register
def _(module: CausalAttention, nodes: bool) -> nn.Module:
    return WholeAttention(module)


class Scanned(AbstractSequenceModel):
    """A recurrent layer whose block form is one operator a layer: a node of ONNX, or a scan.

    Args:
        layer: The layer.
        nodes: Whether cells that ONNX has a node for become that node.
    """

    def __init__(self, layer: Recurrent, nodes: bool) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.layer, self.cells = layer, layer.cells
        self.nodes = [as_node(cell) if nodes else None for cell in layer.cells]

    @property
    def receptive_field(self) -> Field:
        """The whole past."""
        return self.layer.receptive_field

    def init_state(self, batch: int) -> State:
        """Make the layer's state."""
        return self.layer.init_state(batch)

    def step(
        self, x_t: Float[Tensor, "B D"], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        return self.layer.step(x_t, state)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        _refuse(lengths)
        states = self.init_state(x.shape[0]) if state is None else state
        after = []
        for cell, node, h in zip(self.cells, self.nodes, states, strict=True):
            if node is None:
                last, seen = scan(_advanced(cell), h, x, dim=1)
                x = cell.readout(seen)
            else:
                x, last = node(x, h)
            after.append(last)
        return x, tuple(after)


def _advanced(cell: AbstractCell) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Make the body of a scan."""

    def body(h: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor]:
        new = cell.phi(h, x_t)
        return new, new.clone()  # two results must not be one tensor

    return body


class FedBack(AbstractConditionalModel):
    """A decoder that reads what it saw at the step before, its block form one scan.

    Args:
        model: The model, its layers rewritten.
    """

    takes_tokens = True

    def __init__(self, model: Seq2Seq) -> None:
        super().__init__()
        self.model = model
        self.in_features, self.out_features = model.in_features, model.out_features

    @property
    def receptive_field(self) -> Field:
        """That of the model."""
        return self.model.receptive_field

    @property
    def source_features(self) -> int:
        """That of the model."""
        return self.model.source_features

    def encode(
        self, source: Integer[Tensor, "B N"], lengths: Integer[Tensor, " B"] | None = None
    ) -> State:
        """Read the source; see `AbstractConditionalModel.encode`."""
        _refuse(lengths)
        return self.model.encode(source)

    def step(
        self, x_t: Integer[Tensor, " B"], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        return self.model.step(x_t, state)

    def forward(
        self,
        x: Integer[Tensor, "B T"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        _refuse(lengths)
        state = self.init_state(x.shape[0]) if state is None else state
        *memory, lower, upper, fed, coverage = state
        embedded, _ = self.model.embedding(x)

        def body(held: State, embedded_t: Tensor) -> tuple[State, Tensor]:
            held, seen = self.model.fed_step(embedded_t, held, memory)
            return held, seen.clone()  # two results must not be one tensor

        (lower, fed, coverage), seen = scan(body, (lower, fed, coverage), embedded, dim=1)
        y, upper = self.model.upper(seen, upper)
        return y, (*memory, lower, upper, fed, coverage)


class WholeAttention(AbstractSequenceModel):
    """Causal attention that compares every step of a block with every key, of any length.

    Args:
        layer: The layer, which cuts long blocks into pieces and looks at their length for that.
    """

    def __init__(self, layer: CausalAttention) -> None:
        super().__init__()
        self.layer = layer
        self.in_features, self.out_features = layer.in_features, layer.out_features

    @property
    def receptive_field(self) -> Field:
        """That of the layer."""
        return self.layer.receptive_field

    def init_state(self, batch: int) -> State:
        """Make an empty cache."""
        return self.layer.init_state(batch)

    def step(
        self, x_t: Float[Tensor, "B D"], state: State | None = None
    ) -> tuple[Float[Tensor, "B D"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        y, state = self(x_t[:, None], state)
        return y[:, 0], state

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T D"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        _refuse(lengths)
        layer, time = self.layer, x.shape[1]
        old_keys, old_values, count = self.init_state(x.shape[0]) if state is None else state
        q, k, v = layer.project(x)
        if layer.rotary:
            position = count[:, None] + torch.arange(time, device=x.device)
            q, k = layer._turned(q, k, position)
        keys, values = torch.cat([old_keys, k], 1), torch.cat([old_values, v], 1)
        y = layer.attend(q, keys, values, layer._filled(time, count))
        return y, (keys[:, time:], values[:, time:], count + time)


def _refuse(lengths: Tensor | None) -> None:
    """Refuse rows of different lengths, which no exported file takes."""
    if lengths is not None:
        raise InputError("a model made for export takes no lengths. Give rows of one length.")
