"""A cell around a step function that somebody else wrote."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrecur import _check
from unrecur.core.cell import AbstractCell


class PhiCell(AbstractCell):
    """A recurrence given as a function; its Jacobian is automatic differentiation's.

    Args:
        phi: Maps the state [..., S] and the input [..., D] to the next state.
        input_size: The number of input features D.
        state_size: The number of numbers S in the state.
        readout: Maps the state to the output; None where the state is the output.
        hidden_size: The number of outputs; S if left out.
        module: The module that phi calls, so that its weights are found.

    Raises:
        InputError: A size is below 1.

    Example:
        >>> cell = PhiCell(lambda h, x: 0.5 * h + x, input_size=2, state_size=2)
        >>> cell.jacobian(torch.zeros(2), torch.ones(2))
        tensor([[0.5000, 0.0000],
                [0.0000, 0.5000]])
    """

    def __init__(
        self,
        phi: Callable[[Tensor, Tensor], Tensor],
        input_size: int,
        state_size: int,
        readout: Callable[[Tensor], Tensor] | None = None,
        hidden_size: int | None = None,
        module: nn.Module | None = None,
    ) -> None:
        super().__init__()
        sizes = {"input_size": input_size, "state_size": state_size, "hidden_size": hidden_size}
        for name, size in sizes.items():
            if size is not None:
                _check.positive_integer(size, name)
        self.input_size, self._state_size = input_size, state_size
        self.hidden_size = state_size if hidden_size is None else hidden_size
        self._phi, self._readout = phi, readout
        self.module = module

    @property
    def state_size(self) -> int:
        """What was said."""
        return self._state_size

    def phi(self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B S"]:
        """Call the function; see `AbstractCell.phi`."""
        return self._phi(h, x)

    def readout(self, h: Float[Tensor, "*B S"]) -> Float[Tensor, "*B H"]:
        """Show the state, or what its function makes of it."""
        return h if self._readout is None else self._readout(h)

    def jacobian(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> Float[Tensor, "*B S S"]:
        """Differentiate the function by `torch.func`; see `AbstractCell.jacobian`."""
        one: Callable[[Tensor, Tensor], Tensor] = torch.func.jacrev(self._phi)
        if h.dim() == 1:
            return one(h, x)
        rows = torch.func.vmap(one)(h.reshape(-1, h.shape[-1]), x.reshape(-1, x.shape[-1]))
        return rows.reshape(*h.shape, h.shape[-1])

    def init_state(self, batch: int) -> Float[Tensor, "B S"]:
        """Make zeros, on the device and in the dtype of the weights if there are any."""
        like = next(self.parameters(), torch.zeros(()))
        return like.new_zeros(batch, self.state_size)
