"""Backpropagation through the whole of each sequence."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unrecur import _check
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, detach, leaves, map_state
from unrecur.data.batches import Batch
from unrecur.data.task import Task
from unrecur.train.given import with_gradients
from unrecur.train.objective import AbstractObjective, Part, scored, whole_batch


@dataclass(frozen=True)
class Full(AbstractObjective):
    """Backpropagation through time (Werbos 1990), through all steps of a batch.

    A continuous task carries the state from piece to piece without its history: there this is
    truncated backpropagation, and the piece says how far it reaches.

    Attributes:
        segment: Keep only the states at the ends of segments of so many steps, and run each segment
            again when its gradient is due (Chen et al. 2016, arXiv 1604.06174, section 4): memory
            for T / segment + segment steps in place of T, for one run more. 0 takes the square
            root of T; None keeps everything.

    Raises:
        InputError: segment is no whole number of at least 0.
    """

    segment: int | None = None

    def __post_init__(self) -> None:
        if self.segment is not None:
            _check.count(self.segment, "segment")

    def check(self, model: AbstractSequenceModel, task: Task) -> None:
        """Refuse segments for models that see the inputs to come; see `AbstractObjective.check`."""
        if self.segment is not None and not model.receptive_field.causal:
            raise _check.InputError(
                "a model that sees the inputs to come cannot be run segment by segment. Leave "
                "segment out."
            )

    @property
    def in_float32(self) -> bool:
        """With segments: a loss scale does not reach the gradients within."""
        return self.segment is not None

    def parts(
        self, model: AbstractSequenceModel, task: Task, batch: Batch, state: State | None
    ) -> Iterator[Part]:
        """Give the batch as one part; see `AbstractObjective.parts`."""
        if self.segment is None:
            yield whole_batch(model, task, batch, state)
        else:
            yield self._in_segments(model, task, batch, state)

    def _in_segments(
        self, model: AbstractSequenceModel, task: Task, batch: Batch, state: State | None
    ) -> Part:
        """Run forward keeping the states between segments, then each once more, from the last."""
        # `torch.utils.checkpoint` calls Python for each tensor that a fused kernel keeps, several a
        # step, and takes three times as long.
        rows, time = batch.x.shape[:2]
        length = self.segment or math.isqrt(time - 1) + 1
        segments = [slice(start, start + length) for start in range(0, time, length)]
        state = model.init_state(rows) if state is None else state
        before, drawn = [state], [_random(batch.x.device)]
        with torch.no_grad():
            for segment in segments[:-1]:
                before.append(model(batch.x[:, segment], before[-1])[1])
                drawn.append(_random(batch.x.device))
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        sums = [torch.zeros_like(weight) for weight in weights]
        total: Any = 0.0
        steps, end, by_state = 0, None, list[Tensor]()
        for segment, start, random in zip(segments[::-1], before[::-1], drawn[::-1], strict=True):
            _set_random(random, batch.x.device)
            start = map_state(_leaf, start)
            part, after = _run(model, task, batch, segment, start)
            if end is None:
                end, last_drawn = detach(after), _random(batch.x.device)
            # Not all that is carried depends on weights: the last inputs do not.
            passed = zip(_changing(after), by_state, strict=False)
            depends = [(leaf, gradient) for leaf, gradient in passed if leaf.requires_grad]
            gradients = torch.autograd.grad(
                [part.loss, *(leaf for leaf, _ in depends)],
                [*weights, *_changing(start)],
                [torch.ones_like(part.loss), *(gradient for _, gradient in depends)],
                allow_unused=True,
                materialize_grads=True,
            )
            for value, gradient in zip(sums, gradients, strict=False):
                value += gradient
            by_state = list(gradients[len(weights) :])
            total, steps = total + part.loss.detach(), steps + part.steps
        _set_random(last_drawn, batch.x.device)
        # What the first state was made of, the source of a translation say, learns too.
        made = [leaf for leaf in _changing(state) if leaf.requires_grad]
        of_state = [
            gradient
            for leaf, gradient in zip(_changing(state), by_state, strict=True)
            if leaf.requires_grad
        ]
        loss = with_gradients(total, [*weights, *made], [*sums, *of_state])
        return Part(loss, steps, end)


def _run(
    model: AbstractSequenceModel, task: Task, batch: Batch, segment: slice, state: State
) -> tuple[Part, State]:
    """Run a segment; give its loss, and the state after it with its history."""
    y, after = model(batch.x[:, segment], state)
    return scored(task, batch, segment, y, after), after


def _leaf(tensor: Tensor) -> Tensor:
    """Cut a tensor off its history, and watch it if it can have a gradient."""
    return tensor.detach().requires_grad_(tensor.is_floating_point())


def _changing(state: State) -> list[Tensor]:
    """List the tensors of a state that can have a gradient: no counters."""
    return [leaf for leaf in leaves(state) if leaf.is_floating_point()]


def _random(device: torch.device) -> tuple[Tensor, ...]:
    """Read the random states that dropout draws from."""
    here = (torch.get_rng_state(),)
    return here if device.type != "cuda" else (*here, torch.cuda.get_rng_state(device))


def _set_random(states: tuple[Tensor, ...], device: torch.device) -> None:
    """Set them."""
    torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)
