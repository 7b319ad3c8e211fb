"""Unbiased online recurrent optimization: a random influence of rank one."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import grad, vmap

from unrecur.core.state import State, leaves
from unrecur.train.online.forward_in_time import AbstractOnline, Gradients, split
from unrecur.train.online.sensitivities import by_input
from unrecur.train.online.taken_apart import Moment, TakenApart, Values

TINY = 1e-7  # keeps the two factors finite where one of them is zero


@dataclass(frozen=True)
class UORO(AbstractOnline):
    """An unbiased estimate of RTRL's gradient (Tallec and Ollivier 2017, arXiv 1702.05043).

    The influence of all parameters on the states of all cells is s v^T, of rank one for each row,

        s_t = rho_0 J_t s_{t-1} + rho_1 nu,  v_t = v_{t-1} / rho_0 + I_t^T nu / rho_1,

    with random signs nu, so that the mean of s_t v_t^T is the influence. rho_0 = sqrt(|v| / |J s|)
    and rho_1 = sqrt(|I^T nu| / |nu|) balance the norms, which keeps the variance least. It takes
    S + P numbers a row and of the order of S^2 + P multiplications a step, for any cells; the
    variance grows with the number of states and with the memory, so that steps must be small.

    The signs come from torch's global generator, as dropout does.

    Attributes:
        update_every: See `AbstractOnline`.

    Raises:
        InputError: update_every is no whole number of at least 1.

    Example:
        >>> UORO().describe()
        {'name': 'UORO', 'update_every': None}
    """

    def start(self, apart: TakenApart, rows: int) -> State:
        """Make zeros; see `AbstractOnline.start`."""
        states = sum(link.cell.state_size for link in apart.links)
        like = apart.links[0].cell.init_state(1)
        columns = sum(value.numel() for link in apart.links for value in link.parameters)
        return like.new_zeros(rows, states), like.new_zeros(rows, columns)

    @torch.no_grad()
    def follow(self, apart: TakenApart, moment: Moment, trace: State) -> State:
        """Take the two vectors through one step; see `AbstractOnline.follow`."""
        state, weights = trace
        signs = torch.randint(2, state.shape, device=state.device).to(state) * 2 - 1
        pushed = _pushed(apart, moment, state)
        pulled = _pulled(apart, moment, signs)
        old, new = _balance(weights, pushed), _balance(pulled, signs)
        return old * pushed + new * signs, weights / old + pulled / new

    def gradients(
        self, apart: TakenApart, moment: Moment, signal: Float[Tensor, "B S"], trace: State
    ) -> Gradients:
        """Give (dL_t / dh_t s) v; see `AbstractOnline.gradients`."""
        state, weights = trace
        top = state[:, -signal.shape[1] :]
        return split(apart, (signal * top).sum(1) @ weights)


def _pushed(apart: TakenApart, moment: Moment, state: Tensor) -> Float[Tensor, "B S"]:
    """Give J s: what a change of the states before the step makes of those after it."""
    after: list[Tensor] = []
    changes = state.split([h.shape[1] for h in moment.before], 1)
    for number, (link, change) in enumerate(zip(apart.links, changes, strict=True)):
        h, x = moment.before[number], moment.inputs[number]
        new = link.cell.jacobian(h, x) @ change[..., None]
        if after:
            shown = by_input(link.feed, 0, moment.sources[number]) @ after[-1]
            new = new + by_input(link.move, 1, h, x) @ (moment.keep[number][..., None] * shown)
        after.append(new)
    return torch.cat(after, 1)[..., 0]


def _pulled(apart: TakenApart, moment: Moment, signs: Tensor) -> Float[Tensor, "B P"]:
    """Give I^T nu of each row: the gradient of nu h_t by the parameters, for one step."""

    def projected(
        values: tuple[tuple[Values, Values], ...],
        x_t: Tensor,
        before: tuple[Tensor, ...],
        keep: tuple[Tensor, ...],
        signs: Tensor,
    ) -> Tensor:
        return (torch.cat(apart.run(x_t, before, keep, values).after, -1) * signs).sum()

    values = tuple((_values(link.feeding), _values(link.moving)) for link in apart.links)
    rows = vmap(grad(projected), in_dims=(None, 0, 0, 0, 0))
    found = rows(values, moment.x_t, moment.before, moment.keep, signs)
    return torch.cat([part.flatten(1) for part in leaves(found)], -1)


def _values(parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Take the numbers of parameters."""
    return {name: value.detach() for name, value in parameters.items()}


def _balance(above: Tensor, below: Tensor) -> Float[Tensor, "B 1"]:
    """Give sqrt(|above| / |below|) of each row."""
    above, below = above.norm(dim=1, keepdim=True), below.norm(dim=1, keepdim=True)
    return (above / (below + TINY)).sqrt() + TINY
