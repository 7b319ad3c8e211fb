"""Projection: make a cell satisfy the condition that certifies it."""

from functools import singledispatch
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrecur import _check
from unrecur.cells import GRU, LSTM, MGU, Elman
from unrecur.cells.from_torch import cells_of
from unrecur.certificates.classes import OUTPUTS, StableClass, Weights, inside
from unrecur.certificates.inputs import points, read_inputs
from unrecur.certificates.pairs import SLACK
from unrecur.certificates.sum_condition import LSTMBounds
from unrecur.core.compose import Serial, in_series
from unrecur.layers.embedding import Embedding
from unrecur.layers.recurrent import Recurrent

# What the projection leaves free below the rate, so that float32 weights still satisfy it.
MARGIN = 1e-5
# The part of the rate that the largest forget gate of a unit may take; the rest is left to the
# recurrent weights. Chosen on the validation split of `chorales` (docs/decisions/0003).
FORGET_SHARE = 0.5
# Each pass leaves ten times the margin of the last: rounding takes more of it where weights are
# large, and how much is seen only once the rows are short.
PASSES = 4


@singledispatch
def project_(module: nn.Module, input_box: Any, rate: float = 0.95) -> None:
    """Change the weights in place, as little as the rule allows, so that `certify` proves the rate.

    Calling it after each step of an optimizer is projected gradient descent (Miller and Hardt
    2019, section 4.2). Elman: the nearest matrix with singular values up to the rate. LSTM: forget
    biases are lowered, then each unit's rows moved to the nearest point of the sum condition's
    ball. GRU, MGU: the gate's bias is moved and rows are scaled, as by `stabilize`.

    Args:
        module: One of these cells; a `Recurrent` layer or stack of them; a `torch.nn.RNN`, `LSTM`,
            `GRU` or one of their cells; or a model on a recurrent layer.
        input_box: The inputs the proof shall hold for; see `certify`.
        rate: The contraction of each layer to reach, above 0 and below 1.

    Raises:
        InputError: There is no projection for the module, or the rate is outside (0, 1).

    Example:
        >>> import torch
        >>> from unrecur.cells import LSTM
        >>> from unrecur.certificates.contraction import certify
        >>> cell = LSTM(3, 8)
        >>> project_(cell, 1.0, rate=0.9)
        >>> certify(cell, 1.0).rate <= 0.9
        True
    """
    raise _check.InputError(
        f"there is no projection for {type(module).__name__}; there is one for Elman, LSTM, GRU "
        "and MGU cells and the layers and torch modules made of them."
    )


@project_.register
def _(module: Serial, input_box: Any, rate: float = 0.95) -> None:
    first, *rest = in_series(module)
    if isinstance(first, Embedding) and rest:
        first, input_box = rest[0], points(cast("nn.Embedding", first.table).weight)
    project_(first, input_box, rate)


@project_.register
def _(module: Recurrent, input_box: Any, rate: float = 0.95) -> None:
    for number, cell in enumerate(module.cells):
        project_(cell, OUTPUTS if number else input_box, rate)


@project_.register(nn.RNNBase)
@project_.register(nn.RNNCellBase)
def _(module: nn.Module, input_box: Any, rate: float = 0.95) -> None:
    for number, layer in enumerate(cells_of(module)):  # they share the module's weights
        for cell in layer:
            project_(cell, OUTPUTS if number else input_box, rate)


@project_.register(GRU)
@project_.register(MGU)
@torch.no_grad()
def _(cell: GRU | MGU, input_box: Any, rate: float = 0.95) -> None:
    """Move the gate's bias and scale the rows; see `classes`."""
    _check_rate(rate)
    if cell.bias_ih_l0 is None or cell.bias_hh_l0 is None:
        raise _check.InputError("a cell without biases cannot move its gates; use bias=True.")
    for name, weight in cell.named_parameters():
        _check.finite(weight, name)
    low, high = (end.to(cell.weight_ih_l0) for end in read_inputs(input_box, cell.input_size).ends)
    rates = torch.full((cell.hidden_size,), rate).to(low)
    before = Weights(cell.weight_ih_l0, cell.weight_hh_l0, cell.bias_ih_l0, cell.bias_hh_l0)
    after = inside(cell, before, StableClass(low, high, rates, levels=1))
    cell.weight_hh_l0.copy_(after.w_h)
    cell.bias_hh_l0.copy_(after.b_h)


@project_.register
@torch.no_grad()
def _(cell: Elman, input_box: Any, rate: float = 0.95) -> None:
    """Clip the singular values of the recurrent weights: the nearest matrix in Frobenius norm."""
    _check_rate(rate)
    allowed = rate * (1 - MARGIN)
    read_inputs(input_box, cell.input_size)
    _check.finite(cell.weight_hh_l0, "weight_hh_l0")
    u, values, v = torch.linalg.svd(cell.weight_hh_l0.double())
    if values[0] > allowed:
        clipped = u @ torch.diag(values.clamp(max=allowed)) @ v
        cell.weight_hh_l0.copy_(clipped)


@project_.register
@torch.no_grad()
def _(cell: LSTM, input_box: Any, rate: float = 0.95) -> None:
    """Lower forget biases to their share, then project each unit's recurrent rows.

    Given the forget gate phi_j, the sum condition bounds a weighted l1 norm of unit j's rows of
    all four gates by rate - phi_j; the rows are moved to the nearest point of that ball. Shorter
    rows only lower phi_j, so the condition holds afterwards.

    Args:
        cell: The cell.
        input_box: The inputs.
        rate: The contraction to reach.

    Raises:
        InputError: The cell has no biases, or its weights or the box are so large that rounding
            alone breaks the condition.
    """
    _check_rate(rate)
    if cell.bias_hh_l0 is None:
        raise _check.InputError("an LSTM without biases cannot lower its forget gates; use biases.")
    inputs = read_inputs(input_box, cell.input_size)
    for number in range(PASSES):
        allowed = rate * (1 - 10**number * MARGIN)
        _lower_forget_bias(cell, cell.bias_hh_l0, LSTMBounds(cell, inputs), allowed)
        _shorten_rows(cell, LSTMBounds(cell, inputs), allowed)
        bounds = LSTMBounds(cell, inputs)
        if bounds.bounded and float(bounds.rates.max()) < rate / SLACK:
            return
    raise _check.InputError(
        f"the weights or input_box are so large that rounding alone breaks a rate of {rate}. "
        "Scale the inputs or the input weights down."
    )


def _lower_forget_bias(cell: LSTM, bias: Tensor, bounds: LSTMBounds, allowed: float) -> None:
    """Lower forget biases until each gate takes at most its share."""
    cap = torch.logit(torch.tensor(FORGET_SHARE * allowed, dtype=torch.float64))
    excess = (bounds.reach - cap).clamp(min=0)
    bias[cell.hidden_size : 2 * cell.hidden_size] -= excess.to(bias.device, bias.dtype)


def _shorten_rows(cell: LSTM, bounds: LSTMBounds, allowed: float) -> None:
    """Move each unit's recurrent rows to the ball that its forget gate leaves them."""
    hidden = cell.hidden_size
    weights = torch.tensor([0.25, 0.25, 1.0, 0.25], dtype=torch.float64).repeat(hidden, 1)
    # Where rounding swamps the bound on c, that of exact arithmetic does for this pass.
    weights[:, 1] *= torch.where(bounds.cell > 0, bounds.cell, 1 / (1 - bounds.forget))
    rows = cell.weight_hh_l0.double().cpu().view(4, hidden, hidden).transpose(0, 1)
    scale = weights[..., None].expand(-1, -1, hidden)
    radius = (allowed - bounds.forget).clamp(min=0)
    near = project_l1(rows.flatten(1), scale.flatten(1), radius)
    cell.weight_hh_l0.copy_(
        near.view(hidden, 4, hidden).transpose(0, 1).reshape(4 * hidden, hidden)
    )


def _check_rate(rate: float) -> None:
    """Check that a rate is one."""
    if not 0 < rate < 1:
        raise _check.InputError(f"rate must be above 0 and below 1, got {rate}.")


def project_l1(
    rows: Float[Tensor, "N M"], scale: Float[Tensor, "N M"], radius: Float[Tensor, " N"]
) -> Float[Tensor, "N M"]:
    """Project each row onto its weighted l1 ball: the nearest w with sum_m scale_m |w_m| <= radius.

    The solution is w = sign(v) max(|v| - tau scale, 0) for one tau a row: with the entries in
    falling order of |v| / scale, the entries kept are the first ones, and tau follows from their
    sums (Duchi et al. 2008, section 4, with weights).

    Args:
        rows: The vectors v.
        scale: The weights of the norm, above 0.
        radius: The radius of each row's ball, at least 0.

    Returns:
        The projected rows.
    """
    size = rows.abs()
    norm = (scale * size).sum(1)
    order = (size / scale).argsort(1, descending=True)
    kept_scale = scale.gather(1, order)
    excess = (kept_scale * size.gather(1, order)).cumsum(1) - radius[:, None]
    taus = excess / kept_scale.square().cumsum(1)
    # With each further entry tau rises as long as the entry is above it, and falls afterwards.
    tau = torch.where(norm > radius, taus.amax(1), 0).clamp(min=0)
    return rows.sign() * (size - tau[:, None] * scale).clamp(min=0)
