"""Cells step by step with the state in place: one matrix product, and no tensor made anew.

A step of a small cell costs what its calls cost, not what its arithmetic does. Input and hidden
state lie side by side in one buffer, so that one product with [W_i W_h] gives all gates.
"""

from collections.abc import Callable
from functools import singledispatch

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from unrecur.cells.elman import Elman
from unrecur.cells.gated import AbstractTorchCell
from unrecur.cells.gru import GRU
from unrecur.cells.lstm import LSTM
from unrecur.core.cell import AbstractCell
from unrecur.streams.machine import AbstractHeld


class HeldCell(AbstractHeld):
    """Any cell's own `phi`."""

    def __init__(self, cell: AbstractCell, batch: int) -> None:
        self._cell, self._h = cell, cell.init_state(batch)

    def load(self, state: Float[Tensor, "B S"]) -> None:
        """See `AbstractHeld.load`."""
        self._h = state

    def __call__(self, x_t: Float[Tensor, "B D"]) -> Float[Tensor, "B H"]:
        """See `AbstractHeld.__call__`."""
        self._h = self._cell.phi(self._h, x_t)
        return self._cell.readout(self._h)

    def state(self) -> Float[Tensor, "B S"]:
        """See `AbstractHeld.state`."""
        return self._h


class Gates:
    """The pre-activations W [x, h] + b of a cell, in a buffer.

    Args:
        weight: W [G, D + H].
        bias: b [G].
        features: D.
        batch: The number of rows.

    Attributes:
        h: The buffer's part that is the hidden state [batch, H], to be written to.
        gates: The pre-activations [batch, G].
    """

    def __init__(
        self,
        weight: Float[Tensor, "G N"],
        bias: Float[Tensor, " G"],
        features: int,
        batch: int,
    ) -> None:
        self._weight, self._bias = weight.detach().contiguous(), bias.detach().contiguous()
        self._joined = self._weight.new_zeros(batch, weight.shape[1])
        self._x, self.h = self._joined[:, :features], self._joined[:, features:]
        self.gates = self._weight.new_zeros(batch, len(weight))
        self._multiply: Callable[..., Tensor] = torch.addmm
        self._operands, self._out = (self._bias, self._joined, self._weight.t()), self.gates
        if batch == 1:  # a product with a vector costs less than one with a matrix of one row
            self._multiply = torch.addmv
            self._operands = (self._bias, self._weight, self._joined[0])
            self._out = self.gates[0]

    def __call__(self, x_t: Float[Tensor, "B D"]) -> None:
        """Fill the gates.

        Args:
            x_t: The inputs of one step.
        """
        self._x.copy_(x_t)
        self._multiply(*self._operands, out=self._out)


class LSTMKernel(AbstractHeld):
    """An `LSTM` cell; the gates lie as i, f, o, g, the three sigmoids side by side."""

    def __init__(self, cell: LSTM, batch: int) -> None:
        i, f, g, o = _joined(cell).chunk(4)
        b_i, b_f, b_g, b_o = _bias(cell).chunk(4)
        weight, bias = torch.cat([i, f, o, g]), torch.cat([b_i, b_f, b_o, b_g])
        self._gates = Gates(weight, bias, cell.input_size, batch)
        size = cell.hidden_size
        gates = self._gates.gates
        self._sigmoids, self._g = gates[:, : 3 * size], gates[:, 3 * size :]
        self._i, self._f, self._o = self._sigmoids.split(size, 1)
        self._h, self._c = self._gates.h, torch.zeros_like(self._g)
        self._shown = torch.zeros_like(self._g)

    def load(self, state: Float[Tensor, "B S"]) -> None:
        """See `AbstractHeld.load`."""
        memory, shown = state.chunk(2, 1)
        self._c.copy_(memory)
        self._h.copy_(shown)

    def __call__(self, x_t: Float[Tensor, "B D"]) -> Float[Tensor, "B H"]:
        """See `AbstractHeld.__call__`."""
        self._gates(x_t)
        self._sigmoids.sigmoid_()
        self._g.tanh_()
        self._c.mul_(self._f).addcmul_(self._i, self._g)
        torch.tanh(self._c, out=self._shown)
        return torch.mul(self._o, self._shown, out=self._h)

    def state(self) -> Float[Tensor, "B S"]:
        """See `AbstractHeld.state`."""
        return torch.cat([self._c, self._h], 1)


class GRUKernel(AbstractHeld):
    """A `GRU` cell; the gates lie as r, z, W_n x + b_n, m = W'_n h + b'_n, zeros in the product."""

    def __init__(self, cell: GRU, batch: int) -> None:
        size, features = cell.hidden_size, cell.input_size
        gates, candidate = _joined(cell).split([2 * size, size])
        by_input, by_hidden = candidate.clone(), candidate.clone()
        by_input[:, features:], by_hidden[:, :features] = 0, 0
        weight = torch.cat([gates, by_input, by_hidden])
        if cell.bias_ih_l0 is None or cell.bias_hh_l0 is None:
            bias = weight.new_zeros(4 * size)
        else:
            bias = torch.cat([_bias(cell)[: 2 * size], cell.bias_ih_l0[2 * size :]])
            bias = torch.cat([bias, cell.bias_hh_l0[2 * size :]])
        self._gates = Gates(weight, bias, features, batch)
        self._sigmoids = self._gates.gates[:, : 2 * size]
        self._r, self._z, self._n, self._m = self._gates.gates.split(size, 1)
        self._h = self._gates.h

    def load(self, state: Float[Tensor, "B S"]) -> None:
        """See `AbstractHeld.load`."""
        self._h.copy_(state)

    def __call__(self, x_t: Float[Tensor, "B D"]) -> Float[Tensor, "B H"]:
        """See `AbstractHeld.__call__`."""
        self._gates(x_t)
        self._sigmoids.sigmoid_()
        self._n.addcmul_(self._r, self._m).tanh_()
        return torch.lerp(self._n, self._h, self._z, out=self._h)

    def state(self) -> Float[Tensor, "B S"]:
        """See `AbstractHeld.state`."""
        return self._h.clone()


class ElmanKernel(AbstractHeld):
    """An `Elman` cell."""

    def __init__(self, cell: Elman, batch: int) -> None:
        self._gates = Gates(_joined(cell), _bias(cell), cell.input_size, batch)
        self._h, self._z = self._gates.h, self._gates.gates
        self._slope = None if cell.activation == "tanh" else cell.slope

    def load(self, state: Float[Tensor, "B S"]) -> None:
        """See `AbstractHeld.load`."""
        self._h.copy_(state)

    def __call__(self, x_t: Float[Tensor, "B D"]) -> Float[Tensor, "B H"]:
        """See `AbstractHeld.__call__`."""
        self._gates(x_t)
        if self._slope is None:
            return torch.tanh(self._z, out=self._h)
        return self._h.copy_(functional.leaky_relu_(self._z, self._slope))

    def state(self) -> Float[Tensor, "B S"]:
        """See `AbstractHeld.state`."""
        return self._h.clone()


@singledispatch
def kernel(cell: AbstractCell, batch: int) -> AbstractHeld:
    """Give the tightest step form of a cell; its weights are read now.

    Args:
        cell: The cell.
        batch: The number of rows.

    Returns:
        The step form: the cell's own, where there is no other.
    """
    return HeldCell(cell, batch)


kernel.register(LSTM, LSTMKernel)
kernel.register(GRU, GRUKernel)
kernel.register(Elman, ElmanKernel)


def _joined(cell: AbstractTorchCell) -> Tensor:
    """Put [W_i W_h] side by side."""
    return torch.cat([cell.weight_ih_l0, cell.weight_hh_l0], 1).detach()


def _bias(cell: AbstractTorchCell) -> Tensor:
    """Add both biases."""
    if cell.bias_ih_l0 is None or cell.bias_hh_l0 is None:
        return cell.weight_ih_l0.new_zeros(len(cell.weight_ih_l0)).detach()
    return (cell.bias_ih_l0 + cell.bias_hh_l0).detach()
