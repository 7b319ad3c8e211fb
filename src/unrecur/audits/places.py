"""Places in a split: what a model gives there when it sees only the last k inputs."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from unrecur._check import InputError
from unrecur.core.compose import Pointwise, Serial, in_series
from unrecur.core.model import AbstractConditionalModel, AbstractSequenceModel
from unrecur.data.running import LARGEST_OUTPUT
from unrecur.data.sequences import Split, known_steps
from unrecur.data.task import Task

ROWS = 2**24  # numbers that windows side by side and their hidden features take


@dataclass(frozen=True)
class Place:
    """Some steps of one sequence.

    Attributes:
        number: Which sequence.
        steps: The steps, rising.
        target: The targets there.
    """

    number: int
    steps: Tensor
    target: Tensor


def places_in(task: Task, split: Split, most: int | None = None) -> list[Place]:
    """Choose steps of a split among those that count.

    Args:
        task: The task.
        split: The split.
        most: About how many; evenly spaced where there are more. None takes all.

    Returns:
        The places, in order, for each sequence that has any.
    """
    found, before, every = [], 0, 1
    if most is not None:
        every = max(1, -(-int(task.counted(split).sum()) // most))
    for number in range(len(task.splits[split])):
        _, target = task.pair(split, number)
        steps = known_steps(target).nonzero()[:, 0]
        kept = steps[-before % every :: every]
        before += len(steps)
        if len(kept):
            found.append(Place(number, kept, target[kept]))
    return found


def windowed_outputs(
    model: AbstractSequenceModel, task: Task, split: Split, places: list[Place], k: int
) -> Iterator[Tensor]:
    """Run a model afresh on the last k inputs before each place; all of them where fewer have come.

    What stands behind the recurrence runs on the last step alone. In a continuous split a window
    reaches back into the sequences before.

    Args:
        model: A causal model, in evaluation mode.
        task: The task.
        split: The split.
        places: The places.
        k: The length of the window.

    Yields:
        Outputs, one a row, in the order of the places, in parts that keep memory bounded.

    Raises:
        InputError: The model looks ahead, or starts from a source.
    """
    if not model.receptive_field.causal or isinstance(model, AbstractConditionalModel):
        raise InputError("only a causal model without a source can be run on its last k inputs.")
    body, head = _apart(model)
    device = next(model.parameters()).device
    width = body.out_features if task.tokens else max(body.out_features, body.in_features)
    most = max(1, min(ROWS // (k * width), LARGEST_OUTPUT // task.out_features))
    for x, lengths in _parts(_windows(task, split, places, k), most):
        with torch.no_grad():
            hidden, _ = body(x.to(device))
            last = hidden[torch.arange(len(x)), lengths - 1][:, None]
            y = last if head is None else head(last)[0]
        yield y[:, 0]


def _apart(model: AbstractSequenceModel) -> tuple[AbstractSequenceModel, Serial | None]:
    """Cut a model before the layers at its end that see one step alone."""
    parts = in_series(model)
    end = len(parts)
    while end > 1 and isinstance(parts[end - 1], Pointwise):
        end -= 1
    return (Serial(*parts[:end]), Serial(*parts[end:])) if end < len(parts) else (model, None)


def _windows(
    task: Task, split: Split, places: list[Place], k: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Cut the windows of each sequence's places, and say how many inputs each holds."""
    for place in places:
        x = task.pair(split, place.number)[0][: int(place.steps[-1]) + 1]
        before = _before(task, split, place.number, k - 1) if task.continuous else x[:0]
        seen = torch.cat([before, x])
        ends = len(before) + place.steps
        begins = (ends - k + 1).clamp(min=0)
        index = begins[:, None] + torch.arange(min(k, len(seen)))
        # Behind its end a short window repeats its last input, which no output before it sees.
        yield seen[torch.minimum(index, ends[:, None])], ends - begins + 1


def _before(task: Task, split: Split, number: int, steps: int) -> Tensor:
    """Give the inputs before a sequence of a stream, so many of them or all."""
    parts = [task.pair(split, number)[0][:0]]
    while sum(map(len, parts)) < steps and number > 0:
        number -= 1
        parts.append(task.pair(split, number)[0])
    seen = torch.cat(parts[::-1])
    return seen[max(len(seen) - steps, 0) :]


def _parts(windows: Iterator[tuple[Tensor, Tensor]], most: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Put windows of several sequences together, and cut what is too many."""
    held: list[tuple[Tensor, Tensor]] = []
    count = 0
    for x, lengths in windows:
        for part in zip(x.split(most), lengths.split(most), strict=True):
            if held and (count + len(part[0]) > most or held[0][0].shape[1] != part[0].shape[1]):
                yield _joined(held)
                held, count = [], 0
            held.append(part)
            count += len(part[0])
    if held:
        yield _joined(held)


def _joined(held: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Put blocks of one width below each other."""
    return torch.cat([x for x, _ in held]), torch.cat([lengths for _, lengths in held])
