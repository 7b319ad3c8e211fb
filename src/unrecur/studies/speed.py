"""How fast a model is: in training, over whole sequences, one step at a time; what it holds."""

import time
from collections.abc import Callable, Iterable
from statistics import median

import torch
from torch import Tensor

from unrecur.core.equivalence import check_equivalence
from unrecur.core.model import (
    AbstractBlockModel,
    AbstractConditionalModel,
    AbstractSequenceModel,
)
from unrecur.core.state import leaves, map_state
from unrecur.data.batches import Batch
from unrecur.data.running import lengths_for, start_state
from unrecur.data.task import Task
from unrecur.train.evaluate import summed_losses

SECONDS = 0.15  # spent on each speed
STREAMED = 64  # steps in a stream


def measure_speed(model: AbstractSequenceModel, task: Task, batch_size: int) -> dict[str, float]:
    """Measure a model's speeds on the sequences of middle length of a task.

    Args:
        model: The model, in evaluation mode, and left so.
        task: The task.
        batch_size: The number of sequences in a training batch.

    Returns:
        Sequence steps per second of training (forward, backward) and of evaluation (forward) on
        batches; and, for a model with a step form, the seconds of one streaming step of one
        sequence, and step_error, the largest difference between what the stream and the block gave.
    """
    device, batch = _middle_batch(model, task, batch_size)
    steps = int(batch.lengths.sum())
    trained = any(parameter.requires_grad for parameter in model.parameters())
    lengths = lengths_for(model, batch)

    def train() -> None:
        model.zero_grad()
        y, _ = model(batch.x, start_state(model, batch, None), lengths)
        summed_losses(task, y, batch.target, batch.lengths)[0].sum().backward()

    @torch.no_grad()
    def forward() -> None:
        model(batch.x, start_state(model, batch, None), lengths)

    speeds = {"forward_steps_per_second": steps / _seconds(forward, device)}
    speeds |= step_speed(model, task, batch_size)
    if trained:
        model.train()
        speeds["train_steps_per_second"] = steps / _seconds(train, device)
        model.zero_grad()
        model.eval()
    return speeds


def step_speed(model: AbstractSequenceModel, task: Task, batch_size: int) -> dict[str, float]:
    """Measure a model's streaming step, of one sequence.

    Args:
        model: The model, in evaluation mode.
        task: The task.
        batch_size: The number of sequences in a training batch.

    Returns:
        "step_seconds" and "step_error", as `measure_speed` has them; nothing for a model without a
        step form.
    """
    if isinstance(model, AbstractBlockModel) or not model.receptive_field.causal:
        return {}
    device, batch = _middle_batch(model, task, batch_size)
    stream = batch.x[:1, : min(STREAMED, int(batch.lengths[0]))]
    with torch.no_grad():
        first = start_state(model, batch, None)
        first = model.init_state(1) if first is None else map_state(lambda s: s[:1], first)

    @torch.no_grad()
    def step() -> None:
        state = first
        for x_t in stream.unbind(1):
            _, state = model.step(x_t, state)

    return {
        "step_seconds": _seconds(step, device) / stream.shape[1],
        "step_error": check_equivalence(model, stream, first).largest,
    }


def _middle_batch(
    model: AbstractSequenceModel, task: Task, batch_size: int
) -> tuple[torch.device, Batch]:
    """Give a model's device and, there, the training batch of middle length."""
    device = next(model.parameters(), torch.empty(0)).device
    batches = -(-len(task.splits["train"]) // batch_size)
    batch = next(iter(task.batches("train", batch_size, start=batches // 2)))
    return device, batch.to(device)


def held_bytes(model: AbstractSequenceModel) -> dict[str, int]:
    """Count what a model holds.

    Args:
        model: The model.

    Returns:
        The bytes of its parameters and buffers; and, for a model with a step form that starts from
        nothing, "state", the bytes that one stream carries from step to step.
    """
    held = {"parameters": _bytes([*model.parameters(), *model.buffers()])}
    streams = not isinstance(model, AbstractBlockModel | AbstractConditionalModel)
    if streams and model.receptive_field.causal:
        held["state"] = _bytes(leaves(model.init_state(1)))
    return held


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _seconds(run: Callable[[], None], device: torch.device) -> float:
    """Time a call: the median of as many as fit into the time, at least three."""
    run()
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(times) < 3 or time.perf_counter() < end:
        _wait(device)
        start = time.perf_counter()
        run()
        _wait(device)
        times.append(time.perf_counter() - start)
    return median(times)


def _wait(device: torch.device) -> None:
    """Let a GPU finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
