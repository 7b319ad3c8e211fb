"""The guard: training that breaks is stopped while the weights are still good."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from unrecur._check import InputError
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State
from unrecur.data.batches import Batch
from unrecur.data.running import lengths_for

FACTOR = 10.0  # times the reference: a loss far above it
PATIENCE = 20  # batches


class DivergedError(InputError):
    """Training has diverged; the weights are those before the batch that showed it.

    Args:
        what: What is out of order: "loss" or "gradient".
        value: Its value.
        epoch: The epoch, counted from 1.
        batch: The batch of it, counted from 1.
        layer: Where it began, as far as that is known.
        reason: Why the value is out of order, if it is finite.

    Attributes:
        trained: What training has left, a `Trained`; None where no epoch was finished.
    """

    trained: Any = None

    def __init__(
        self,
        what: str,
        value: float,
        epoch: int,
        batch: int,
        layer: str | None = None,
        reason: str = "",
    ) -> None:
        super().__init__(what, value, epoch, batch, layer, reason)  # all, to be pickled by
        self.what, self.value, self.epoch, self.batch = what, value, epoch, batch
        self.layer, self.reason = layer, reason

    def __str__(self) -> str:
        """Say what happened, where, and what to do."""
        where = f", in {self.layer}" if self.layer else ""
        reason = f", {self.reason}" if self.reason else ""
        return (
            f"the training {self.what} is {self.value:.6g} in epoch {self.epoch}, batch "
            f"{self.batch}{where}{reason}. Lower learning_rate or clip, or train the model stable "
            "(--stable)."
        )


def check_loss(
    value: float, seen: list[float], chance_level: float, epoch: int, batch: int, batches: int
) -> None:
    """Stop a run whose loss is not finite, or stays far above where it began.

    Far above is more than ten times the larger of the first loss and the chance level. A count goes
    up by 1 with each batch whose loss is, and down by 1, to 0 at the least, with each other; the
    run is stopped where the count reaches 20 batches, or a tenth of an epoch where that is more. No
    single batch and no bad stretch of the data does that: the losses of a tenth of an epoch, each
    above ten times the chance level, add up to more than a model that knows nothing has in all of
    the epoch.

    Args:
        value: The loss of the batch, the mean over its steps.
        seen: What is kept from batch to batch, `[]` at first: the first loss and the count. Changed
            in place.
        chance_level: The loss of a model that knows nothing.
        epoch: The epoch, counted from 1.
        batch: The batch of it, counted from 1.
        batches: The number of batches in an epoch.

    Raises:
        DivergedError: The run shall stop.

    Example:
        >>> seen = []
        >>> for batch in range(40):
        ...     check_loss(0.7, seen, 0.69, 1, batch + 1, 40)
        >>> seen
        [0.7, 0.0]
    """
    if not math.isfinite(value):
        raise DivergedError("loss", value, epoch, batch)
    if not seen:
        seen[:] = [value, 0.0]
    reference = max(seen[0], chance_level)
    # A density's negative log-likelihood may be below 0, where ten times as much would be less.
    far = value > reference + (FACTOR - 1) * max(abs(reference), abs(chance_level))
    seen[1] = seen[1] + 1 if far else max(0.0, seen[1] - 1)
    if seen[1] >= max(PATIENCE, batches / FACTOR):
        reason = f"and has stayed far above the {reference:.6g} it began with or chance gives"
        raise DivergedError("loss", value, epoch, batch, reason=reason)


def check_gradient(model: nn.Module, norm: float, epoch: int, batch: int) -> None:
    """Stop before a gradient that is not finite gets into the weights.

    Args:
        model: The model, with its gradients.
        norm: Their global norm, as `clip_` gives it.
        epoch: The epoch, counted from 1.
        batch: The batch of it, counted from 1.

    Raises:
        DivergedError: The norm is NaN or infinite; the error names the parameter.
    """
    if not math.isfinite(norm):
        layer = first_non_finite(model)
        reason = "" if layer else "as finite numbers whose squares are beyond their type add up"
        raise DivergedError("gradient", norm, epoch, batch, layer, reason)


def first_non_finite(model: nn.Module) -> str | None:
    """Name the parameter where numbers first cease to be finite.

    Weights are looked at from the input to the output. If all are good, gradients are, from the
    output to the input, as they are made in this order: below the first bad one all may be bad.

    Args:
        model: The model.

    Returns:
        The name of the parameter; None where all is finite.

    Example:
        >>> model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1))
        >>> for layer, slope in zip(model, [math.nan, math.inf, 1.0]):
        ...     layer.weight.grad = torch.full((1, 1), slope)
        >>> first_non_finite(model)
        '1.weight'
    """
    if (spoilt := first_bad_weight(model)) is not None:
        return spoilt
    for name, weight in reversed(list(model.named_parameters())):
        if weight.grad is not None and not bool(weight.grad.isfinite().all()):
            return name
    return None


def first_bad_weight(model: nn.Module) -> str | None:
    """Name the first weight that is not finite.

    Args:
        model: The model.

    Returns:
        The name of the parameter; None where all are finite.
    """
    named = model.named_parameters()
    return next((name for name, weight in named if not bool(weight.isfinite().all())), None)


def first_overflow(model: AbstractSequenceModel, batch: Batch, state: State | None) -> str | None:
    """Name the layer whose outputs are the first not to be finite, when the loss is not.

    Args:
        model: The model; it is run again.
        batch: The batch, on the model's device.
        state: The state before it.

    Returns:
        The name of the innermost module that is called; None where all is finite.
    """
    found: list[str] = []

    def listen(name: str) -> Any:
        def look(module: nn.Module, given: Any, output: Any) -> None:
            y = output[0] if isinstance(output, tuple) else output
            if not found and isinstance(y, Tensor) and not bool(y.isfinite().all()):
                found.append(name)

        return look

    hooks = [
        module.register_forward_hook(listen(name)) for name, module in model.named_modules() if name
    ]
    try:
        with torch.no_grad():
            model(batch.x, state, lengths_for(model, batch))
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else None
