"""Long short-term memory, with the flat state [c, h]."""

from jaxtyping import Float, Int
from torch import Tensor

from unrecur.cells.memory import AbstractMemoryCell, plain_gates, run_fused


class LSTM(AbstractMemoryCell):
    """Long short-term memory, `torch.nn.LSTM`'s.

    i, f, o = sigmoid(W x + b + W' h + b'), g = tanh(...), gates stacked as i, f, g, o;
    c' = f c + i g, h' = o tanh(c'); state [c, h], output h
    (Hochreiter and Schmidhuber 1997; forget gate: Gers, Schmidhuber, Cummins 2000).

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
        >>> cell = LSTM(3, 4)
        >>> cell.load_state_dict(torch.nn.LSTM(3, 4).state_dict())
        <All keys matched successfully>
        >>> cell.phi(cell.init_state(2), torch.randn(2, 3)).shape
        torch.Size([2, 8])
    """

    def activations(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Give the gates; see `AbstractMemoryCell.activations`."""
        return plain_gates(self, h, x)

    def fused(
        self,
        x: Float[Tensor, "B T D"] | Float[Tensor, "N D"],
        h: Float[Tensor, "B S"],
        batch_sizes: Int[Tensor, " T"] | None = None,
    ) -> tuple[Float[Tensor, "B T H"] | Float[Tensor, "N H"], Float[Tensor, "B S"]]:
        """Run `torch.lstm`; see `AbstractCell.fused`."""
        return run_fused(self, x, h, batch_sizes)
