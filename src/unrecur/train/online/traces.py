"""One trace a parameter: the influence of each on the state of its own unit."""

from abc import abstractmethod
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from unrecur._check import InputError
from unrecur.core.cell import AbstractCell
from unrecur.core.state import State
from unrecur.train.online.forward_in_time import AbstractOnline, Gradients
from unrecur.train.online.sensitivities import by_parameters
from unrecur.train.online.taken_apart import Link, Moment, TakenApart, Transition
from unrecur.train.online.units import unit_states


@dataclass(frozen=True)
class AbstractTraces(AbstractOnline):
    """Keep, for each parameter of a cell, its influence on the numbers of its own unit.

    E_t = A_t E_{t-1} + I_t, with I_t the effect of the step itself and A_t the path from the unit's
    state to itself, as the subclass has it. In a stack each cell has its own traces and learns from
    dL_t / dh^l_t, which comes down through the cells above within the step. What a lower cell does
    to an upper one's later states is dropped, and parameters before the first cell or in a readout
    between two cells learn from the step alone.

    It takes K P numbers a row, for the K numbers of state of a unit.
    """

    @abstractmethod
    def paths(
        self, cell: AbstractCell, h: Float[Tensor, "B S"], x: Float[Tensor, "B D"]
    ) -> Float[Tensor, "B K K U"]:
        """Give how each unit's state acts on itself in one step.

        Args:
            cell: The cell.
            h: The state.
            x: The input.

        Returns:
            A matrix for each unit.
        """

    def start(self, apart: TakenApart, rows: int) -> State:
        """Make zeros for all parameters of the cells; see `AbstractOnline.start`."""
        return tuple(
            tuple(
                value.new_zeros(rows, len(_units(link.cell)), *value.shape)
                for value in link.moving.values()
            )
            for link in apart.links
        )

    @torch.no_grad()
    def follow(self, apart: TakenApart, moment: Moment, trace: State) -> State:
        """Take the traces through one step; see `AbstractOnline.follow`."""
        steps = zip(apart.links, moment.before, moment.inputs, trace, strict=True)
        return tuple(self._follow(*step) for step in steps)

    def _follow(
        self, link: Link, h: Tensor, x: Tensor, traces: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Take the traces of one cell through one step."""
        paths = self.paths(link.cell, h, x)
        # Each parameter acts on one unit: in the sum over units its derivative stands alone.
        found = by_parameters(_SumOfUnits(link.move), _inside(link), h, x).values()
        carried = (torch.einsum("bklu,blgur->bkgur", paths, _by_unit(old, paths)) for old in traces)
        return tuple(own + old.reshape(own.shape) for own, old in zip(found, carried, strict=True))

    def gradients(
        self, apart: TakenApart, moment: Moment, signal: Float[Tensor, "B S"], trace: State
    ) -> Gradients:
        """Give dL_t / dh^l_t times the traces of each cell; see `AbstractOnline.gradients`."""
        signals, found = _downward(apart, moment, signal)
        for link, at_cell, traces in zip(apart.links, signals, trace, strict=True):
            by_unit = at_cell[:, _units(link.cell)]
            for parameter, own in zip(link.moving.values(), traces, strict=True):
                gradient = torch.einsum("bku,bkgur->gur", by_unit, _by_unit(own, by_unit))
                # A cell that stands in two layers learns from both.
                known = found.get(parameter, torch.zeros_like(parameter))
                found[parameter] = known + gradient.reshape(parameter.shape)
        return found


def unit_paths(
    cell: AbstractCell, h: Float[Tensor, "B S"], x: Float[Tensor, "B D"]
) -> Float[Tensor, "B K K U"]:
    """Take from a cell's Jacobian how each unit's state acts on itself.

    Args:
        cell: The cell.
        h: The state.
        x: The input.

    Returns:
        A matrix for each unit.
    """
    units = _units(cell)
    return cell.jacobian(h, x)[:, units[:, None], units]


class _SumOfUnits(nn.Module):
    """phi, summed over the units: K numbers.

    Args:
        move: phi.
    """

    def __init__(self, move: Transition) -> None:
        super().__init__()
        self.move = move

    def forward(self, h: Float[Tensor, " S"], x: Float[Tensor, " D"]) -> Float[Tensor, " K"]:
        """Advance the state and sum it."""
        return self.move(h, x)[_units(self.move.cell)].sum(-1)


def _inside(link: Link) -> dict[str, nn.Parameter]:
    """Name the parameters of phi as `_SumOfUnits` does."""
    return {f"move.{name}": value for name, value in link.moving.items()}


def _by_unit(trace: Tensor, like: Tensor) -> Float[Tensor, "B K G U R"]:
    """Show the rows g U + u of a parameter's trace by gate and unit."""
    rows, numbers = trace.shape[:2]
    return trace.reshape(rows, numbers, -1, like.shape[-1], prod(trace.shape[3:]))


def _downward(
    apart: TakenApart, moment: Moment, signal: Tensor
) -> tuple[list[Tensor], dict[nn.Parameter, Tensor]]:
    """Bring the signal at the top state down to all cells, and to what feeds them."""
    feeding = [value for link in apart.links for value in link.feeding.values()]
    if len(apart.links) == 1 and not feeding:
        return [signal], {}
    with torch.enable_grad():
        after = apart.run(moment.x_t, moment.before, moment.keep).after
    found = torch.autograd.grad(after[-1], [*after[:-1], *feeding], signal)
    below = len(after) - 1
    return [*found[:below], signal], dict(zip(feeding, found[below:], strict=True))


def _units(cell: AbstractCell) -> Tensor:
    """Say which numbers of the state belong to each unit, or refuse the cell."""
    units = unit_states(cell)
    if units is None or parametrize.is_parametrized(cell):
        raise InputError(
            "one trace a parameter needs a cell whose parameters act on one unit each in one step, "
            f"and a {type(cell).__name__} is none that is known to. Take an Elman cell, GRU, LSTM "
            "or minGRU without parametrizations, or RTRL()."
        )
    return units
