"""Contraction proved from the weights: one rule for each kind of cell.

`certify` is a `singledispatch` function: a new rule is one registration. Everything is computed in
float64; `SLACK` covers that arithmetic's own rounding.
"""

import math
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn

from unrecur import _check
from unrecur.cells import LSTM, Elman
from unrecur.cells.gated import AbstractTorchCell
from unrecur.certificates.box import Box, read_box
from unrecur.certificates.certificate import Certificate, Evidence, unknown
from unrecur.certificates.rounding import ASSUMPTION, Rounding, rounding_of
from unrecur.core.compose import Pointwise, Serial, in_series
from unrecur.layers.recurrent import Recurrent

SLACK = 1 + 1e-10
SECOND_ORDER = 1.01  # covers products of two rounding errors


@singledispatch
def certify(module: nn.Module, input_box: Any) -> Certificate:
    """Prove, from the weights alone, how fast a recurrence forgets; or say that nothing is known.

    The statement is about the state of the recurrent layer, for every sequence of inputs in the
    box, of any length, started from the zero state.

    Args:
        module: A cell, a recurrent layer, or a model with one recurrent layer at its bottom.
        input_box: The inputs it holds for: a number B for |x| <= B, or a pair (low, high) of
            numbers or of one number for each feature.

    Returns:
        A `PROVED` certificate, or an `UNKNOWN` one with the reasons.

    Raises:
        InputError: The box is malformed, or a weight is not finite.

    Example:
        >>> import torch
        >>> from unrecur.cells import Elman
        >>> cell = Elman(1, 2)
        >>> _ = cell.weight_hh_l0.data.copy_(torch.tensor([[0.3, 0.4], [-0.4, 0.3]]))
        >>> certificate = certify(cell, 1.0)
        >>> certificate.evidence.name, round(certificate.rate, 6)
        ('PROVED', 0.5)
    """
    return unknown(f"there is no rule for {type(module).__name__}")


@certify.register
def _(module: Recurrent, input_box: Any) -> Certificate:
    if len(module.cells) > 1:
        return unknown(f"there is no rule for a stack of {len(module.cells)} recurrent layers")
    return certify(module.cells[0], input_box)


@certify.register
def _(module: Serial, input_box: Any) -> Certificate:
    first, *rest = in_series(module)
    if not all(isinstance(model, Pointwise) for model in rest):
        return unknown("there is no rule for a model with memory above its first layer")
    return certify(first, input_box)


@certify.register
def _(cell: Elman, input_box: Any) -> Certificate:
    """Spectral norm: |h' - g'| <= |W_h (h - g)| <= |W_h|_2 |h - g|, as no rho is steeper than 1.

    Args:
        cell: The cell.
        input_box: The inputs.

    Returns:
        The certificate, in the 2-norm.
    """
    box = read_box(input_box, cell.input_size)
    w_x, w_h, _ = _weights(cell)
    rate = float(torch.linalg.matrix_norm(w_h, 2)) * SLACK
    if not rate < 1:
        return unknown(f"the spectral norm of the recurrent weights is {rate:.4g}, not below 1")
    arithmetic = rounding_of(cell.weight_hh_l0)
    gamma = arithmetic.gamma(cell.input_size + cell.hidden_size + 4)
    from_input = float((w_x.abs() @ box.magnitude + _magnitude(cell)).norm())
    rows = float(w_h.abs().sum(1).norm())
    # The largest state solves |h| <= |from_input| + rate |h| and what rounding adds to it.
    room = 1 - rate - gamma * rows
    start = (1 + gamma) * from_input / room * SLACK if room > 0 else math.inf
    flaw = 0.0
    if cell.activation == "tanh":
        flaw = arithmetic.activation * cell.hidden_size**0.5
        start = min(start + flaw / room if room > 0 else math.inf, cell.hidden_size**0.5 + flaw)
    if math.isinf(start):
        return unknown(
            f"rounding leaves no bound on the state beside a spectral norm of {rate:.6g}"
        )
    rounding = 2 * SECOND_ORDER * (flaw + gamma * (from_input + rows * start))
    return Certificate(
        Evidence.PROVED,
        "2",
        rate,
        start,
        rounding,
        (_inputs_in(box), "the state starts at zero", ASSUMPTION),
        ("spectral norm of the recurrent weights",),
    )


@certify.register
def _(cell: LSTM, input_box: Any) -> Certificate:
    """Sup norm: the sum condition, unit by unit, over the reachable box |c| <= cbar, |h| <= 1.

    With phi_j the largest forget gate of unit j and cbar_j = 1 / (1 - phi_j),

        |c' - d'|_j <= phi_j |c - d| + (cbar_j |W_f|_j + |W_i|_j) / 4 |h - k| + |W_g|_j |h - k|
        |h' - k'|_j <= |c' - d'|_j + |W_o|_j / 4 |h - k|

    (row sums of magnitudes; the slopes of the logistic function and tanh are at most 1/4 and 1), so
    one step contracts by the largest over j of
    phi_j + (cbar_j |W_f|_j + |W_i|_j + |W_o|_j) / 4 + |W_g|_j. Derived in
    docs/theory/contraction.md from Miller and Hardt 2019, section 4.2, whose separate conditions
    imply it.

    Args:
        cell: The cell.
        input_box: The inputs.

    Returns:
        The certificate, in the sup norm.
    """
    bounds = LSTMBounds(cell, read_box(input_box, cell.input_size))
    if not bounds.bounded:
        return unknown("a forget gate can reach 1 on this input box: the cell state is unbounded")
    rate = float(bounds.rates.max()) * SLACK
    if not rate < 1:
        return unknown(f"the sum condition in the sup norm gives a rate of {rate:.4g}, not below 1")
    return Certificate(
        Evidence.PROVED,
        "sup",
        rate,
        float(bounds.cell.max().clamp(min=bounds.hidden)),
        2 * bounds.rounding,
        (_inputs_in(bounds.box), "the state starts at zero", ASSUMPTION),
        ("sum condition in the sup norm",),
    )


class LSTMBounds:
    """What an LSTM's gates and states can reach on a box of inputs, float32's rounding included.

    Attributes:
        box: The inputs.
        hidden: The largest |h|.
        reach: The largest pre-activation of each unit's forget gate.
        forget: The largest forget gate phi of each unit.
        cell: The largest |c| of each unit; meaningless unless `bounded`.
        bounded: Whether every forget gate stays below 1.
        rates: The contraction of each unit.
        rounding: The largest error that one step's arithmetic makes in any number of the state.
    """

    def __init__(self, lstm: LSTM, box: Box) -> None:
        w_x, w_h, bias = _weights(lstm)
        arithmetic = rounding_of(lstm.weight_hh_l0)
        four = 4 * arithmetic.unit
        self.box = box
        self.hidden = 1 + 2 * arithmetic.activation + four
        rows = w_h.abs().sum(1)
        i_rows, f_rows, g_rows, o_rows = rows.chunk(4)
        self.reach = (box.largest(w_x) + bias).chunk(4)[1] + self.hidden * f_rows
        self.forget = torch.sigmoid(self.reach) * SLACK

        magnitude = w_x.abs() @ box.magnitude + _magnitude(lstm) + self.hidden * rows
        gamma = arithmetic.gamma(lstm.input_size + lstm.hidden_size + 4)
        e_i, e_f, e_g, e_o = self._gate_errors(gamma * magnitude, arithmetic)
        room = 1 - self.forget - e_f - four
        self.bounded = bool((room > 0).all())
        self.cell = (1 + e_i + e_g + four) / room * SLACK
        self.rates = self.forget + (self.cell * f_rows + i_rows + o_rows) / 4 + g_rows
        cell_error = self.cell * e_f + e_i + e_g + four * (self.cell + 1)
        hidden_error = cell_error + e_o + arithmetic.activation + four
        self.rounding = SECOND_ORDER * float(hidden_error.max())

    @staticmethod
    def _gate_errors(error: Tensor, arithmetic: Rounding) -> list[Tensor]:
        """Bound the errors of the computed gates, given those of their pre-activations."""
        slopes = (0.25, 0.25, 1.0, 0.25)
        return [
            SECOND_ORDER * (slope * part + arithmetic.activation)
            for slope, part in zip(slopes, error.chunk(4), strict=True)
        ]


def _weights(cell: AbstractTorchCell) -> tuple[Tensor, Tensor, Tensor]:
    """Give input weights, recurrent weights and the sum of the biases in float64."""
    for name, weight in cell.named_parameters():
        _check.finite(weight, name)
    w_x, w_h = (w.detach().double().cpu() for w in (cell.weight_ih_l0, cell.weight_hh_l0))
    biases = [b.detach().double().cpu() for b in cell.weights[2:]]
    return w_x, w_h, sum(biases, torch.zeros(len(w_x), dtype=torch.float64))


def _magnitude(cell: AbstractTorchCell) -> Tensor:
    """Give the sum of the biases' magnitudes in float64."""
    biases = [b.detach().double().cpu().abs() for b in cell.weights[2:]]
    return sum(biases, torch.zeros(len(cell.weight_hh_l0), dtype=torch.float64))


def _inputs_in(box: Box) -> str:
    """Say which inputs a proof holds for."""
    low, high = float(box.low.min()), float(box.high.max())
    uniform = bool((box.low == low).all() and (box.high == high).all())
    span = f"[{low:.6g}, {high:.6g}]"
    return f"every input in {span}" if uniform else f"every input in its feature's part of {span}"
