"""Models made of models: in series, beside each other, around a shortcut, and step by step."""

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn

from unrecur import _check
from unrecur.core.arithmetic import (
    LARGEST_FIELD,
    AbstractArithmetic,
    InTurn,
    SideBySide,
    Span,
    arithmetic,
)
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, zero_padding


class Pointwise(AbstractSequenceModel):
    """Apply a module to each step by itself; it has no state.

    Args:
        module: Any module that acts on the last dimension alone (`nn.Linear`, `nn.ReLU`,
            `nn.Dropout`, ...).
        in_features: The number of features it reads.
        out_features: The number of features it gives; the same where left out.
    """

    def __init__(
        self, module: nn.Module, in_features: int, out_features: int | None = None
    ) -> None:
        super().__init__()
        self.module = module
        self.in_features = in_features
        self.out_features = in_features if out_features is None else out_features

    @property
    def receptive_field(self) -> Field:
        """The present input alone."""
        return Field()

    def init_state(self, batch: int) -> State:
        """Make the empty state."""
        return ()

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        _check.block(x, self.in_features)
        return self.module(zero_padding(x, lengths)), ()

    def step(
        self, x_t: Float[Tensor, "B D"], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        _check.frame(x_t, self.in_features)
        return self.module(x_t), ()


class Serial(AbstractSequenceModel):
    """Feed the outputs of each model to the next; the state is the tuple of their states.

    Args:
        models: At least one model, in order.
    """

    def __init__(self, *models: AbstractSequenceModel) -> None:
        super().__init__()
        if not models:
            raise _check.InputError("Serial needs at least one model, got none.")
        for before, after in pairwise(models):
            if before.out_features != after.in_features:
                raise _check.InputError(
                    f"a model that gives {before.out_features} features is followed by one that "
                    f"reads {after.in_features}."
                )
        self.models = cast("Sequence[AbstractSequenceModel]", nn.ModuleList(models))
        self.output_ratio = math.prod((model.output_ratio for model in models), start=Fraction(1))
        self.in_features = models[0].in_features
        self.out_features = models[-1].out_features
        self.takes_tokens = models[0].takes_tokens

    @property
    def receptive_field(self) -> Field:
        """The fields of all, one after the other."""
        return arithmetic(self).field

    def output_lengths(self, lengths: Integer[Tensor, " B"]) -> Integer[Tensor, " B"]:
        """Count the outputs of all; see `AbstractSequenceModel.output_lengths`."""
        for model in self.models:
            lengths = model.output_lengths(lengths)
        return lengths

    def init_state(self, batch: int) -> State:
        """Make the tuple of the models' states."""
        return tuple(model.init_state(batch) for model in self.models)

    def forward(
        self,
        x: Shaped[Tensor, "B T ..."],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B N E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        states = (None,) * len(self.models) if state is None else state
        after = []
        for model, before in zip(self.models, states, strict=True):
            x, new = model(x, before, lengths)
            lengths = None if lengths is None else model.output_lengths(lengths)
            after.append(new)
        return x, tuple(after)

    def step(
        self, x_t: Shaped[Tensor, "B ..."], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        states = (None,) * len(self.models) if state is None else state
        after = []
        for model, before in zip(self.models, states, strict=True):
            x_t, new = model.step(x_t, before)
            after.append(new)
        return x_t, tuple(after)


def in_series(model: AbstractSequenceModel) -> list[AbstractSequenceModel]:
    """List the models that a model runs one after the other, nested `Serial`s opened up.

    Args:
        model: Any model.

    Returns:
        The models in order; the model itself where it is no `Serial`.
    """
    if not isinstance(model, Serial):
        return [model]
    return [part for inner in model.models for part in in_series(inner)]


class Parallel(AbstractSequenceModel):
    """Run models beside each other on the same input and put their outputs side by side.

    Args:
        models: At least one model; all read the same number of features.
    """

    def __init__(self, *models: AbstractSequenceModel) -> None:
        super().__init__()
        widths = sorted({model.in_features for model in models})
        if len(widths) != 1:
            raise _check.InputError(
                f"Parallel needs at least one model, all reading the same features; got {widths}."
            )
        self.models = cast("Sequence[AbstractSequenceModel]", nn.ModuleList(models))
        self.output_ratio = models[0].output_ratio
        outputs = [arithmetic(model).length(LARGEST_FIELD) for model in models]
        if len(set(outputs)) != 1:
            raise _check.InputError(
                f"models beside each other must give as many outputs, got {outputs} outputs for "
                f"{LARGEST_FIELD} inputs. Pad them alike."
            )
        self.in_features = widths[0]
        self.takes_tokens = models[0].takes_tokens
        self.out_features = sum(model.out_features for model in models)

    @property
    def receptive_field(self) -> Field:
        """The least field that holds those of all."""
        return arithmetic(self).field

    def output_lengths(self, lengths: Integer[Tensor, " B"]) -> Integer[Tensor, " B"]:
        """Count the outputs of each; see `AbstractSequenceModel.output_lengths`."""
        return self.models[0].output_lengths(lengths)

    def init_state(self, batch: int) -> State:
        """Make the tuple of the models' states."""
        return tuple(model.init_state(batch) for model in self.models)

    def forward(
        self,
        x: Shaped[Tensor, "B T ..."],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B N E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        states = (None,) * len(self.models) if state is None else state
        results = [m(x, s, lengths) for m, s in zip(self.models, states, strict=True)]
        return torch.cat([y for y, _ in results], -1), tuple(s for _, s in results)

    def step(
        self, x_t: Shaped[Tensor, "B ..."], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        states = (None,) * len(self.models) if state is None else state
        results = [m.step(x_t, s) for m, s in zip(self.models, states, strict=True)]
        return torch.cat([y for y, _ in results], -1), tuple(s for _, s in results)


class Residual(AbstractSequenceModel):
    """Add a model's output to its input: y = shortcut(x) + model(x).

    Args:
        model: The branch.
        shortcut: A stateless map of the input where the widths differ (a `Pointwise` linear map);
            the identity where left out.
    """

    def __init__(self, model: AbstractSequenceModel, shortcut: Pointwise | None = None) -> None:
        super().__init__()
        width = model.in_features if shortcut is None else shortcut.out_features
        if width != model.out_features:
            raise _check.InputError(
                f"the branch gives {model.out_features} features and the shortcut {width}; give a "
                f"shortcut that maps {model.in_features} features to {model.out_features}."
            )
        if not arithmetic(model).keeps_length:
            raise _check.InputError(
                "a shortcut needs a branch with as many outputs as inputs. Take padding='same' or "
                "'causal', and no stride."
            )
        self.model = model
        self.shortcut = shortcut
        self.in_features = model.in_features
        self.out_features = model.out_features

    @property
    def receptive_field(self) -> Field:
        """The branch's field, the present input included."""
        return arithmetic(self).field

    def init_state(self, batch: int) -> State:
        """Make the branch's state."""
        return self.model.init_state(batch)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        x = zero_padding(x, lengths)
        y, state = self.model(x, state, lengths)
        return y + (x if self.shortcut is None else self.shortcut(x)[0]), state

    def step(
        self, x_t: Float[Tensor, "B D"], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        y_t, state = self.model.step(x_t, state)
        return y_t + (x_t if self.shortcut is None else self.shortcut.step(x_t)[0]), state


@arithmetic.register
def _(model: AbstractSequenceModel) -> AbstractArithmetic:
    return Span(model.receptive_field)


@arithmetic.register
def _(model: Serial) -> AbstractArithmetic:
    return InTurn(tuple(arithmetic(part) for part in model.models))


@arithmetic.register
def _(model: Parallel) -> AbstractArithmetic:
    return SideBySide(tuple(arithmetic(part) for part in model.models))


@arithmetic.register
def _(model: Residual) -> AbstractArithmetic:
    return SideBySide((Span(Field()), arithmetic(model.model)))
