"""What a proof needs to know of a model: its cells, layer by layer, and its embedding."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from unrecur import _check
from unrecur.cells.from_torch import cells_of
from unrecur.certificates.inputs import InputSet, points, read_inputs
from unrecur.core.cell import AbstractCell
from unrecur.core.compose import Pointwise, Serial, in_series
from unrecur.layers.embedding import Embedding
from unrecur.layers.recurrent import Recurrent


class NoRuleError(Exception):
    """There is no way to a proof for this model; the message says why."""


@dataclass(frozen=True)
class Chain:
    """The recurrent part of a model.

    Attributes:
        layers: The cells of each layer from the bottom up: one, or a forward and a backward one.
        table: The embedding's vectors where the model reads tokens.
        head: The maps of each step behind the recurrence, in order.
    """

    layers: tuple[tuple[AbstractCell, ...], ...]
    table: Tensor | None = None
    head: tuple[nn.Module, ...] = ()

    @property
    def bidirectional(self) -> bool:
        """Whether any layer also runs backward in time."""
        return any(len(layer) == 2 for layer in self.layers)

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return next(self.layers[0][0].parameters()).dtype

    def inputs(self, given: Any) -> InputSet:
        """Read the set of inputs of the first layer.

        Args:
            given: What the user gave; may be None where the model reads tokens.

        Returns:
            The set: the embedding's vectors, or what was given.

        Raises:
            InputError: The set is malformed, or missing.
        """
        if self.table is not None:
            return points(self.table)
        if given is None:
            raise _check.InputError(
                "input_box is needed: a number B (for |x| <= B), a pair (low, high), or "
                "unrecur.points(table) for a finite vocabulary."
            )
        return read_inputs(given, self.layers[0][0].input_size)

    def check_weights(self) -> None:
        """Check that all weights are finite: what follows assumes it (MKL crashes on inf)."""
        for cell in (cell for layer in self.layers for cell in layer):
            for name, weight in cell.named_parameters():
                _check.finite(weight, name)
        if self.table is not None:
            _check.finite(self.table, "the embedding's weights")


@singledispatch
def read_chain(module: nn.Module) -> Chain:
    """Read the recurrent part of a model.

    Args:
        module: A cell; a `Recurrent` layer; a `torch.nn.RNN`, `LSTM`, `GRU` or one of their cells;
            or a `Serial` of an embedding (or nothing), one recurrent layer, and pointwise maps.

    Returns:
        Its cells.

    Raises:
        NoRuleError: It is none of these.
    """  # noqa: DOC202
    raise NoRuleError(f"there is no rule for {type(module).__name__}")


@read_chain.register
def _(module: AbstractCell) -> Chain:
    return Chain(((_plain(module),),))


@read_chain.register
def _(module: Recurrent) -> Chain:
    return Chain(tuple((_plain(cell),) for cell in module.cells))


def _plain(cell: AbstractCell) -> AbstractCell:
    """Give a cell whose weights are computed anew at each access as one that keeps them."""
    if not parametrize.is_parametrized(cell):
        return cell
    with torch.no_grad():
        plain = type(cell).__new__(type(cell))
        plain.__dict__ = {
            name: value for name, value in cell.__dict__.items() if not name.startswith("_")
        }
        nn.Module.__init__(plain)
        for name in [name for name, _ in cell.named_parameters(recurse=False)] + list(
            cell.parametrizations  # type: ignore[arg-type]
        ):
            setattr(plain, name, nn.Parameter(getattr(cell, name).detach()))
    return plain


@read_chain.register(nn.RNNBase)
@read_chain.register(nn.RNNCellBase)
def _(module: nn.Module) -> Chain:
    return Chain(tuple(tuple(layer) for layer in cells_of(module)))


@read_chain.register
def _(module: Serial) -> Chain:
    first, *rest = in_series(module)
    table = None
    if isinstance(first, Embedding) and rest:
        table = first.table.weight
        first, *rest = rest
    if not isinstance(first, Recurrent):
        raise NoRuleError(f"there is no rule for a model whose first layer is {_names([first])}")
    head = tuple(model.module for model in rest if isinstance(model, Pointwise))
    if len(head) < len(rest):
        raise NoRuleError(
            f"there is no rule for a model with memory above its first layer: {_names(rest)}"
        )
    return Chain(read_chain(first).layers, table, head)


def _names(models: Sequence[nn.Module]) -> str:
    """Name some modules."""
    return ", ".join(type(model).__name__ for model in models)
