"""Long short-term memory that shows fewer numbers than it remembers, with the flat state [c, h]."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrecur import _check
from unrecur.cells.memory import AbstractMemoryCell, plain_gates, run_fused


class ProjectedLSTM(AbstractMemoryCell):
    """Long short-term memory with a recurrent projection, `torch.nn.LSTM(proj_size=P)`'s.

    Gates as an LSTM's; c' = f c + i g of H numbers, h' = W_r (o tanh(c')) of P numbers, which is
    both the output and what the gates see at the next step; state [c, h]
    (Sak, Senior, Beaufays 2014, arXiv 1402.1128, without its second, non-recurrent projection).

    As in every cell, `hidden_size` is the number of outputs: P. H is `memory_size`.

    Args:
        input_size: The number of input features D.
        hidden_size: The number of units H, which the gates and the memory have.
        projection: The number of outputs P, below H.
        bias: Whether there are biases.
        device: Where the weights live.
        dtype: Their type.

    Raises:
        InputError: A size is below 1, or the projection not below hidden_size.

    Example:
        >>> import torch
        >>> cell = ProjectedLSTM(3, 8, projection=2)
        >>> cell.load_state_dict(torch.nn.LSTM(3, 8, proj_size=2).state_dict())
        <All keys matched successfully>
        >>> cell.phi(cell.init_state(5), torch.randn(5, 3)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        projection: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        _check.positive_integer(hidden_size, "hidden_size")
        _check.positive_integer(projection, "projection")
        if projection >= hidden_size:
            raise _check.InputError(
                f"projection must be below hidden_size={hidden_size}, got {projection}. For as "
                "many outputs as units use an LSTM."
            )
        super().__init__(input_size, hidden_size, bias, device, dtype, projection)

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

    def extra_repr(self) -> str:
        """Show the sizes."""
        sizes = f"{self.input_size}, {self.memory_size}, projection={self.hidden_size}"
        return f"{sizes}, bias={self.bias_ih_l0 is not None}"
