"""Linear autoregression: what a linear map of the last inputs reaches."""

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from unrecur import _check
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State
from unrecur.layers.convolution import CausalConvolution


class Autoregression(AbstractSequenceModel):
    """Predict by least squares: y_t = b + sum_{j < k} W_j x_{t-j}, zeros before the start.

    Args:
        in_features: The number of input features.
        out_features: The number of outputs.
        order: The number of inputs k that it sees.
        ridge: The weight of |W|^2 beside the mean squared error, at least 0.

    Raises:
        InputError: A size is below 1, or the ridge negative or not finite.

    Example:
        >>> x = torch.tensor([1.0, 0.5, 0.25, 0.125])[:, None]
        >>> model = Autoregression(in_features=1, out_features=1, order=1)
        >>> model.fit([(x[:-1], x[1:])])
        >>> round(float(model.convolution.weight), 3)
        0.5
    """

    def __init__(
        self, *, in_features: int, out_features: int, order: int, ridge: float = 1e-6
    ) -> None:
        super().__init__()
        if not 0 <= ridge < math.inf:
            raise _check.InputError(f"ridge must be finite and at least 0, got {ridge}.")
        self.in_features, self.out_features, self.ridge = in_features, out_features, ridge
        self.convolution = CausalConvolution(in_features, out_features, order)
        self.requires_grad_(False)

    @property
    def receptive_field(self) -> Field:
        """The k - 1 inputs before the present one."""
        return self.convolution.receptive_field

    def init_state(self, batch: int) -> State:
        """Make the zeros that stand before the first input."""
        return self.convolution.init_state(batch)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        return self.convolution(x, state, lengths)

    def step(
        self, x_t: Float[Tensor, "B D"], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        return self.convolution.step(x_t, state)

    @torch.no_grad()
    def fit(self, sequences: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Solve the normal equations in float64; where they leave a choice, take the least weights.

        Args:
            sequences: Pairs of inputs [time, in_features] and targets [time, out_features]; steps
                whose target holds a NaN, as it is not known, are seen but not fitted.

        Raises:
            InputError: There is no known target, or a sequence does not fit the model or is not
                finite.
        """
        order = self.convolution.past + 1
        size = 1 + order * self.in_features
        gram = torch.zeros(size, size, dtype=torch.float64)
        moment = torch.zeros(size, self.out_features, dtype=torch.float64)
        steps = 0
        for x, y in sequences:
            _check.frame(x, self.in_features)
            _check.frame(y, self.out_features)
            _check.same_length(x, y)
            _check.finite(x, "the inputs")
            known = ~y.isnan().any(-1)
            y = y[known]
            _check.finite(y, "the targets")
            padded = torch.cat([x.new_zeros(order - 1, self.in_features), x]).double().cpu()
            # [time, D, order] with the oldest input first, as the convolution's weight has it.
            taps = padded.unfold(0, order, 1).flatten(1)
            rows = torch.cat([torch.ones(len(x), 1, dtype=torch.float64), taps], 1)
            rows = rows[known.cpu()]
            gram += rows.T @ rows
            moment += rows.T @ y.double().cpu()
            steps += len(y)
        if not steps:
            raise _check.InputError(
                "expected at least one sequence with known targets to fit, got none."
            )
        penalty = torch.full((size,), self.ridge * steps, dtype=torch.float64)
        penalty[0] = 0  # the bias is free
        solved = torch.linalg.lstsq(gram + penalty.diag(), moment, driver="gelsd").solution
        bias, weight = solved[0], solved[1:].T.unflatten(1, (self.in_features, order))
        self.convolution.bias.copy_(bias)
        self.convolution.set_weight(weight.to(self.convolution.bias))


def autoregression_parameters(
    *, in_features: int, out_features: int, order: int, ridge: float = 1e-6
) -> int:
    """Count the parameters of `Autoregression`: (k D + 1) E.

    Args:
        in_features: The number of input features D.
        out_features: The number of outputs E.
        order: The number of inputs k.
        ridge: Of no account.

    Returns:
        The number of parameters.
    """
    return (order * in_features + 1) * out_features
