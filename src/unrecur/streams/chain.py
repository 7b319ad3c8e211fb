"""Our models as machines: layers that answer at once, layers that look ahead, one after another."""

import hashlib
import json
import math
from collections.abc import Hashable
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from unrecur._check import InputError
from unrecur.core.arithmetic import arithmetic
from unrecur.core.compose import Parallel, Residual, Serial, in_series
from unrecur.core.lagged import Lagged
from unrecur.core.model import (
    AbstractBlockModel,
    AbstractConditionalModel,
    AbstractSequenceModel,
)
from unrecur.core.state import State
from unrecur.exports.record import weights_hash
from unrecur.streams.held import HeldSeries, held
from unrecur.streams.machine import AbstractHeld, AbstractMachine
from unrecur.streams.schedule import Schedule


def machine_of(model: AbstractSequenceModel) -> AbstractMachine:
    """Bring a model into the form in which it is streamed.

    Args:
        model: The model. Of a `Lagged` one the model within is streamed: its outputs come as late,
            without the zeros before them.

    Returns:
        The machine.

    Raises:
        InputError: The model starts from a source, or it sees the whole sequence.
    """
    if isinstance(model, Lagged):
        return machine_of(model.model)
    return Chain(model)


class AtOnce(AbstractMachine):
    """A causal model with a step form: its outputs come with their inputs."""

    def __init__(self, model: AbstractSequenceModel) -> None:
        self.model = model
        _describe(self, model)

    @property
    def identity(self) -> str:
        """See `AbstractMachine.identity`."""
        return identity_of(self.model)

    def init_state(self, batch: int) -> State:
        """See `AbstractMachine.init_state`."""
        return self.model.init_state(batch)

    def feed(
        self, x: Shaped[Tensor, "B T ..."], state: State
    ) -> tuple[Float[Tensor, "B N E"], State]:
        """See `AbstractMachine.feed`."""
        if x.shape[1] > 1 or self.output_ratio != 1:
            return self.model(x, state)
        y, state = self.model.step(x[:, 0], state)
        return y[:, None], state

    def end(self, x: Shaped[Tensor, "B T ..."], state: State) -> Float[Tensor, "B N E"]:
        """See `AbstractMachine.end`."""
        return self.feed(x, state)[0] if x.shape[1] else self.no_outputs(len(x))

    def held(self, batch: int) -> AbstractHeld | None:
        """See `AbstractMachine.held`."""
        return held(self.model, batch) if self.output_ratio == 1 else None


class Ahead(AbstractMachine):
    """A model of a finite field that looks ahead or counts its outputs by its own rate.

    A block is run together with the inputs before it that outputs to come still need, from a step
    on at which all layers stand as they do at the first: an output whose cone lies within is that
    of the whole sequence. The state is the last inputs, and how many have come.
    """

    def __init__(self, model: AbstractSequenceModel) -> None:
        self.model, self.geometry = model, arithmetic(model)
        _describe(self, model)
        self.schedule = Schedule(self.geometry)
        self.latency = self.schedule.latency

    @property
    def identity(self) -> str:
        """See `AbstractMachine.identity`."""
        return identity_of(self.model)

    def init_state(self, batch: int) -> State:
        """See `AbstractMachine.init_state`."""
        shape = (batch, self.schedule.kept) + (() if self.takes_tokens else (self.in_features,))
        dtype = torch.long if self.takes_tokens else self.dtype
        come = torch.zeros(batch, dtype=torch.long, device=self.device)
        return torch.zeros(shape, dtype=dtype, device=self.device), come

    def feed(
        self, x: Shaped[Tensor, "B T ..."], state: State
    ) -> tuple[Float[Tensor, "B N E"], State]:
        """See `AbstractMachine.feed`."""
        inputs, come = state
        before, time = int(come[0]), x.shape[1]
        seen = torch.cat([inputs, x], 1)
        y = self._between(seen, before, before + time, self.outputs(before + time))
        return y, (seen[:, time:], come + time)

    def end(self, x: Shaped[Tensor, "B T ..."], state: State) -> Float[Tensor, "B N E"]:
        """See `AbstractMachine.end`."""
        inputs, come = state
        before = int(come[0])
        after = before + x.shape[1]
        due = self.geometry.length(after) if after else 0
        return self._between(torch.cat([inputs, x], 1), before, after, due)

    def _between(self, seen: Tensor, before: int, after: int, ready: int) -> Tensor:
        """Run the model for the outputs that are ready now and were not before.

        Args:
            seen: The inputs kept, and those of the block.
            before: How many inputs had come before the block.
            after: How many have come with it.
            ready: How many outputs are ready now.

        Returns:
            The outputs.
        """
        given, start = self.outputs(before), self.schedule.start(before)
        if ready <= given:
            return self.no_outputs(len(seen))
        y, _ = self.model(seen[:, seen.shape[1] - (after - start) :])
        first = int(start * self.output_ratio)
        return y[:, given - first : ready - first]

    def outputs(self, come: int) -> int:
        """See `AbstractMachine.outputs`."""
        return self.schedule.outputs(come)

    def place(self, come: int) -> Hashable:
        """See `AbstractMachine.place`."""
        return self.schedule.place(come)


class Chain(AbstractMachine):
    """Layers one after the other: each gets the outputs of the one below as soon as they come.

    Args:
        model: The model; a `Serial` is taken apart.

    Raises:
        InputError: A layer can neither answer at once nor be run on a finite field.
    """

    def __init__(self, model: AbstractSequenceModel) -> None:
        self.model = model
        self.parts = [_machine_of_part(part) for part in in_series(model)]
        _describe(self, model)
        self._alike = all(isinstance(part, AtOnce) for part in self.parts)
        if not self._alike:
            self.latency = Schedule(arithmetic(model)).latency

    @property
    def identity(self) -> str:
        """See `AbstractMachine.identity`."""
        return identity_of(self.model)

    def init_state(self, batch: int) -> State:
        """See `AbstractMachine.init_state`."""
        return tuple(part.init_state(batch) for part in self.parts)

    def feed(
        self, x: Shaped[Tensor, "B T ..."], state: State
    ) -> tuple[Float[Tensor, "B N E"], State]:
        """See `AbstractMachine.feed`."""
        after = list(state)
        for place, part in enumerate(self.parts):
            if not x.shape[1]:
                return self.no_outputs(len(x)), tuple(after)
            x, after[place] = part.feed(x, state[place])
        return x, tuple(after)

    def end(self, x: Shaped[Tensor, "B T ..."], state: State) -> Float[Tensor, "B N E"]:
        """See `AbstractMachine.end`."""
        for part, before in zip(self.parts, state, strict=True):
            x = part.end(x, before)
        return x

    def outputs(self, come: int) -> int:
        """See `AbstractMachine.outputs`."""
        for part in self.parts:
            come = part.outputs(come)
        return come

    def place(self, come: int) -> Hashable:
        """See `AbstractMachine.place`."""
        if self._alike:  # asked for each of many streams
            return 0
        places = []
        for part in self.parts:
            places.append(part.place(come))
            come = part.outputs(come)
        return tuple(places)

    def held(self, batch: int) -> AbstractHeld | None:
        """See `AbstractMachine.held`."""
        each = [part.held(batch) for part in self.parts]
        steps = [part for part in each if part is not None]
        return HeldSeries(steps) if len(steps) == len(each) else None


def _machine_of_part(model: AbstractSequenceModel) -> AbstractMachine:
    """Choose how a layer is streamed."""
    if isinstance(model, AbstractConditionalModel):
        raise InputError(
            f"{type(model).__name__} starts from a source, which no stream brings. Run it with "
            "unrecur.greedy, unrecur.sample or unrecur.beam_search."
        )
    if _answers_at_once(model):
        return AtOnce(model)
    field = model.receptive_field
    if math.isinf(field.future):
        raise InputError(
            f"{type(model).__name__} sees the whole sequence, so that no output can come before "
            "its end. Give it whole sequences, or stream a causal model."
        )
    if math.isinf(field.past):
        raise InputError(
            f"{type(model).__name__} sees both the whole past and {field.future:g} inputs ahead, "
            "and is no Serial of layers that could be streamed one by one. Write it as one."
        )
    return Ahead(model)


def _answers_at_once(model: nn.Module) -> bool:
    """Say whether a model has a step form."""
    if isinstance(model, Serial | Parallel):
        return all(_answers_at_once(part) for part in model.models)
    if isinstance(model, Residual):
        return _answers_at_once(model.model)
    assert isinstance(model, AbstractSequenceModel)
    return not isinstance(model, AbstractBlockModel) and model.receptive_field.causal


def _describe(machine: AbstractMachine, model: AbstractSequenceModel) -> None:
    """Take over what a model says of itself."""
    machine.in_features, machine.out_features = model.in_features, model.out_features
    machine.takes_tokens, machine.output_ratio = model.takes_tokens, model.output_ratio
    numbers = [*model.parameters(), *model.buffers()]
    weight = next((number for number in numbers if number.is_floating_point()), torch.empty(0))
    machine.dtype, machine.device = weight.dtype, weight.device


def identity_of(model: nn.Module) -> str:
    """Hash a model's weights, and all plain numbers and words of its modules.

    Args:
        model: The model.

    Returns:
        The SHA-256.
    """
    plain = {name: [type(part).__name__, _plain(part)] for name, part in model.named_modules()}
    kept = json.dumps([plain, weights_hash(model)], sort_keys=True)
    return hashlib.sha256(kept.encode()).hexdigest()


def _plain(module: nn.Module) -> dict[str, Any]:
    """Give the numbers and words that a module keeps, such as a window's length."""
    kept = (bool, int, float, str)
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, kept) and name != "training"
    }
