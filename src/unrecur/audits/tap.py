"""A recurrent module that is listened to while its model runs, or answered for."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from unrecur.layers.recurrent import Recurrent


@dataclass(eq=False)
class Call:
    """One call of a recurrent module.

    Attributes:
        x: Its inputs, padded, [B, T, D].
        lengths: How many steps of each row are valid.
        before: The flat states that it was given, one a cell, [B, S]; None for none.
        after: The flat states that it gave.
        given: The inputs as they came.
    """

    x: Tensor
    lengths: Tensor
    before: list[Tensor] | None
    after: list[Tensor]
    given: Any


@dataclass(eq=False)
class Tap:
    """A recurrent module whose calls are written down, or answered in its place.

    Attributes:
        module: The module.
        name: Its name in the model.
        calls: What it was called with.
    """

    module: nn.Module
    name: str
    calls: list[Call] = field(default_factory=list)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to the module while the block runs."""
        self.calls.clear()
        handle = self.module.register_forward_hook(self._hear, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    def _hear(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        """Write a call down."""
        self.calls.append(_read_call(self, args, kwargs, output))

    @contextmanager
    def answering(self, answers: list[Any]) -> Iterator[None]:
        """Answer in the module's place, call by call, while the block runs."""
        left = iter(answers)
        self.module.forward = lambda *args, **kwargs: next(left)
        try:
            yield
        finally:
            del self.module.forward  # what the class has is seen again


def _read_call(tap: Tap, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Call:
    """Read the inputs and states of one call."""
    module = tap.module
    names = ("x", "state", "lengths") if isinstance(module, Recurrent) else ("input", "hx")
    given = dict(zip(names, args, strict=False)) | kwargs
    x, state = given[names[0]], given.get(names[1])
    if isinstance(module, nn.RNNCellBase):
        block = (x if x.dim() == 2 else x[None])[:, None]
        after = output if isinstance(output, tuple) else (output,)
        lengths = torch.ones(len(block), dtype=torch.long)
        before = None if state is None else (state if isinstance(state, tuple) else (state,))
        return Call(block, lengths, _flat_of_cell(before), _flat_of_cell(after) or [], x)
    if isinstance(module, Recurrent):
        told = given.get("lengths")
        lengths = torch.full((len(x),), x.shape[1]) if told is None else told.cpu()
        return Call(x, lengths, None if state is None else [*state], [*output[1]], x)
    assert isinstance(module, nn.RNNBase)
    if isinstance(x, PackedSequence):
        block, lengths = pad_packed_sequence(x, batch_first=True)
    else:
        block = x[None] if x.dim() == 2 else x if module.batch_first else x.transpose(0, 1)
        lengths = torch.full((len(block),), block.shape[1])
    single = not isinstance(x, PackedSequence) and x.dim() == 2
    return Call(
        block,
        lengths,
        None if state is None else _flat_of_layers(state, single),
        _flat_of_layers(output[1], single),
        x,
    )


def _flat_of_cell(state: Iterable[Tensor] | None) -> list[Tensor] | None:
    """Make the flat state of a torch cell: h, or [c, h] of the pair (h, c)."""
    if state is None:
        return None
    parts = [part if part.dim() == 2 else part[None] for part in state]
    return [torch.cat(parts[::-1], -1)]


def _flat_of_layers(state: Any, single: bool) -> list[Tensor]:
    """Make the flat states of torch's layers, each [B, S]."""
    given = state if isinstance(state, tuple) else (state,)
    parts = [part[:, None] if single else part for part in given]
    return [*torch.cat(parts[::-1], -1).unbind(0)]


def answer(module: nn.Module, call: Call, y: Tensor, last: list[Tensor]) -> Any:
    """Lay outputs and last states out as a recurrent module gives them.

    Args:
        module: The module.
        call: The call that is answered.
        y: The outputs, padded, [B, T, E].
        last: The flat last states, one a cell, [B, S].

    Returns:
        What the module would return.
    """
    if isinstance(module, nn.RNNCellBase):
        h = y[:, 0] if call.given.dim() == 2 else y[0, 0]
        # Only what a cell shows is known at each step; what it is handed back it does not read.
        return (h, torch.zeros_like(h)) if isinstance(module, nn.LSTMCell) else h
    if isinstance(module, Recurrent):
        return y, tuple(last)
    assert isinstance(module, nn.RNNBase)
    parts = torch.stack(last).chunk(2 if isinstance(module, nn.LSTM) else 1, -1)
    states = [part.contiguous() for part in parts[::-1]]
    if isinstance(call.given, PackedSequence):
        shown: Any = pack_padded_sequence(y, call.lengths, batch_first=True, enforce_sorted=False)
    elif call.given.dim() == 2:
        shown, states = y[0], [state[:, 0] for state in states]
    else:
        shown = y if module.batch_first else y.transpose(0, 1)
    return shown, tuple(states) if isinstance(module, nn.LSTM) else states[0]
