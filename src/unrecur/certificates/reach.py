"""The reachable box: where the states of a cell can be, for every sequence of inputs in a set."""

import itertools
import math
from collections.abc import Iterator
from contextlib import suppress
from functools import singledispatch

import torch
from jaxtyping import Float64
from torch import Tensor

from unrecur.cells import Elman
from unrecur.cells.diagonal import AbstractDiagonalCell
from unrecur.certificates.chain import NoRuleError
from unrecur.certificates.expressions import advance, show
from unrecur.certificates.pairs import OWN, SLACK, Tape
from unrecur.certificates.rounding import Rounding, rounding_of
from unrecur.core.cell import AbstractCell

Interval = tuple[Tensor, Tensor]
GROWING, FALLING = 40, 60  # iterations from zero up, and from the bounding box down
INFLATIONS = (1.0, 1.001, 1.01, 1.1, 1.5)
SETTLED = 1e-4  # the relative change of the box at which it is left
MOST = 2**22  # numbers of all modes together; beyond, modes are merged into boxes


class Reach:
    """The box that holds every state a cell can come to from zero.

    The box is an interval for each number of the flat state, in float64, and holds the computed
    states too. A box is taken only if the cell maps it into itself for every input (checked with
    outward rounding), or by an argument of its own (`_ball`).

    Args:
        cell: The cell.
        low: The least inputs, [V, D]: one row for each mode (each point of a vocabulary).
        high: The largest inputs.
        horizon: The longest sequence it must hold for; None for any length.

    Attributes:
        low: The least state, [S].
        high: The largest state.

    Raises:
        NoRuleError: The cell has no rule, or no bounded box was found.
    """

    low: Float64[Tensor, " S"]
    high: Float64[Tensor, " S"]

    def __init__(
        self, cell: AbstractCell, low: Tensor, high: Tensor, horizon: int | None = None
    ) -> None:
        self.cell = cell
        self.inputs = _merged(low, high, cell)
        weight = max(cell.parameters(), key=lambda p: p.numel())
        self.arithmetic: Rounding = rounding_of(weight)
        self.terms = cell.input_size + cell.state_size + 4
        self.memory: dict[object, tuple[Tensor, ...]] = {}
        box = self._within(horizon) if horizon is not None else self._bounding()
        self.low, self.high = self._refined(box)
        self._check_range()

    def tape(self) -> Tape:
        """Make an empty tape for this cell."""
        return Tape(self.arithmetic, self.terms, self.memory)

    def image(self, low: Tensor, high: Tensor) -> Interval:
        """Map a box of states by one step, over all inputs.

        Args:
            low: Its least state.
            high: Its largest state.

        Returns:
            A box that holds every state one step later.
        """
        tape = self.tape()
        h = tape.variable(low[None], high[None])
        new = advance(self.cell, h, tape.exact(*self.inputs))
        return new.low.amin(0), new.high.amax(0)

    def output(self) -> Interval:
        """Give the box of the cell's outputs."""
        shown = show(self.cell, self.tape().variable(self.low[None], self.high[None]))
        return shown.low[0], shown.high[0]

    def _check_range(self) -> None:
        """Check that no number on the way to the next state and output overflows."""
        tape = self.tape()
        h = tape.variable(self.low[None], self.high[None])
        show(self.cell, advance(self.cell, h, tape.exact(*self.inputs)))
        if not float(torch.stack(tape.largest).detach().max()) <= self.arithmetic.largest:
            raise NoRuleError(
                f"numbers up to {self.arithmetic.largest:.3g} can be computed with these weights' "
                "type, and on these inputs larger ones can come up"
            )

    def _holds(self, box: Interval) -> bool:
        """Check that a box is mapped into itself and holds zero."""
        low, high = self.image(*box)
        inside = (box[0] <= low) & (high <= box[1]) & (box[0] <= 0) & (box[1] >= 0)
        return bool(inside.all())

    def _within(self, horizon: int) -> Interval:
        """Follow the box from zero for as many steps as any sequence has."""
        box, settled = self._zero(), False
        for _ in range(horizon):
            wider = _hull(box, self.image(*box))
            if all(map(torch.equal, wider, box)):
                break
            if _same(wider, box) and not settled:
                # Small steps may add up to much: only a box that holds for any length ends here.
                settled = True
                with suppress(NoRuleError):
                    return self._bounding()
            box = wider
        return box

    def _bounding(self) -> Interval:
        """Find an invariant box among some candidates, or by an argument of the cell's own."""
        for center, radius in (*self._affine(), *self._grown()):
            if not (radius.isfinite().all() and center.isfinite().all()):
                continue
            for by in INFLATIONS:
                wide = radius * by + 4 * self.arithmetic.activation
                if self._holds((center - wide, center + wide)):
                    return center - wide, center + wide
        return _ball(self.cell, self)

    def _affine(self) -> Iterator[Interval]:
        """Guess from b' <= f b + d: saturating cells keep a share f of their state and add d."""
        # f and d are read off the images of boxes: wide ones, as the modes that keep most decide
        # there; and narrow ones, as wide ones open the gates of a cell whose whole state is kept.
        # In a state of two parts (an LSTM's [c, h]) it is the first that is kept.
        size = self.cell.state_size
        first = size - self.cell.hidden_size  # where the rest is what the cell shows
        one = torch.ones(size, dtype=torch.float64)
        for kept, scale in itertools.product(sorted({first or size, size}), (1e6, 1.0)):
            memory = torch.arange(size) < kept
            none, once, twice = (
                torch.maximum(*(end.abs() for end in self._around(torch.where(memory, by, one))))
                for by in (0.0, scale, 2 * scale)
            )
            share = (twice - once) / scale
            added = torch.maximum(none, once - share * scale)
            radius = torch.where(memory & (share < 1), added / (1 - share), one)
            low, high = self._around(radius * (1 + self.arithmetic.activation))
            yield torch.zeros_like(one), torch.where(memory, radius, torch.maximum(-low, high))

    def _around(self, radius: Tensor) -> Interval:
        """Map the box of this radius around zero."""
        return self.image(-radius, radius)

    def _grown(self) -> Iterator[Interval]:
        """Guess by growing from zero and extrapolating the steps as geometric series."""
        box, growth = self._zero(), torch.zeros(self.cell.state_size, dtype=torch.float64)
        ratio = torch.zeros_like(growth)
        for _ in range(GROWING):
            wider = _hull(box, self.image(*box))
            step = torch.maximum(box[0] - wider[0], wider[1] - box[1])
            ratio = torch.where(growth > 0, step / growth.clamp(min=1e-300), 0.0)
            box, growth = wider, step
        center, radius = (box[0] + box[1]) / 2, (box[1] - box[0]) / 2
        for rate in (ratio, ratio.amax().expand_as(ratio)):
            yield center, torch.where(rate < 1, radius + growth / (1 - rate), math.inf)

    def _refined(self, box: Interval) -> Interval:
        """Shrink a box to its image and the zero state, again and again."""
        for _ in range(FALLING):
            low, high = self.image(*box)
            smaller = (
                torch.maximum(box[0], low.clamp(max=0)),
                torch.minimum(box[1], high.clamp(min=0)),
            )
            if _same(smaller, box):
                return smaller
            box = smaller
        return box

    def _zero(self) -> Interval:
        """Make the box of the zero state."""
        zero = torch.zeros(self.cell.state_size, dtype=torch.float64)
        return zero, zero


def _hull(box: Interval, other: Interval) -> Interval:
    """Give the least box around two."""
    return torch.minimum(box[0], other[0]), torch.maximum(box[1], other[1])


def _same(box: Interval, other: Interval) -> bool:
    """Say whether two boxes hardly differ."""
    width = (other[1] - other[0]).clamp(min=1e-12)
    change = torch.maximum((box[0] - other[0]).abs(), (box[1] - other[1]).abs())
    return bool((change <= SETTLED * width).all())


def _merged(low: Tensor, high: Tensor, cell: AbstractCell) -> Interval:
    """Merge modes into fewer boxes where all of them at once would not fit into memory."""
    most = max(1, MOST // (4 * cell.state_size))
    if len(low) <= most:
        return low, high
    group = -(-len(low) // most)
    parts = zip(low.split(group), high.split(group), strict=True)
    ends = [(a.amin(0), b.amax(0)) for a, b in parts]
    return torch.stack([a for a, _ in ends]), torch.stack([b for _, b in ends])


@singledispatch
def _ball(cell: AbstractCell, reach: Reach) -> Interval:
    """Give a box around a ball that holds all states, where no box of intervals is invariant."""
    raise NoRuleError(
        "no bounded box of states is mapped into itself: on these inputs a gate that keeps the "
        "state can reach 1, or the state grows. Give horizon=, the longest sequence, or a smaller "
        "input_box"
    )


@_ball.register
def _(cell: Elman, reach: Reach) -> Interval:
    """2-norm: |h'| <= |W_x x + b| + |W_h| |h| and the rounding of both, for rho(0) = 0."""
    w_x, w_h = (w.double().cpu() for w in (cell.weight_ih_l0, cell.weight_hh_l0))
    biases = sum((b.double().cpu().abs() for b in cell.weights[2:]), torch.zeros(1))
    size = torch.maximum(reach.inputs[0].abs(), reach.inputs[1].abs()).amax(0)
    gamma = reach.arithmetic.gamma(reach.terms) + reach.arithmetic.activation
    driven = float((w_x.abs() @ size + biases).norm()) * (1 + gamma)
    room = 1 - float(torch.linalg.matrix_norm(w_h, 2)) * SLACK
    room -= gamma * float(w_h.abs().sum(1).norm())
    if not room > 0:
        raise NoRuleError("the reachable states grow without bound on these inputs")
    radius = torch.full((cell.state_size,), driven / room * SLACK, dtype=torch.float64)
    return -radius, radius


@_ball.register
def _(cell: AbstractDiagonalCell, reach: Reach) -> Interval:
    """Modulus by modulus: |h'_j| <= |lambda_j| |h_j| + |(B x)_j|."""
    a = cell.eigenvalues.abs().double().cpu()
    size = torch.maximum(reach.inputs[0].abs(), reach.inputs[1].abs())
    parts = (size @ cell.input_map.double().cpu().abs().T).amax(0).view(2, -1)
    error = 8 * reach.arithmetic.gamma(reach.terms) + 8 * OWN.unit
    room = 1 - a * (1 + error)
    if not (room > 0).all():
        raise NoRuleError("an eigenvalue has modulus 1 up to rounding: the state is unbounded")
    radius = (parts.norm(dim=0) * (1 + error) / room * SLACK).repeat(2)
    return -radius, radius
