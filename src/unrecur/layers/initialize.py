"""How the cells of a model start: in place, on a cell or on all cells of a model."""

from collections.abc import Callable
from functools import singledispatch
from typing import TypeVar

import torch
from torch import Tensor, nn

from unrecur import _check
from unrecur.cells.affine import AbstractInputGatedCell
from unrecur.cells.elman import Elman
from unrecur.cells.gated import AbstractTorchCell
from unrecur.cells.gru import GRU
from unrecur.cells.memory import AbstractMemoryCell
from unrecur.cells.mgu import MGU
from unrecur.cells.min_gru import MinGRU
from unrecur.cells.min_lstm import MinLSTM
from unrecur.cells.qrnn import QRNN
from unrecur.cells.reset_first_gru import ResetFirstGRU
from unrecur.core.cell import AbstractCell

Cell = TypeVar("Cell", bound=AbstractCell)


def default_(module: nn.Module) -> None:
    """Leave a model as its cells drew themselves.

    Args:
        module: The model.
    """


@torch.no_grad()
def orthogonal_(module: nn.Module) -> None:
    """Make the recurrent weights orthogonal, gate by gate (Saxe et al. 2014, arXiv 1312.6120).

    Args:
        module: A cell, or a model on cells.

    Raises:
        InputError: No cell has recurrent weights.
    """
    found = [cell for cell in _cells(module) if isinstance(cell, AbstractTorchCell)]
    for cell in _some(found, module, "recurrent weights"):
        for block in cell.weight_hh_l0.chunk(cell.gates):
            nn.init.orthogonal_(block)


@torch.no_grad()
def identity_(module: nn.Module) -> None:
    """Make an Elman network keep its state: W_h = I and no bias.

    With the rectifier as activation this is the IRNN (Le, Jaitly, Hinton 2015, arXiv 1504.00941).

    Args:
        module: An Elman cell, or a model on some.

    Raises:
        InputError: There is no Elman cell.
    """
    found = [cell for cell in _cells(module) if isinstance(cell, Elman)]
    for cell in _some(found, module, "an identity to start from, as Elman cells have"):
        nn.init.eye_(cell.weight_hh_l0)
        for bias in (cell.bias_ih_l0, cell.bias_hh_l0):
            if bias is not None:
                nn.init.zeros_(bias)


@torch.no_grad()
def forget_bias_(module: nn.Module, value: float = 1.0) -> None:
    """Open the gates that keep the state: the bias before the logistic function is set.

    A forget gate's is (Gers, Schmidhuber, Cummins 2000; Jozefowicz, Zaremba, Sutskever 2015); a
    gate that overwrites the state, such as a minGRU's, gets the negative.

    Args:
        module: A cell, or a model on cells.
        value: The bias, the sum of both where a cell has two.

    Raises:
        InputError: No cell has such a gate with a bias.
    """
    for cell in _gated(module):
        _set(keeping(cell), value)


@torch.no_grad()
def chrono_(module: nn.Module, longest: int) -> None:
    """Spread the time constants of the gates over the dependencies that are expected.

    b_f ~ log U(1, longest - 1), so that a forget gate alone keeps a unit for 2 to `longest` steps;
    an input gate gets b_i = -b_f (Tallec and Ollivier 2018, arXiv 1804.11188, equation 16).

    Args:
        module: A cell, or a model on cells.
        longest: The longest dependency, in steps; at least 3.

    Raises:
        InputError: No cell has such a gate with a bias, or `longest` is below 3.
    """
    _check.positive_integer(longest, "longest")
    if longest < 3:
        raise _check.InputError(f"longest must be at least 3 steps, got {longest}.")
    for cell in _gated(module):
        gate = keeping(cell)
        value = torch.empty_like(gate[1][0]).uniform_(1, longest - 1).log()
        _set(gate, value)
        _set(admitting(cell), -value)


INITIALIZATIONS: dict[str, Callable[..., None]] = {
    "default": default_,
    "orthogonal": orthogonal_,
    "identity": identity_,
    "forget_bias": forget_bias_,
    "chrono": chrono_,
}

# A sign, and the biases of one gate: the first is set and the others become zero.
Gate = tuple[float, list[Tensor]]


@singledispatch
def keeping(cell: AbstractCell) -> Gate:
    """Give the biases that decide how much of its state a cell keeps.

    Args:
        cell: The cell.

    Returns:
        The sign with which they do, and the biases; none where the cell has no such gate.
    """
    return 1.0, []


@keeping.register(AbstractMemoryCell)
@keeping.register(GRU)
@keeping.register(ResetFirstGRU)
def _(cell: AbstractTorchCell) -> Gate:
    return 1.0, _biases(cell, 1)


@keeping.register
def _(cell: MGU) -> Gate:
    return -1.0, _biases(cell, 0)


@keeping.register
def _(cell: MinGRU) -> Gate:
    return -1.0, _biases(cell, 0)


@keeping.register
def _(cell: MinLSTM) -> Gate:
    return 1.0, _biases(cell, 0)


@keeping.register
def _(cell: QRNN) -> Gate:
    return 1.0, _biases(cell, 1)


@singledispatch
def admitting(cell: AbstractCell) -> Gate:
    """Give the biases of the gate that lets the candidate in, where it is a gate of its own.

    Args:
        cell: The cell.

    Returns:
        As `keeping`.
    """
    return 1.0, []


@admitting.register
def _(cell: AbstractMemoryCell) -> Gate:
    return 1.0, _biases(cell, 0)


@admitting.register
def _(cell: MinLSTM) -> Gate:
    return 1.0, _biases(cell, 1)


def _biases(cell: AbstractTorchCell | AbstractInputGatedCell, gate: int) -> list[Tensor]:
    """Give the biases of one gate, as views."""
    if isinstance(cell, AbstractTorchCell):
        biases = [cell.bias_ih_l0, cell.bias_hh_l0]
    else:
        biases = [cell.projection.bias]
    return [bias.chunk(cell.gates)[gate] for bias in biases if bias is not None]


def _set(gate: Gate, value: Tensor | float) -> None:
    """Let the biases of a gate add up to a value, with the gate's sign."""
    sign, biases = gate
    for place, bias in enumerate(biases):
        bias.copy_(torch.as_tensor(sign * value * (place == 0)).expand_as(bias))


def _cells(module: nn.Module) -> list[AbstractCell]:
    """Find the cells of a model."""
    return [part for part in module.modules() if isinstance(part, AbstractCell)]


def _gated(module: nn.Module) -> list[AbstractCell]:
    """Find the cells with a gate that can be opened."""
    found = [cell for cell in _cells(module) if keeping(cell)[1]]
    return _some(found, module, "a gate that keeps the state, with a bias")


def _some(found: list[Cell], module: nn.Module, need: str) -> list[Cell]:
    """Give what was found, and complain where that is nothing."""
    if not found:
        raise _check.InputError(
            f"no cell of {type(module).__name__} has {need}. Use another initialisation: "
            f"{', '.join(INITIALIZATIONS)}."
        )
    return found
