"""The sum condition of an LSTM in closed form: what a projection moves weights onto.

`certify` has tighter bounds; these depend on a unit's own rows alone, so that rows can be projected
one unit at a time.
"""

import torch
from torch import Tensor

from unrecur import _check
from unrecur.cells import LSTM
from unrecur.cells.gated import AbstractTorchCell
from unrecur.certificates.inputs import InputSet
from unrecur.certificates.pairs import SLACK
from unrecur.certificates.rounding import Rounding, rounding_of

SECOND_ORDER = 1.01  # covers products of two rounding errors


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

    def __init__(self, lstm: LSTM, box: InputSet) -> None:
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
