"""Persistence: the forecast that it will be as in the last season."""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from unrecur import _check
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, last_steps, zero_padding


class Persistence(AbstractSequenceModel):
    """Predict what was there whole seasons ago: y_{t,h} = x_{t + h - m ceil(h / m)} + b_h.

    The seasonal naive forecast of steps h ahead with the season m; with m = 1 it is the present
    value (Hyndman and Athanasopoulos, Forecasting, section 5.2). The targets are the first columns
    of the inputs; the outputs of one lead stand side by side. Zeros stand before the start. The
    state is the last inputs that are still needed.

    Args:
        in_features: The number of input features.
        out_features: The number of outputs: of leads times targets.
        season: The number of steps m of a season.
        targets: The number of columns that are predicted.
        leads: Which steps ahead are predicted; None for 1, 2, 3, ...

    Raises:
        InputError: A size is below 1, there are fewer inputs than targets, or the outputs are not
            as many as leads times targets.

    Example:
        >>> model = Persistence(in_features=1, out_features=3, season=4)
        >>> model(torch.arange(6.0)[None, :, None])[0][0, -1].tolist()
        [2.0, 3.0, 4.0]
    """

    def __init__(
        self,
        *,
        in_features: int,
        out_features: int,
        season: int = 1,
        targets: int = 1,
        leads: list[int] | None = None,
    ) -> None:
        super().__init__()
        _check.positive_integer(in_features, "in_features")
        _check.positive_integer(out_features, "out_features")
        _check.positive_integer(season, "season")
        _check.positive_integer(targets, "targets")
        ahead = list(range(1, out_features // targets + 1)) if leads is None else leads
        for lead in ahead:
            _check.positive_integer(lead, "every lead")
        if targets > in_features or len(ahead) * targets != out_features:
            raise _check.InputError(
                f"expected as many outputs as {len(ahead)} leads of {targets} targets, which are "
                f"the first inputs; got {out_features} outputs and {in_features} inputs."
            )
        self.in_features, self.out_features = in_features, out_features
        self.targets = targets
        self.back = [-lead % season for lead in ahead]
        self.bias = nn.Parameter(torch.zeros(out_features), requires_grad=False)

    @property
    def receptive_field(self) -> Field:
        """Up to the input of the lead that looks back furthest."""
        return Field(past=max(self.back))

    def init_state(self, batch: int) -> State:
        """Make the zeros that stand before the first input."""
        return self.bias.new_zeros(batch, max(self.back), self.targets)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        _check.block(x, self.in_features)
        before = self.init_state(len(x)) if state is None else state
        time, past = x.shape[1], max(self.back)
        seen = torch.cat([before, zero_padding(x, lengths)[..., : self.targets]], 1)
        found = [seen[:, past - back : past - back + time] for back in self.back]
        return torch.cat(found, -1) + self.bias, last_steps(seen, past, lengths)

    def step(
        self, x_t: Float[Tensor, "B D"], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        _check.frame(x_t, self.in_features)
        y, state = self(x_t[:, None], state)
        return y[:, 0], state

    @torch.no_grad()
    def fit(self, sequences: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set the bias of each output to its mean error: the drift of the series.

        Args:
            sequences: Pairs of inputs [time, in_features] and targets [time, out_features], NaN
                where a target is not known.

        Raises:
            InputError: A sequence does not fit the model, or an output has no known target.
        """
        self.bias.zero_()
        total = torch.zeros(self.out_features, dtype=torch.float64)
        count = torch.zeros_like(total)
        for x, target in sequences:
            _check.frame(target, self.out_features)
            _check.same_length(x, target)
            y, _ = self(x[None].to(self.bias))
            error = target.double().cpu() - y[0].double().cpu()
            total += error.nansum(0)
            count += (~error.isnan()).sum(0)
        if not (count > 0).all():
            raise _check.InputError(
                "expected a known target for every output to fit, got none for output "
                f"{int((count == 0).int().argmax())}."
            )
        self.bias.copy_(total / count)


def persistence_parameters(
    *,
    in_features: int,
    out_features: int,
    season: int = 1,
    targets: int = 1,
    leads: list[int] | None = None,
) -> int:
    """Count the parameters of `Persistence`: one for each output.

    Args:
        in_features: Of no account.
        out_features: The number of outputs E.
        season: Of no account.
        targets: Of no account.
        leads: Of no account.

    Returns:
        E.
    """
    return out_features
