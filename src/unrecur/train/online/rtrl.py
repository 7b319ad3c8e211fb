"""Real-time recurrent learning: the exact gradient, forward in time."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur._check import InputError
from unrecur.core.state import State
from unrecur.train.online.forward_in_time import AbstractOnline, Gradients, split
from unrecur.train.online.sensitivities import by_input, by_parameters
from unrecur.train.online.taken_apart import Link, Moment, TakenApart

LARGEST_INFLUENCE = 2**31  # bytes; a step holds some three times as much for a moment


@dataclass(frozen=True)
class RTRL(AbstractOnline):
    """Real-time recurrent learning (Williams and Zipser 1989), for stacks of any cells.

    The influence M^l_t = dh^l_t / d theta of all parameters up to cell l is carried along,

        M^l_t = J^l M^l_{t-1} + X^l N^l_t + I^l,  N^l_t = R^{l-1} M^{l-1}_t (+ the readout's own),

    with J = dphi / dh in closed form (`AbstractCell.jacobian`), X = dphi / dx, I = dphi / d theta
    at a fixed state, R = d readout / dh; N^1 is the derivative of the cell's input by the
    parameters of an embedding or another map before it. The gradient of the step is
    dL_t / dh_t M_t of the top cell.

    With update_every=None it is that of backpropagation through the whole sequence, up to rounding.
    On continuous tasks it also sees the pieces before, where backpropagation stops. It takes
    S P numbers a row and S^2 P multiplications a step, for S numbers of state and P parameters.

    Attributes:
        update_every: See `AbstractOnline`.

    Raises:
        InputError: update_every is no whole number of at least 1.

    Example:
        >>> RTRL(update_every=1).describe()
        {'name': 'RTRL', 'update_every': 1}
    """

    def start(self, apart: TakenApart, rows: int) -> State:
        """Make zeros, if there is room for them; see `AbstractOnline.start`."""
        shapes, columns = [], 0
        for link in apart.links:
            columns += sum(value.numel() for value in link.parameters)
            shapes.append((rows, link.cell.state_size, columns))
        like = apart.links[0].cell.init_state(1)
        _check_size(shapes, like.element_size())
        return tuple(like.new_zeros(shape) for shape in shapes)

    @torch.no_grad()
    def follow(self, apart: TakenApart, moment: Moment, trace: State) -> State:
        """Take the influence through one step; see `AbstractOnline.follow`."""
        after: list[Tensor] = []
        for number, (link, before) in enumerate(zip(apart.links, trace, strict=True)):
            h, x = moment.before[number], moment.inputs[number]
            fed = _fed(link, moment, number, after[-1] if after else None)
            own = _flat(by_parameters(link.move, link.moving, h, x), h)
            after.append(torch.cat([fed, own], -1).baddbmm_(link.cell.jacobian(h, x), before))
        return tuple(after)

    def gradients(
        self, apart: TakenApart, moment: Moment, signal: Float[Tensor, "B S"], trace: State
    ) -> Gradients:
        """Give dL_t / dh_t M_t; see `AbstractOnline.gradients`."""
        flat = torch.einsum("bs,bsp->p", signal, trace[-1])
        return split(apart, flat)


def _fed(link: Link, moment: Moment, number: int, below: Tensor | None) -> Float[Tensor, "B S F"]:
    """Give X N: what comes to a cell's state through its input, from all that is before it."""
    h, x, source = moment.before[number], moment.inputs[number], moment.sources[number]
    if below is None and not link.feeding:
        return h.new_zeros(*h.shape, 0)
    fed = _flat(by_parameters(link.feed, link.feeding, source), x)
    if below is not None:
        fed = torch.cat([by_input(link.feed, 0, source) @ below, fed], -1)
    return by_input(link.move, 1, h, x) @ (moment.keep[number][..., None] * fed)


def _flat(found: Mapping[str, Tensor], like: Tensor) -> Float[Tensor, "B N P"]:
    """Put Jacobians by several parameters side by side; none of them is no column."""
    return torch.cat([like.new_zeros(*like.shape, 0), *(j.flatten(2) for j in found.values())], -1)


def _check_size(shapes: list[tuple[int, int, int]], size: int) -> None:
    """Refuse influences that there is no room for."""
    needed = sum(prod(shape) for shape in shapes) * size
    if needed > LARGEST_INFLUENCE:
        layers = " + ".join(f"{states:,} x {columns:,}" for _, states, columns in shapes)
        raise InputError(
            f"RTRL would keep an influence of {shapes[0][0]} rows x ({layers}) numbers of state x "
            f"parameters x {size} bytes = {needed / 2**30:,.1f} GiB, and at most "
            f"{LARGEST_INFLUENCE / 2**30:g} GiB are allowed. Take SnAp1(), which keeps about as "
            "many numbers as there are parameters, or Truncated(); or a smaller batch or model."
        )
