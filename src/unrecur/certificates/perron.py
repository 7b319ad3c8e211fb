"""The class of all cells that the majorant certifies: its rate, smooth, and a map into it."""

from typing import Any

import torch
from torch import Tensor

from unrecur._check import InputError
from unrecur.cells.gated import AbstractTorchCell
from unrecur.certificates.chain import NoRuleError
from unrecur.certificates.classes import StableClass, Weights, inside
from unrecur.certificates.inputs import read_inputs
from unrecur.certificates.majorant import Majorant
from unrecur.certificates.norms import Layer, perron, power_iteration
from unrecur.certificates.reach import Reach

LEFT_ITERATIONS = 50
HALVINGS = 16


def majorant_rate(cell: AbstractTorchCell, input_box: Any) -> Tensor:
    """Give the rate of the Perron-weighted majorant, differentiable in the weights.

    The value is max_j F(v)_j / v_j, what `certify` proves; the gradient is that of the Perron root,
    u^T dF(v) / (u^T v) with the left vector u of F's derivative at v. The reachable box is taken as
    it is. As a penalty, relu(majorant_rate(cell, box) - 0.95), it draws a cell to the class of all
    that the majorant certifies.

    Args:
        cell: An Elman, LSTM, GRU or MGU cell.
        input_box: The inputs; see `certify`.

    Returns:
        The rate, a number in float64.

    Raises:
        InputError: The states have no bounded box, or the input box is malformed.

    Example:
        >>> import torch
        >>> from unrecur.cells import GRU
        >>> cell = GRU(2, 4)
        >>> majorant_rate(cell, 1.0).backward()
        >>> cell.weight_hh_l0.grad.abs().sum() > 0
        tensor(True)
    """
    inputs = read_inputs(input_box, cell.input_size)
    with torch.no_grad():
        try:
            reach = Reach(cell, *inputs.ends)
        except NoRuleError as error:
            raise InputError(f"{error}.") from None
        v, (_, value) = power_iteration(Majorant(reach).homogeneous, cell.state_size)
    reach.memory = {}  # what was computed without gradients
    new, pull = torch.func.vjp(Majorant(reach).homogeneous, v)[:2]
    with torch.no_grad():
        u = torch.ones_like(v)
        for _ in range(LEFT_ITERATIONS):
            (u,) = pull(u)
            u = u / u.sum().clamp(min=1e-300)
    root = (u * new).sum() / (u * v).sum().clamp(min=1e-300)
    return root - root.detach() + value


@torch.no_grad()
def project_to_majorant_(cell: AbstractTorchCell, input_box: Any, rate: float = 0.95) -> None:
    """Scale the recurrent weights down, in place, until the majorant's rate is at most `rate`.

    Its class is the largest of ours: all cells that the Perron-weighted majorant certifies; one
    inside is left as it is. A gate that keeps the state and is too wide on the inputs alone is
    lowered by its bias first. The scale is the largest on its ray, to 2^-16.

    Args:
        cell: An Elman, LSTM, GRU or MGU cell.
        input_box: The inputs; see `certify`.
        rate: The rate to reach, above 0 and below 1.

    Raises:
        InputError: There is no class for the cell, the rate is out of range, or rounding alone
            breaks it.

    Example:
        >>> import torch
        >>> from unrecur.cells import LSTM
        >>> from unrecur.certificates.contraction import certify
        >>> cell = LSTM(2, 8)
        >>> project_to_majorant_(cell, 1.0, 0.9)
        >>> certify(cell, 1.0).rate <= 0.9
        True
    """
    if not 0 < rate < 1:
        raise InputError(f"rate must be above 0 and below 1, got {rate}.")
    inputs = read_inputs(input_box, cell.input_size)
    if _rate(cell, *inputs.ends) <= rate:
        return
    weights = cell.weight_hh_l0.clone()
    _lower_gates(cell, inputs.ends, rate)
    inner, outer = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (inner + outer) / 2
        cell.weight_hh_l0.copy_(weights * middle)
        inner, outer = (middle, outer) if _rate(cell, *inputs.ends) <= rate else (inner, middle)
    cell.weight_hh_l0.copy_(weights * inner)
    if _rate(cell, *inputs.ends) > rate:
        raise InputError(
            f"the weights or input_box are so large that rounding alone breaks a rate of {rate}. "
            "Scale the inputs or the input weights down."
        )


def _rate(cell: AbstractTorchCell, low: Tensor, high: Tensor) -> float:
    """Give the rate that the majorant proves, infinity for none."""
    try:
        return perron(Layer(Reach(cell, low, high))).rate
    except NoRuleError:
        return torch.inf


def _lower_gates(cell: AbstractTorchCell, ends: tuple[Tensor, Tensor], rate: float) -> None:
    """Move the biases so that the gates leave room on the inputs alone."""
    low, high = (end.to(cell.weight_ih_l0) for end in ends)
    zero = torch.zeros_like(cell.weight_ih_l0[:, 0])
    biases = [zero if b is None else b for b in (cell.bias_ih_l0, cell.bias_hh_l0)]
    before = Weights(cell.weight_ih_l0, torch.zeros_like(cell.weight_hh_l0), *biases)
    rates = torch.full((cell.hidden_size,), rate).to(low)
    moved = inside(cell, before, StableClass(low, high, rates, levels=1)).b_h
    if cell.bias_hh_l0 is not None:
        cell.bias_hh_l0.copy_(moved)
