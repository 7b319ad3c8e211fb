"""How far gradients reach back: |dh_t / dh_s| and |dL_t / dx_s| against the lag t - s."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from unrecur.cells.gates import highway
from unrecur.core.cell import AbstractCell
from unrecur.interop.custom import PhiCell
from unrecur.interop.recurrence import Layers

EXACT = 128  # numbers of state whose whole Jacobian is multiplied up
PROBES = 32
NOTHING = 1e-30  # of the gain at lag 0: vanished


@dataclass(frozen=True, eq=False)
class Flow:
    """What is left of a small change of a cell's state after a number of steps.

    All are root mean squares over the numbers of the state and the steps t it was measured at:
    the gain of lag l is (mean over t of |dh_t / dh_{t-l}|_F^2 / S)^1/2, 1 at lag 0.

    Attributes:
        gain: Of the whole state, lag 0 on, [L + 1].
        error: The standard error of the gain through the random probes; zeros where exact.
        highway: Through each number's own gates alone; None where the cell has no such path.
        hidden: Through the recurrent weights: the whole less the highway; None likewise.
        largest: The largest singular value of dh_t / dh_{t-l} over t, at lags 1, 2, 4, ...; empty
            where the Jacobians are not multiplied up.
        columns: |dh_t / dh_{t-l,i}| of each number i, the geometric mean over t, [L + 1, S].
        kept: |dh_{t,i} / dh_{t-L,i}|, what each number keeps of itself at the longest lag, the
            mean over t.
        ends: How many steps t.
        exact: Whether the Jacobians were multiplied up; else random probes stand for them.
    """

    gain: Float64[Tensor, " L"]
    error: Float64[Tensor, " L"]
    highway: Float64[Tensor, " L"] | None
    hidden: Float64[Tensor, " L"] | None
    largest: Float64[Tensor, " M"]
    columns: Float64[Tensor, "L S"]
    kept: Float64[Tensor, " S"]
    ends: int
    exact: bool

    @property
    def vanishes(self) -> int | None:
        """The lag from which on less than a thousandth of the gain is left."""
        below = self.gain < 1e-3
        if not bool(below[-1]):
            return None
        return int((~below).nonzero().max()) + 1

    @property
    def explodes(self) -> int | None:
        """The first lag at which the gain exceeds a thousand."""
        above = (self.gain > 1e3).nonzero()
        return int(above[0]) if len(above) else None


@torch.no_grad()
def gradient_flow(
    cell: AbstractCell,
    before: Float[Tensor, "N L S"],
    x: Float[Tensor, "N L D"],
    probes: int = PROBES,
) -> Flow:
    """Measure |dh_t / dh_s| of one cell along its own trajectory.

    Rows U are pulled back through the Jacobians, U dh_t/dh_{t-l} = (U dh_t/dh_{t-l+1}) J_{t-l+1}:
    the rows of the identity for small states, which is exact; standard normal probes for large
    ones, as E |u^T J|^2 = |J|_F^2 and E (u^T J)_i^2 = |J e_i|^2.

    Args:
        cell: The cell.
        before: The states before each of the L steps that lead to a t, N of them.
        x: The inputs of those steps.
        probes: How many probes are drawn for a state of more than `EXACT` numbers.

    Returns:
        The gains for lags 0 to L, or to where nothing is left, or float64 ends.
    """
    count, lags, size = before.shape
    exact = size <= EXACT
    # A custom cell's step is somebody else's, in its own precision; probes err more than rounding.
    if exact and not isinstance(cell, PhiCell):
        cell = copy.deepcopy(cell).double()
        before, x = before.double(), x.double()
    if exact:
        rows = torch.eye(size, dtype=before.dtype, device=x.device)
    else:
        generator = torch.Generator().manual_seed(0)
        rows = torch.randn(probes, size, generator=generator, dtype=torch.float64).to(before)
    weight = 1.0 if exact else 1 / probes
    pulled = rows.expand(count, -1, -1).clone()
    passed = torch.ones(count, size, dtype=before.dtype, device=x.device)
    gates = highway(cell, before[:, -1], x[:, -1]) is not None
    sums, errors, own, rest, columns, largest = [], [], [], [], [], []
    for lag in range(lags + 1):
        if lag:
            h, x_t = before[:, -lag], x[:, -lag]
            pulled = _pull(cell, pulled, h, x_t)
            if gates:
                share = highway(cell, h, x_t)
                assert share is not None
                passed = passed * share
        squares = pulled.double().square()
        total = squares.sum((1, 2)) * weight / size
        if not bool(total.isfinite().all()):
            break
        own_share = (pulled * rows).double().sum(1).abs() * weight
        sums.append(total.mean().sqrt())
        # The probes are the same for all t, so that their errors do not average out over t.
        each = (squares.sum(2) / size).mean(0)
        spread = 0 * sums[-1] if exact else each.std() / math.sqrt(probes)
        errors.append(spread / (2 * sums[-1].clamp(min=1e-300)))
        columns.append((squares.sum(1) * weight).sqrt().log().mean(0).exp())
        if gates:
            own.append((passed.double().square().sum(1) / size).mean().sqrt())
            left = (pulled - rows * passed[:, None]).double().square().sum((1, 2))
            left = left * weight / size
            rest.append(left.mean().sqrt())
        if exact and lag and lag & (lag - 1) == 0:
            largest.append(torch.linalg.matrix_norm(pulled.double(), 2).amax())
        if float(sums[-1]) <= NOTHING:
            break
    nothing = torch.zeros(0, dtype=torch.float64)
    return Flow(
        torch.stack(sums),
        torch.stack(errors),
        torch.stack(own) if gates else None,
        torch.stack(rest) if gates else None,
        torch.stack(largest) if largest else nothing,
        torch.stack(columns),
        own_share.mean(0),
        count,
        exact,
    )


def _pull(cell: AbstractCell, rows: Tensor, h: Tensor, x: Tensor) -> Tensor:
    """Multiply rows by the Jacobian at a step: in closed form, or without it where it is large."""
    if h.shape[-1] <= EXACT:
        return rows @ cell.jacobian(h, x)
    # Without the S x S matrices: one pull-back for each row.
    back = torch.func.vjp(lambda state: cell.phi(state, x), h)[1]
    (pulled,) = torch.func.vmap(back)(rows.transpose(0, 1))
    return pulled.transpose(0, 1)


@dataclass(frozen=True, eq=False)
class InputFlow:
    """How much of a gradient reaches each input.

    Attributes:
        lags: The lags, rising; those below 0 are inputs to come, which a backward layer sees.
        norm: |dL_t / dx_(t - lag)|, the root mean square over t and probes.
        of: What L_t is.
    """

    lags: Tensor
    norm: Float64[Tensor, " L"]
    of: str

    @property
    def followed(self) -> bool:
        """Whether gradients were followed to where little is left: under 1 % in the last tenth."""
        sizes = self.norm[self.lags >= 0]
        last = sizes[len(sizes) - max(1, len(sizes) // 10) :]
        return len(sizes) > 1 and float(last.sum()) < 0.01 * float(sizes.sum())

    def reach(self, share: float = 0.99) -> int:
        """Find the shortest window with a share of the gradient's norm, summed over lags.

        Args:
            share: The share.

        Returns:
            How many inputs, the newest included.
        """
        sizes = self.norm * (self.lags >= 0)
        sizes = sizes + self.norm.flip(0) * (self.lags > 0) if int(self.lags[0]) < 0 else sizes
        total = sizes[self.lags >= 0].cumsum(0)
        if not float(total[-1]):
            return 1
        return int((total >= share * total[-1]).nonzero()[0]) + 1


def input_flow(
    layers: Layers,
    x: Float[Tensor, "N W D"],
    starts: list[list[Tensor]] | None,
    place: int,
    cotangents: Float[Tensor, "P N E"],
    of: str,
) -> InputFlow:
    """Measure |dL_t / dx_s| for the output at one place of each window.

    Args:
        layers: The cells.
        x: The windows.
        starts: The states before them, [N, S]; zeros where left out.
        place: Which step of the windows is t.
        cotangents: dL_t / dy_t, several for each window.
        of: What L_t is.

    Returns:
        The norms against the lag.
    """
    x = x.detach().clone().requires_grad_()
    y = _run(layers, x, starts)[:, place]
    total = x.new_zeros(x.shape[:2], dtype=torch.float64)
    for cotangent in cotangents:
        (gradient,) = torch.autograd.grad(y, x, cotangent.to(y.dtype), retain_graph=True)
        total += gradient.double().square().sum(-1)
    lags = place - torch.arange(x.shape[1])
    norm = (total.mean(0) / len(cotangents)).sqrt()
    return InputFlow(lags.flip(0), norm.flip(0).cpu(), of)


def _run(layers: Layers, x: Tensor, starts: list[list[Tensor]] | None) -> Tensor:
    """Run layers of cells with gradients."""
    for depth, cells in enumerate(layers):
        shown = []
        for direction, cell in enumerate(cells):
            h = cell.init_state(len(x)) if starts is None else starts[depth][direction]
            turned = x.flip(1) if direction else x
            y = _outputs(cell, turned, h)
            shown.append(y.flip(1) if direction else y)
        x = torch.cat(shown, -1)
    return x


def _outputs(cell: AbstractCell, x: Tensor, h: Tensor) -> Tensor:
    """Run one cell, by the fused kernel where there is one."""
    found = cell.fused(x, h)
    if found is not None:
        return found[0]
    shown = []
    for x_t in x.unbind(1):
        h = cell.phi(h, x_t)
        shown.append(cell.readout(h))
    return torch.stack(shown, 1)


def cotangents(
    finish: Callable[[Tensor], list[Tensor]] | None, y: Tensor, probes: int
) -> tuple[Tensor, str]:
    """Draw gradients dL / dy of random sums L of the model's outputs, one sum for each step.

    Args:
        finish: From the recurrence's outputs to the model's, each made of one step; None where
            they cannot be differentiated, and the recurrence's own outputs stand for them.
        y: The recurrence's outputs, [N, E].
        probes: How many.

    Returns:
        The gradients, [probes, N, E], and what L_t is.
    """
    generator = torch.Generator().manual_seed(1)

    def signs(like: Tensor) -> Tensor:
        drawn = torch.randint(0, 2, like.shape, generator=generator)
        return (2.0 * drawn - 1).to(like)

    if finish is not None:
        y = y.detach().clone().requires_grad_()
        try:
            outputs = torch.cat([part.reshape(len(part), -1) for part in finish(y)])
            if outputs.requires_grad:
                sizes = outputs.shape[1] ** 0.5
                found = [
                    torch.autograd.grad(outputs, y, signs(outputs) / sizes, retain_graph=True)[0]
                    for _ in range(probes)
                ]
                return torch.stack(found), "the model's outputs"
        except RuntimeError:  # something in the model cuts the gradient off
            pass
    found = [signs(y) / y.shape[1] ** 0.5 for _ in range(probes)]
    return torch.stack(found).detach(), "the recurrence's outputs"
