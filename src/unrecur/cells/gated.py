"""What cells with torch's weights share: names, layout, initialisation, pre-activations."""

import math
from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from unrecur import _check
from unrecur.core.cell import AbstractCell


class AbstractTorchCell(AbstractCell):
    """A cell whose weights have the names, layout and initialisation of `torch.nn.RNNBase`.

    `weight_ih_l0` [G H, D], `weight_hh_l0` [G H, H], `bias_ih_l0`, `bias_hh_l0` [G H], for G gates
    stacked in torch's order, drawn from U(-1/sqrt(H), 1/sqrt(H)): a `state_dict` of a
    one-layer torch module loads as it is. With a projection to P outputs there is also
    `weight_hr_l0` [P, H], and `weight_hh_l0` is [G H, P].

    Args:
        input_size: The number of input features D.
        hidden_size: The number of units H.
        bias: Whether there are biases.
        device: Where the weights live.
        dtype: Their type.
        projection: The number of outputs P; None for the units themselves, without a projection.

    Attributes:
        hidden_size: The number of outputs: P, or else H.
        memory_size: The number of units H.

    Raises:
        InputError: A size is below 1.
    """

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor | None
    bias_hh_l0: Tensor | None
    weight_hr_l0: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        projection: int | None = None,
    ) -> None:
        super().__init__()
        _check.positive_integer(input_size, "input_size")
        _check.positive_integer(hidden_size, "hidden_size")
        self.input_size = input_size
        self.memory_size = hidden_size
        self.hidden_size = hidden_size if projection is None else projection
        rows = self.gates * hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih_l0": (rows, input_size),
            "weight_hh_l0": (rows, self.hidden_size),
        }
        if bias:
            shapes |= {"bias_ih_l0": (rows,), "bias_hh_l0": (rows,)}
        else:
            self.bias_ih_l0 = self.bias_hh_l0 = None
        if projection is None:
            self.weight_hr_l0 = None
        else:
            shapes["weight_hr_l0"] = (projection, hidden_size)
        for name, shape in shapes.items():
            weight = torch.empty(shape, device=device, dtype=dtype)
            nn.init.uniform_(weight, -1 / math.sqrt(hidden_size), 1 / math.sqrt(hidden_size))
            self.register_parameter(name, nn.Parameter(weight))

    @property
    @abstractmethod
    def gates(self) -> int:
        """How many blocks of H rows the weights stack."""

    @property
    def weights(self) -> list[Tensor]:
        """The weights in the order in which torch's fused kernels take them."""
        rest = (self.bias_ih_l0, self.bias_hh_l0, self.weight_hr_l0)
        return [
            self.weight_ih_l0,
            self.weight_hh_l0,
            *(weight for weight in rest if weight is not None),
        ]

    def from_input(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B GH"]:
        """Give the input's part of the pre-activations, W_i x + b_i.

        Args:
            x: The input.

        Returns:
            The stacked gates.
        """
        return linear(x, self.weight_ih_l0, self.bias_ih_l0)

    def from_hidden(self, h: Float[Tensor, "*B H"]) -> Float[Tensor, "*B GH"]:
        """Give the hidden state's part of the pre-activations, W_h h + b_h.

        Args:
            h: The hidden state.

        Returns:
            The stacked gates.
        """
        return linear(h, self.weight_hh_l0, self.bias_hh_l0)

    def extra_repr(self) -> str:
        """Show the sizes."""
        return f"{self.input_size}, {self.hidden_size}, bias={self.bias_ih_l0 is not None}"


class AbstractHiddenCell(AbstractTorchCell):
    """A cell whose state is its output: S = H, readout(h) = h."""

    @property
    def state_size(self) -> int:
        """As many numbers as units."""
        return self.hidden_size

    def readout(self, h: Float[Tensor, "*B S"]) -> Float[Tensor, "*B H"]:
        """Show the whole state."""
        return h
