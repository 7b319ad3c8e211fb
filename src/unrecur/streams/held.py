"""Step forms that hold their state: of any model, and of those with a tighter way."""

from functools import singledispatch

from jaxtyping import Shaped
from torch import Tensor, nn
from torch.nn import functional

from unrecur.core.compose import Pointwise, Serial
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State
from unrecur.layers.recurrent import Recurrent
from unrecur.streams.kernels import kernel
from unrecur.streams.machine import AbstractHeld
from unrecur.truncation.chunked import ChunkedWindow


class HeldStep(AbstractHeld):
    """Any model's own `step`."""

    def __init__(self, model: AbstractSequenceModel, batch: int) -> None:
        self._step, self._state = model.step, model.init_state(batch)

    def load(self, state: State) -> None:
        """See `AbstractHeld.load`."""
        self._state = state

    def __call__(self, x_t: Shaped[Tensor, "B ..."]) -> Shaped[Tensor, "B E"]:
        """See `AbstractHeld.__call__`."""
        y, self._state = self._step(x_t, self._state)
        return y

    def state(self) -> State:
        """See `AbstractHeld.state`."""
        return self._state


class HeldPointwise(AbstractHeld):
    """A module of each step by itself: no state, and a dropout (off) is left out."""

    def __init__(self, model: Pointwise) -> None:
        self._module = model.module

    def load(self, state: State) -> None:
        """See `AbstractHeld.load`."""

    def __call__(self, x_t: Shaped[Tensor, "B ..."]) -> Shaped[Tensor, "B E"]:
        """See `AbstractHeld.__call__`."""
        module = self._module
        if type(module) is nn.Linear:
            return functional.linear(x_t, module.weight, module.bias)
        return x_t if isinstance(module, nn.Dropout) else module(x_t)

    def state(self) -> State:
        """See `AbstractHeld.state`."""
        return ()


class HeldSeries(AbstractHeld):
    """Step forms one after the other; the state is the tuple of theirs.

    Args:
        parts: The step forms.
        copies: Whether the last one's outputs are a buffer that the next step writes to.
    """

    def __init__(self, parts: list[AbstractHeld], copies: bool = False) -> None:
        self._parts, self._copies = parts, copies

    def load(self, state: State) -> None:
        """See `AbstractHeld.load`."""
        for part, own in zip(self._parts, state, strict=True):
            part.load(own)

    def __call__(self, x_t: Shaped[Tensor, "B ..."]) -> Shaped[Tensor, "B E"]:
        """See `AbstractHeld.__call__`."""
        for part in self._parts:
            x_t = part(x_t)
        return x_t.clone() if self._copies else x_t

    def state(self) -> State:
        """See `AbstractHeld.state`."""
        return tuple(part.state() for part in self._parts)


class HeldChunked(AbstractHeld):
    """A `ChunkedWindow` whose rows stand at one place: two runs, which change parts in turn."""

    def __init__(self, window: ChunkedWindow, batch: int) -> None:
        self._shown, self._next = held(window.model, batch), held(window.model, batch)
        self._zero, self._come = window.init_state(batch)[1:]
        self._length, self._warms = window.length, window.length - (window.k - 1)
        self._place = 0

    def load(self, state: State) -> None:
        """See `AbstractHeld.load`."""
        shown, ahead, come = state
        self._shown.load(shown)
        self._next.load(ahead)
        self._place, self._come = int(come[0]) % self._length, come.clone()

    def __call__(self, x_t: Shaped[Tensor, "B ..."]) -> Shaped[Tensor, "B E"]:
        """See `AbstractHeld.__call__`."""
        y = self._shown(x_t)
        if self._place >= self._warms:
            self._next(x_t)
        self._place += 1
        self._come += 1
        if self._place == self._length:
            self._shown, self._next = self._next, self._shown
            self._next.load(self._zero)
            self._place = 0
        return y

    def state(self) -> State:
        """See `AbstractHeld.state`."""
        return self._shown.state(), self._next.state(), self._come.clone()


@singledispatch
def held(model: AbstractSequenceModel, batch: int) -> AbstractHeld:
    """Give the tightest step form of a model; its weights are read now.

    Args:
        model: A model with a step form, one output to an input.
        batch: The number of rows.

    Returns:
        The step form: the model's own, where there is no other. Its outputs are tensors of their
        own.
    """
    return HeldStep(model, batch)


held.register(ChunkedWindow, HeldChunked)


@held.register
def _(model: Pointwise, batch: int) -> AbstractHeld:
    return HeldPointwise(model)


@held.register
def _(model: Serial, batch: int) -> AbstractHeld:
    return HeldSeries([held(part, batch) for part in model.models])


@held.register
def _(model: Recurrent, batch: int) -> AbstractHeld:
    return HeldSeries([kernel(cell, batch) for cell in model.cells], copies=True)
