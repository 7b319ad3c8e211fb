"""The Elman network: h' = rho(W_i x + b_i + W_h h + b_h)."""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from unrecur import _check
from unrecur.cells.gated import AbstractHiddenCell
from unrecur.cells.kernel import run_kernel

Activation = Literal["tanh", "relu", "leaky_relu"]
LEAK = 0.01  # torch's default slope below zero


class Elman(AbstractHiddenCell):
    """The simple recurrent cell, `torch.nn.RNN`'s.

    h' = rho(W_i x + b_i + W_h h + b_h), state h (Elman, Finding Structure in Time, 1990).

    Args:
        input_size: The number of input features D.
        hidden_size: The number of units H.
        activation: rho: "tanh", "relu" or "leaky_relu" (slope 0.01).
        bias: Whether there are biases.
        device: Where the weights live.
        dtype: Their type.

    Raises:
        InputError: A size is below 1, or the activation unknown.

    Example:
        >>> import torch
        >>> cell = Elman(3, 4)
        >>> cell.phi(cell.init_state(2), torch.randn(2, 3)).shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        activation: Activation = "tanh",
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        _check.known_name(activation, get_args(Activation), "activation")
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.activation = activation

    @property
    def gates(self) -> int:
        """One block of rows."""
        return 1

    def phi(self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B S"]:
        """Advance the state; see `AbstractCell.phi`."""
        z = self.from_input(x) + self.from_hidden(h)
        if self.activation == "tanh":
            return torch.tanh(z)
        return functional.leaky_relu(z, self.slope)

    def jacobian(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> Float[Tensor, "*B S S"]:
        """Give diag(rho'(z)) W_h; see `AbstractCell.jacobian`."""
        z = self.from_input(x) + self.from_hidden(h)
        if self.activation == "tanh":
            derivative = 1 - torch.tanh(z).square()
        else:
            derivative = torch.where(z > 0, torch.ones_like(z), self.slope)
        return derivative[..., None] * self.weight_hh_l0

    @property
    def slope(self) -> float:
        """The slope of a piecewise linear rho below zero."""
        return LEAK if self.activation == "leaky_relu" else 0.0

    def fused(
        self,
        x: Float[Tensor, "B T D"] | Float[Tensor, "N D"],
        h: Float[Tensor, "B S"],
        batch_sizes: Int[Tensor, " T"] | None = None,
    ) -> tuple[Float[Tensor, "B T H"] | Float[Tensor, "N H"], Float[Tensor, "B S"]] | None:
        """Run `torch.rnn_tanh` or `torch.rnn_relu`; torch has no kernel for leaky_relu."""
        if self.activation == "leaky_relu":
            return None
        kernel = torch.rnn_tanh if self.activation == "tanh" else torch.rnn_relu
        y, last = run_kernel(kernel, self.weights, x, h[None], batch_sizes)
        return y, last[0]
