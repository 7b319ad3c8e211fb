"""The filter of a hidden Markov model as a recurrence on the belief."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrecur import _check
from unrecur.core.cell import AbstractCell


class HiddenMarkov(AbstractCell):
    """The forward filter of a hidden Markov model of N states.

    The state h is the belief before an observation, h_i = P(s_t = i | observations up to t - 1); it
    starts at the initial distribution. The input x_i = log p(observation | s_t = i) is known up to
    a constant. Bayes' rule, then the transition:

        p_i = h_i exp(x_i) / sum_j h_j exp(x_j),  h' = p A,

    with A_ij = P(s_(t+1) = j | s_t = i) (Rabiner 1989, section III). The belief is shown whole.

    Distributions are the weights; they are fitted, not trained, and need no gradient. They start
    random: uniform on the simplex.

    Args:
        states: The number of states N.

    Raises:
        InputError: The number is below 1.

    Example:
        >>> import torch
        >>> cell = HiddenMarkov(3)
        >>> belief = cell.phi(cell.init_state(2), torch.randn(2, 3))
        >>> torch.allclose(belief.sum(-1), torch.ones(2))
        True
    """

    def __init__(self, states: int) -> None:
        super().__init__()
        _check.positive_integer(states, "states")
        self.input_size = self.hidden_size = states
        self.initial = nn.Parameter(random_rows(1, states)[0], requires_grad=False)
        self.transition = nn.Parameter(random_rows(states, states), requires_grad=False)
        self.register_load_state_dict_pre_hook(refuse_other_rows)  # type: ignore[no-untyped-call]

    @property
    def state_size(self) -> int:
        """One probability a state."""
        return self.hidden_size

    def init_state(self, batch: int) -> Float[Tensor, "B S"]:
        """Make the initial distribution, once a row."""
        return self.initial.expand(batch, -1).clone()

    def phi(self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B S"]:
        """Advance the belief; see `AbstractCell.phi`."""
        joint, total, _ = self._bayes(h, x)
        return joint / total @ self.transition

    def readout(self, h: Float[Tensor, "*B S"]) -> Float[Tensor, "*B H"]:
        """Show the whole belief."""
        return h

    def jacobian(
        self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]
    ) -> Float[Tensor, "*B S S"]:
        """Give dh'/dh; see `AbstractCell.jacobian`."""
        # dh'_i / dh_j = (A_ji - h'_i) w_j, with w_j = exp(x_j) / sum_k h_k exp(x_k).
        _, total, seen = self._bayes(h, x)
        moved = self.transition.T - self.phi(h, x)[..., None]
        return moved * (seen / total)[..., None, :]

    def evidence(self, h: Float[Tensor, "*B S"], x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B"]:
        """Give the log-likelihood of an observation under a belief.

        Args:
            h: The belief before it.
            x: Its log-likelihood under each state.

        Returns:
            log sum_i h_i exp(x_i).
        """
        _, total, _ = self._bayes(h, x)
        return total[..., 0].log() + self._scale(h, x)[..., 0]

    def _bayes(self, h: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give h exp(x), its sum and exp(x), all over one scale that leaves numbers of size 1."""
        # A state that is believed impossible may be far likelier than all others: no overflow.
        seen = (x - self._scale(h, x)).clamp(max=0).exp()
        joint = h * seen
        total = joint.sum(-1, keepdim=True)
        return joint, torch.where(total == 0, 1, total), seen  # solvers may try the belief zero

    @staticmethod
    def _scale(h: Tensor, x: Tensor) -> Tensor:
        """Give the largest log-likelihood of the states that are believed possible."""
        possible = torch.where(h > 0, x, -torch.inf).amax(-1, keepdim=True)
        return torch.where(possible.isfinite(), possible, 0).detach()

    def extra_repr(self) -> str:
        """Show the size."""
        return f"{self.hidden_size}"


def random_rows(rows: int, columns: int) -> Float[Tensor, "N E"]:
    """Draw distributions, uniform on the simplex.

    Args:
        rows: How many.
        columns: Over how many outcomes.

    Returns:
        One distribution a row.
    """
    waits = torch.empty(rows, columns).exponential_()
    return waits / waits.sum(1, keepdim=True)


def refuse_other_rows(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Refuse weights to be loaded that are no distributions; a hook of modules of nothing else.

    Args:
        module: The module.
        state_dict: What is loaded.
        prefix: What stands before the module's names.

    Raises:
        InputError: A row of a weight is no distribution.
    """
    for name in dict(module.named_parameters()):
        if prefix + name in state_dict:
            _check.distributions(state_dict[prefix + name], prefix + name)
