"""The constant floor: the best scores that look at no input at all."""

from collections.abc import Iterable
from typing import Literal, get_args

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn

from unrecur import _check
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State

MOST_NUMBERS = 2**24  # that a median is taken of
Of = Literal["classes", "odds", "median", "mean"]


class Constant(AbstractSequenceModel):
    """Give the same scores at every step: frequencies of classes, or a median or mean of numbers.

    Of classes the scores are log p_c = log((n_c + 1) / (n + C)), with Laplace's rule of succession,
    of zeros and ones the log-odds of (n_1 + 1) / (n + 2); the median is least in absolute error,
    the mean in squared error. Targets that are not known (a class below 0, NaN) do not count.

    Args:
        in_features: The number of features, or of token ids.
        out_features: The number of scores C.
        of: What is fitted.
        tokens: Whether the inputs are token ids.

    Raises:
        InputError: A size is below 1, or `of` is unknown.

    Example:
        >>> model = Constant(in_features=1, out_features=2, of="classes")
        >>> model.fit([(torch.zeros(3, 1), torch.tensor([1, 1, -100]))])
        >>> [round(p, 2) for p in model(torch.zeros(1, 1, 1))[0].exp().flatten().tolist()]
        [0.25, 0.75]
    """

    def __init__(
        self, *, in_features: int, out_features: int, of: Of = "classes", tokens: bool = False
    ) -> None:
        super().__init__()
        _check.positive_integer(in_features, "in_features")
        _check.positive_integer(out_features, "out_features")
        self.of = _check.known_name(of, get_args(Of), "constant")
        self.in_features, self.out_features, self.takes_tokens = in_features, out_features, tokens
        self.scores = nn.Parameter(torch.zeros(out_features), requires_grad=False)

    @property
    def receptive_field(self) -> Field:
        """No input; a field holds the present one at the least."""
        return Field()

    def init_state(self, batch: int) -> State:
        """Make the empty state."""
        return ()

    def forward(
        self,
        x: Shaped[Tensor, "B T ..."],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        if not self.takes_tokens:
            _check.block(x, self.in_features)
        return self.scores.expand(*x.shape[:2], -1), ()

    def step(
        self, x_t: Shaped[Tensor, "B ..."], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        if not self.takes_tokens:
            _check.frame(x_t, self.in_features)
        return self.scores.expand(x_t.shape[0], -1), ()

    @torch.no_grad()
    def fit(self, sequences: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Count or average the targets.

        Args:
            sequences: Pairs of inputs and targets, classes [time] or numbers [time, C].

        Raises:
            InputError: No target is known.
        """
        if self.of == "classes":
            counts = torch.zeros(self.out_features, dtype=torch.float64)
            for _, target in sequences:
                counts += torch.bincount(target[target >= 0], minlength=self.out_features)
            self.scores.copy_(((counts + 1) / (counts.sum() + self.out_features)).log())
        elif self.of == "median":
            self.scores.copy_(_checked(_rows(sequences).nanmedian(0).values))
        else:
            total, count = torch.zeros(2, self.out_features, dtype=torch.float64)
            for _, target in sequences:
                total += target.nansum(0)
                count += (~target.isnan()).sum(0)
            odds = torch.logit((total + 1) / (count + 2))
            self.scores.copy_(odds if self.of == "odds" else _checked(total / count))


def _rows(sequences: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Gather targets; of many every other row, or every fourth, ..., so that they stay few."""
    kept: list[Tensor] = []
    count, every = 0, 1
    for _, target in sequences:
        kept.append(target[::every])
        count += kept[-1].numel()
        if count > MOST_NUMBERS:
            kept, every = [torch.cat(kept)[::2]], 2 * every
            count = kept[0].numel()
    return torch.cat(kept)


def _checked(middle: Tensor) -> Tensor:
    """Refuse columns of which nothing is known."""
    if middle.isnan().any():
        raise _check.InputError("expected known targets in every column, got only NaN in one.")
    return middle


def constant_parameters(*, out_features: int, **_: object) -> int:
    """Count the parameters of `Constant`: one for each score.

    Args:
        out_features: The number of scores C.

    Returns:
        C.
    """
    return out_features
