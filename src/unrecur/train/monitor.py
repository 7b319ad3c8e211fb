"""Monitors: how large gradients are, layer by layer and lag by lag."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State
from unrecur.data.batches import Batch
from unrecur.data.losses import counted
from unrecur.data.running import lengths_for, start_state
from unrecur.data.task import Task
from unrecur.layers.recurrent import Recurrent

LAGS = 128


@dataclass(frozen=True)
class Measurement:
    """The gradients at one moment of training; plain values, which JSON can hold.

    Attributes:
        epoch: The epoch, counted from 1.
        batch: The batch of it, counted from 1.
        norms: The gradient's norm by layer; see `layer_norms`.
        relative: The same over the norm of the layer's weights.
        lags: The gradient's norm by recurrent layer and lag; see `lag_norms`.
    """

    epoch: int
    batch: int
    norms: dict[str, float]
    relative: dict[str, float]
    lags: dict[str, list[float]]


def measure(
    model: AbstractSequenceModel,
    task: Task,
    batch: Batch,
    epoch: int,
    number: int,
) -> Measurement:
    """Measure the gradients after a backward pass, before they are clipped.

    Args:
        model: The model, with its gradients.
        task: The task.
        batch: The batch they are of, on the model's device.
        epoch: The epoch, counted from 1.
        number: The batch's number in it, counted from 1.

    Returns:
        The measurement.
    """
    norms, weights = layer_norms(model), _norms(model, of_gradients=False)
    relative = {name: norm / max(weights[name], 1e-30) for name, norm in norms.items()}
    lags = lag_norms(model, task, batch)
    return Measurement(epoch, number, norms, relative, lags)


def layer_norms(model: nn.Module) -> dict[str, float]:
    """Give the norm of the gradient of each layer: of the parameters that one module holds itself.

    Args:
        model: The model, with its gradients.

    Returns:
        The norms by the names of the modules, such as "models.0.cells.1"; "" is the model itself.
        Layers without a gradient are left out.

    Example:
        >>> from unrecur import build
        >>> model = build("elman", in_features=2, out_features=1, hidden=4, layers=2)
        >>> model(torch.randn(1, 5, 2))[0].sum().backward()
        >>> list(layer_norms(model))
        ['models.0.cells.0', 'models.0.cells.1', 'models.2.module']
    """
    return _norms(model, of_gradients=True)


def _norms(model: nn.Module, of_gradients: bool) -> dict[str, float]:
    """Give the norm of each layer's gradient, or of the weights; one number each, sent at once."""
    names, norms = [], []
    for name, module in model.named_modules():
        held = [weight for weight in module.parameters(recurse=False) if weight.grad is not None]
        if held:
            names.append(name)
            tensors = [weight.grad if of_gradients else weight.detach() for weight in held]
            norms.append(nn.utils.get_total_norm(tensors).double())
    return dict(zip(names, torch.stack(norms).tolist(), strict=True)) if norms else {}


def lag_norms(
    model: AbstractSequenceModel,
    task: Task,
    batch: Batch,
    state: State | None = None,
    lags: int = LAGS,
) -> dict[str, list[float]]:
    """Give |dL_t / dh_{t-l}| of each recurrent layer against the lag l.

    L_t is the loss at the last step of a row that counts, and h the layer's flat state, through
    which gradients reach all that was before. They come by every path: of a layer below others also
    through theirs. The model runs step by step, without dropout and without a change to its
    gradients or to the random state.

    Args:
        model: The model.
        task: The task.
        batch: The batch, on the model's device.
        state: What is carried into it.
        lags: The largest lag.

    Returns:
        For each cell by its name, such as "models.0.cells.1", the root mean square over the rows of
        the norms at lags 0, 1, ..., as far as rows reach back. Empty for a model without recurrent
        layers or without a step form, and where nothing is to be predicted.
    """
    with_cells = [module for module in model.modules() if isinstance(module, Recurrent)]
    last = _last_steps(batch)
    if not (with_cells and model.receptive_field.causal) or int(last.max()) < 0:
        return {}
    end = int(last.max()) + 1
    begin = max(0, end - 1 - lags)
    mode = model.training
    model.eval()
    try:
        state = start_state(model, batch, state)
        if begin:
            with torch.no_grad():
                _, state = model(batch.x[:, :begin], state, lengths_for(model, batch))
        with torch.enable_grad(), _recording(model) as states:
            losses = _losses(model, task, batch, state, slice(begin, end), last)
            every = [h for found in states.values() for h in found]
            gradients = torch.autograd.grad(losses.sum(), every, allow_unused=True)
    finally:
        model.train(mode)
    sizes = iter(
        torch.zeros(len(h)) if g is None else torch.linalg.vector_norm(g, dim=-1).double().cpu()
        for h, g in zip(every, gradients, strict=True)
    )
    return {
        name: _by_lag(torch.stack([next(sizes) for _ in found]), last - begin)
        for name, found in states.items()
    }


def _last_steps(batch: Batch) -> Tensor:
    """Find the last step of each row that counts; -1 where none does."""
    counts = counted(batch.target, batch.lengths.to(batch.target.device)).cpu()
    return torch.where(counts, torch.arange(counts.shape[1]), -1).amax(1)


def _losses(
    model: AbstractSequenceModel,
    task: Task,
    batch: Batch,
    state: State | None,
    steps: slice,
    last: Tensor,
) -> Tensor:
    """Run some steps; give each row's loss at its last step, 0 where that is not among them."""
    losses = []
    for step in range(steps.start, steps.stop):
        y, state = model.step(batch.x[:, step], state)
        loss = task.step_loss(y[:, None], batch.target[:, step : step + 1])[:, 0]
        losses.append(torch.where((last == step).to(loss.device), loss, 0))
    return torch.stack(losses).sum(0)


@contextmanager
def _recording(model: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Write down the states that recurrent layers give, by the names of their cells."""
    layers = {name: m for name, m in model.named_modules() if isinstance(m, Recurrent)}
    states: dict[str, list[Tensor]] = {}

    def listen(name: str, layer: Recurrent) -> Any:
        step = layer.step

        def recorded(x_t: Tensor, state: State | None = None) -> tuple[Tensor, State]:
            y_t, after = step(x_t, state)
            for number, h in enumerate(after):
                states.setdefault(f"{name}.cells.{number}".lstrip("."), []).append(h)
            return y_t, after

        return recorded

    try:
        for name, layer in layers.items():
            layer.__dict__["step"] = listen(name, layer)
        yield states
    finally:
        for layer in layers.values():
            layer.__dict__.pop("step", None)  # what the class has is seen again


def _by_lag(norms: Tensor, last: Tensor) -> list[float]:
    """Sort norms [steps, rows] by how far before each row's last step they are."""
    lag = last - torch.arange(len(norms))[:, None]
    squares = norms.square()
    return [float(squares[lag == number].mean().sqrt()) for number in range(int(last.max()) + 1)]
