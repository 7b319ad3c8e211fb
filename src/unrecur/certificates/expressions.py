"""The cells, written once for every arithmetic of a proof: one registration a cell.

A new cell needs `advance` (its phi), and `show` where its readout is not the whole state.
"""

from collections.abc import Sequence
from functools import singledispatch
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from unrecur.cells import (
    GRU,
    LSTM,
    MGU,
    QRNN,
    Elman,
    MinGRU,
    MinLSTM,
    PeepholeLSTM,
    ProjectedLSTM,
    ResetFirstGRU,
)
from unrecur.cells.diagonal import AbstractDiagonalCell
from unrecur.cells.gated import AbstractTorchCell
from unrecur.cells.hidden_markov import HiddenMarkov
from unrecur.cells.minimal import AbstractMinimalCell
from unrecur.certificates.chain import NoRuleError
from unrecur.certificates.numbers import (
    LOG_SIGMOID,
    ROUNDED_ZERO,
    SIGMOID,
    TANH,
    AbstractNumbers,
    leaky_relu,
)
from unrecur.core.cell import AbstractCell

N = TypeVar("N", bound=AbstractNumbers)


@singledispatch
def advance(cell: AbstractCell, h: N, x: N) -> N:
    """Give phi(h, x) in an arithmetic of proofs.

    Args:
        cell: The cell.
        h: The flat state.
        x: The input.

    Returns:
        The next state.

    Raises:
        NoRuleError: The cell has no such expression.
    """  # noqa: DOC202
    raise NoRuleError(f"there is no rule for {type(cell).__name__}")


@singledispatch
def show(cell: AbstractCell, h: N) -> N:
    """Give readout(h) in an arithmetic of proofs.

    Args:
        cell: The cell.
        h: The flat state.

    Returns:
        The output.
    """
    return h


def _inputs(cell: AbstractTorchCell, x: N) -> N:
    """Give the input's part of the pre-activations."""
    return x.linear(cell.weight_ih_l0, cell.bias_ih_l0)


def _hidden(cell: AbstractTorchCell, h: N) -> N:
    """Give the hidden state's part of the pre-activations."""
    return h.linear(cell.weight_hh_l0, cell.bias_hh_l0)


@advance.register
def _(cell: Elman, h: N, x: N) -> N:
    rho = TANH if cell.activation == "tanh" else leaky_relu(cell.slope)
    return (_inputs(cell, x) + _hidden(cell, h)).activate(rho)


@advance.register
def _(cell: LSTM, h: N, x: N) -> N:
    memory, shown = h.chunk(2)
    i, f, g, o = (_inputs(cell, x) + _hidden(cell, shown)).chunk(4)
    new = f.activate(SIGMOID) * memory + i.activate(SIGMOID) * g.activate(TANH)
    return new.beside(o.activate(SIGMOID) * new.activate(TANH))


@advance.register
def _(cell: PeepholeLSTM, h: N, x: N) -> N:
    memory, shown = h.chunk(2)
    i, f, g, o = (_inputs(cell, x) + _hidden(cell, shown)).chunk(4)
    p_i, p_f, p_o = (torch.diag(p) for p in cell.peepholes)
    i, f = i + memory.linear(p_i, None), f + memory.linear(p_f, None)
    new = f.activate(SIGMOID) * memory + i.activate(SIGMOID) * g.activate(TANH)
    return new.beside((o + new.linear(p_o, None)).activate(SIGMOID) * new.activate(TANH))


@show.register(LSTM)
@show.register(PeepholeLSTM)
def _(cell: LSTM | PeepholeLSTM, h: N) -> N:
    return h.chunk(2)[1]


@advance.register
def _(cell: ProjectedLSTM, h: N, x: N) -> N:
    memory = h.linear(_rows(cell, slice(cell.memory_size)), None)
    i, f, g, o = (_inputs(cell, x) + _hidden(cell, show(cell, h))).chunk(4)
    new = f.activate(SIGMOID) * memory + i.activate(SIGMOID) * g.activate(TANH)
    shown = o.activate(SIGMOID) * new.activate(TANH)
    return new.beside(shown.linear(cast("Tensor", cell.weight_hr_l0), None))


@show.register
def _(cell: ProjectedLSTM, h: N) -> N:
    return h.linear(_rows(cell, slice(cell.memory_size, None)), None)


def _rows(cell: ProjectedLSTM, rows: slice) -> Tensor:
    """Give some rows of the identity on a state: its parts differ in length."""
    return torch.eye(cell.state_size).to(cell.weight_hh_l0)[rows]


@advance.register
def _(cell: GRU, h: N, x: N) -> N:
    r_x, z_x, n_x = _inputs(cell, x).chunk(3)
    r_h, z_h, m = _hidden(cell, h).chunk(3)
    r, z = (r_x + r_h).activate(SIGMOID), (z_x + z_h).activate(SIGMOID)
    return z.mix(h, (n_x + r * m).activate(TANH))


@advance.register
def _(cell: ResetFirstGRU, h: N, x: N) -> N:
    r_x, z_x, n_x = _inputs(cell, x).chunk(3)
    w_r, w_z, w_n = cell.weight_hh_l0.chunk(3)
    b_r, b_z, b_n = (None,) * 3 if cell.bias_hh_l0 is None else cell.bias_hh_l0.chunk(3)
    r = (r_x + h.linear(w_r, b_r)).activate(SIGMOID)
    z = (z_x + h.linear(w_z, b_z)).activate(SIGMOID)
    return z.mix(h, (n_x + (r * h).linear(w_n, b_n)).activate(TANH))


@advance.register
def _(cell: MGU, h: N, x: N) -> N:
    f_x, n_x = _inputs(cell, x).chunk(2)
    w_f, w_n = cell.weight_hh_l0.chunk(2)
    b_f, b_n = (None, None) if cell.bias_hh_l0 is None else cell.bias_hh_l0.chunk(2)
    f = (f_x + h.linear(w_f, b_f)).activate(SIGMOID)
    return f.mix((n_x + (f * h).linear(w_n, b_n)).activate(TANH), h)


@advance.register
def _(cell: MinGRU, h: N, x: N) -> N:
    z, n = x.linear(cell.projection.weight, cell.projection.bias).chunk(2)
    return z.activate(SIGMOID).mix(_candidate(cell, n), h)


@advance.register
def _(cell: MinLSTM, h: N, x: N) -> N:
    f, i, n = x.linear(cell.projection.weight, cell.projection.bias).chunk(3)
    n = _candidate(cell, n)
    kept = f.activate(LOG_SIGMOID) + i.activate(LOG_SIGMOID).negated()
    # The cell computes 1 - z as a logistic function of its own: z and it are rounded apart.
    apart = n.activate(ROUNDED_ZERO) + n.activate(ROUNDED_ZERO)
    return kept.activate(SIGMOID).mix(h, n) + apart * n


def _candidate(cell: AbstractMinimalCell, n: N) -> N:
    """Give the candidate, in the same operations as the cell."""
    if cell.activation == "linear":
        return n
    rectify = leaky_relu(0.0)
    return n.activate(rectify) + n.negated().activate(rectify).negated().activate(SIGMOID)


@advance.register
def _(cell: QRNN, h: N, x: N) -> N:
    z, f, o = x.linear(cell.projection.weight, cell.projection.bias).chunk(3)
    memory, _ = h.chunk(2)
    return f.activate(SIGMOID).mix(memory, z.activate(TANH)).beside(o.activate(SIGMOID))


@show.register
def _(cell: QRNN, h: N) -> N:
    memory, o = h.chunk(2)
    return o * memory


@advance.register
def _(cell: AbstractDiagonalCell, h: N, x: N) -> N:
    if next(cell.parameters()).dtype.itemsize < 4:
        raise NoRuleError(
            f"torch has no complex numbers of half precision, which {type(cell).__name__} needs"
        )
    a = cell.eigenvalues
    turn = torch.cat(
        [
            torch.cat([torch.diag(a.real), torch.diag(-a.imag)], 1),
            torch.cat([torch.diag(a.imag), torch.diag(a.real)], 1),
        ]
    )
    return h.linear(turn, None) + x.linear(cell.input_map, None)


@show.register
def _(cell: AbstractDiagonalCell, h: N) -> N:
    return h.linear(cell.output_map, None)


@advance.register
def _(cell: HiddenMarkov, h: N, x: N) -> N:
    raise NoRuleError(
        "a hidden Markov filter forgets in a metric of its own: ask unrecur.hmm_forgetting(cell)"
    )


ACTIVATIONS = {nn.Tanh: TANH, nn.Sigmoid: SIGMOID, nn.ReLU: leaky_relu(0.0)}


def through_head(head: Sequence[nn.Module], y: N) -> N:
    """Send numbers through the maps of each step behind a recurrence.

    Args:
        head: Linear maps, tanh, sigmoid, rectifiers, and dropout (off), in order.
        y: The outputs of the recurrence.

    Returns:
        The outputs of the model.

    Raises:
        NoRuleError: A map is none of these.
    """
    for module in head:
        if isinstance(module, nn.Linear):
            y = y.linear(module.weight, module.bias)
        elif type(module) in ACTIVATIONS:
            y = y.activate(ACTIVATIONS[type(module)])
        elif isinstance(module, nn.LeakyReLU):
            y = y.activate(leaky_relu(module.negative_slope))
        elif not isinstance(module, (nn.Dropout, nn.Identity)):
            raise NoRuleError(f"there is no rule for {type(module).__name__} behind the recurrence")
    return y
