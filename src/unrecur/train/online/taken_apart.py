"""A recurrent model taken apart: what feeds each cell, the cells, and what stands behind them."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.func import functional_call

from unrecur._check import InputError
from unrecur.core.cell import AbstractCell
from unrecur.core.compose import Pointwise, in_series
from unrecur.core.model import AbstractSequenceModel
from unrecur.layers.embedding import Embedding
from unrecur.layers.recurrent import Recurrent

Values = Mapping[str, Tensor]


class Transition(nn.Module):
    """phi of a cell, as a module.

    Args:
        cell: The cell.
    """

    def __init__(self, cell: AbstractCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B S"]:
        """Advance the state; see `AbstractCell.phi`."""
        return self.cell.phi(h, x)


class Readout(nn.Module):
    """What a cell shows, as a module.

    Args:
        cell: The cell.
    """

    def __init__(self, cell: AbstractCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, h: Float[Tensor, "*B S"]) -> Float[Tensor, "*B H"]:
        """Show the state; see `AbstractCell.readout`."""
        return self.cell.readout(h)


@dataclass(frozen=True, eq=False)
class Link:
    """One cell of a stack, with what feeds it.

    Attributes:
        feed: Makes the cell's input: of the model's input, or of the state of the cell below.
        move: phi of the cell.
        feeding: The trained parameters that `feed` reads, by name.
        moving: Those that `move` reads.
    """

    feed: nn.Module
    move: Transition
    feeding: Mapping[str, nn.Parameter]
    moving: Mapping[str, nn.Parameter]

    @property
    def cell(self) -> AbstractCell:
        """The cell."""
        return self.move.cell

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is trained here and acts through the cell's state."""
        return [*self.feeding.values(), *self.moving.values()]


@dataclass(frozen=True, eq=False)
class Moment:
    """One time step of the cells.

    Attributes:
        x_t: The model's input.
        keep: What dropout leaves of each cell's input, [batch, features] each.
        before: The states before the step.
        inputs: The cells' inputs.
        after: The states after it.
    """

    x_t: Tensor
    keep: tuple[Tensor, ...]
    before: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    after: tuple[Tensor, ...]

    @property
    def sources(self) -> tuple[Tensor, ...]:
        """What each cell's feed reads."""
        return (self.x_t, *self.after[:-1])


@dataclass(frozen=True, eq=False)
class TakenApart:
    """A recurrent model, ready to be run and differentiated one step at a time.

    Attributes:
        links: The cells from the bottom up.
        dropout: What drops the outputs between two cells.
        behind: Makes scores of the top cell's state.
    """

    links: tuple[Link, ...]
    dropout: nn.Dropout
    behind: nn.Module

    def run(
        self,
        x_t: Shaped[Tensor, "..."],
        before: tuple[Tensor, ...],
        keep: tuple[Tensor, ...],
        values: tuple[tuple[Values, Values], ...] | None = None,
    ) -> Moment:
        """Run the cells for one step.

        Args:
            x_t: The model's input.
            before: The states.
            keep: What dropout leaves of each cell's input.
            values: Other values for what feeds and what moves each cell, by name.

        Returns:
            The step.
        """
        source, inputs, after = x_t, [], []
        for link, (feeding, moving), h, kept in zip(
            self.links, values or (({}, {}),) * len(self.links), before, keep, strict=True
        ):
            x = kept * functional_call(link.feed, dict(feeding), (source,))
            source = functional_call(link.move, dict(moving), (h, x))
            inputs.append(x)
            after.append(source)
        return Moment(x_t, keep, before, tuple(inputs), tuple(after))

    @torch.no_grad()
    def step(self, x_t: Shaped[Tensor, "B ..."], before: tuple[Tensor, ...]) -> Moment:
        """Run the cells for one step, with a new draw of dropout.

        Args:
            x_t: The model's input.
            before: The states.

        Returns:
            The step.
        """
        like = before[0]
        ones = [like.new_ones(len(like), link.cell.input_size) for link in self.links]
        return self.run(x_t, before, (ones[0], *(self.dropout(one) for one in ones[1:])))


def take_apart(model: AbstractSequenceModel) -> TakenApart:
    """Take a recurrent model apart.

    Args:
        model: One `Recurrent` layer in a `Serial`, with memoryless parts before and behind it.

    Returns:
        Its parts, which share its weights.

    Raises:
        InputError: It is no such model.
    """
    parts = in_series(model)
    places = [place for place, part in enumerate(parts) if isinstance(part, Recurrent)]
    if len(places) != 1:
        raise InputError(
            "gradients forward in time are for models with exactly one Recurrent layer (of one or "
            f"more cells), and a {type(model).__name__} has {len(places)}. "
            f"{_cure(model, len(places))}"
        )
    layer: Any = parts[places[0]]
    front = nn.Sequential(*(_module(part) for part in parts[: places[0]]))
    behind = [_module(part) for part in parts[places[0] + 1 :]]
    if any(isinstance(module, nn.Dropout) and module.p > 0 for module in front.modules()):
        raise InputError(
            "gradients forward in time need the same input in value and derivative, and dropout "
            "before the first cell draws anew for each. Leave it out, or take Truncated()."
        )
    moves = [Transition(cell) for cell in layer.cells]
    links = [Link(front, moves[0], _trained(front), _read_by_phi(moves[0]))]
    for below, above in pairwise(moves):
        feed = Readout(below.cell)
        read = _read(feed, below.cell.init_state(1))
        links.append(Link(feed, above, read, _read_by_phi(above)))
    return TakenApart(tuple(links), layer.dropout, nn.Sequential(Readout(moves[-1].cell), *behind))


def _cure(model: AbstractSequenceModel, layers: int) -> str:
    """Say what to do with a model that has not exactly one recurrent layer."""
    if layers:
        return "Put their cells in one layer: Recurrent([cell, cell])."
    return "Build one such as unrecur.build('gru', ...), or take Full() or Truncated()."


def _module(part: AbstractSequenceModel) -> nn.Module:
    """Give the module that a memoryless part applies to each step."""
    if isinstance(part, Embedding):
        return part.table
    if isinstance(part, Pointwise):
        return part.module
    raise InputError(
        "gradients forward in time need memoryless parts (Embedding, Pointwise) before and behind "
        f"the Recurrent layer, got a {type(part).__name__}. Take Full() or Truncated()."
    )


def _trained(module: nn.Module) -> dict[str, nn.Parameter]:
    """List the parameters of a module that are trained."""
    return {name: value for name, value in module.named_parameters() if value.requires_grad}


def _read_by_phi(move: Transition) -> dict[str, nn.Parameter]:
    """List the trained parameters of a cell that phi reads."""
    h = move.cell.init_state(1)
    return _read(move, h, h.new_zeros(1, move.cell.input_size))


@torch.enable_grad()
def _read(module: nn.Module, *inputs: Tensor) -> dict[str, nn.Parameter]:
    """List the trained parameters of a module that its outputs depend on."""
    trained, y = _trained(module), module(*inputs)
    if not (trained and y.requires_grad):
        return {}
    found = torch.autograd.grad(y.sum(), list(trained.values()), allow_unused=True)
    pairs = zip(trained.items(), found, strict=True)
    return {name: value for (name, value), gradient in pairs if gradient is not None}
