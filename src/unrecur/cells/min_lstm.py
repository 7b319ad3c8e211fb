"""The minimal LSTM whose gates read the input alone."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from unrecur.cells.minimal import AbstractMinimalCell


class MinLSTM(AbstractMinimalCell):
    """The minLSTM, in its plain or its logarithmic form.

    f, i = sigmoid(W x + b), n = g(W_n x + b_n), stacked as f, i, n;
    h' = f / (f + i) h + i / (f + i) n, state h
    (Feng, Tung, Ahmed, Bengio, Hajimirsadeghi, Were RNNs All We Needed?, 2024).

    Args:
        input_size: The number of input features D.
        hidden_size: The number of units H.
        activation: g: "linear", as in the paper's plain form, or "positive", as in its logarithmic
            one (see `AbstractMinimalCell`).
        bias: Whether there are biases.
        device: Where the weights live.
        dtype: Their type.

    Raises:
        InputError: A size is below 1, or the activation unknown.

    Example:
        >>> import torch
        >>> cell = MinLSTM(3, 4)
        >>> cell.phi(cell.init_state(2), torch.randn(2, 3)).shape
        torch.Size([2, 4])
    """

    @property
    def gates(self) -> int:
        """Forget gate, input gate, candidate."""
        return 3

    def coefficients(
        self, x: Float[Tensor, "*B D"]
    ) -> tuple[Float[Tensor, "*B S"], Float[Tensor, "*B S"]]:
        """Give f / (f + i) and i n / (f + i); see `AbstractAffineCell.coefficients`."""
        # f / (f + i) = sigmoid(log f - log i), which has no 0 / 0 where both gates are shut.
        f, i, n = self.projection(x).chunk(3, -1)
        log_ratio = logsigmoid(f) - logsigmoid(i)
        return torch.sigmoid(log_ratio), torch.sigmoid(-log_ratio) * self.candidate(n)
