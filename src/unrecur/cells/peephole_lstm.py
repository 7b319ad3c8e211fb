"""Long short-term memory whose gates see the memory, with the flat state [c, h]."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrecur.cells.memory import AbstractMemoryCell


class PeepholeLSTM(AbstractMemoryCell):
    """Long short-term memory whose gates also see the cell state, ONNX's input `P`.

    i, f = sigmoid(W x + b + W' h + b' + p c), g = tanh(...), c' = f c + i g,
    o = sigmoid(W x + b + W' h + b' + p_o c'), h' = o tanh(c'); gates stacked as i, f, g, o; state
    [c, h], output h (Gers and Schmidhuber 2000). p starts at zero. Torch has no fused kernel for
    it.

    Args:
        input_size: The number of input features D.
        hidden_size: The number of units H.
        bias: Whether there are biases.
        device: Where the weights live.
        dtype: Their type.

    Raises:
        InputError: A size is below 1.

    Example:
        >>> import torch
        >>> cell = PeepholeLSTM(3, 4)
        >>> cell.phi(cell.init_state(2), torch.randn(2, 3)).shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        #: p of the input, forget and output gate, [3 H]
        self.weight_peephole_l0 = nn.Parameter(
            torch.zeros(3 * hidden_size, device=device, dtype=dtype)
        )

    @property
    def peepholes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Those of the input, forget and output gate."""
        p_i, p_f, p_o = self.weight_peephole_l0.chunk(3)
        return p_i, p_f, p_o

    def activations(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Give the gates, of which o sees the new memory; see `AbstractMemoryCell.activations`."""
        memory, shown = self.split(h)
        i, f, g, o = (self.from_input(x) + self.from_hidden(shown)).chunk(4, -1)
        p_i, p_f, p_o = self.peepholes
        i, f = torch.sigmoid(i + p_i * memory), torch.sigmoid(f + p_f * memory)
        g = torch.tanh(g)
        new = f * memory + i * g
        return i, f, g, torch.sigmoid(o + p_o * new), new
