"""An exported file against its model: run both, compare everything, or say where they differ."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unrecur._check import InputError
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import leaves
from unrecur.exports.forms import (
    Form,
    Port,
    Traced,
    encoder,
    first_state,
    random_inputs,
    random_source,
)

# Runs a file on its inputs, in their order.
Runner = Callable[[Sequence[Tensor]], list[Tensor]]
TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-9}
SHAPES = [(batch, time) for time in (1, 2, 63) for batch in (1, 3)]
FEWEST = 3
LONGEST = 1000  # steps of a sample that a step form is run over


@dataclass(frozen=True)
class Check:
    """One run of a file beside its model.

    Attributes:
        batch: How many rows.
        time: How many steps.
        inputs: "random" or "samples".
        largest: The largest difference of any output or leaf of the state.
    """

    batch: int
    time: int
    inputs: str
    largest: float


def verify(
    run: Runner,
    model: AbstractSequenceModel,
    form: Form,
    k: int | None,
    outputs: Sequence[Port],
    samples: Sequence[Tensor],
    tol: float,
) -> tuple[Check, ...]:
    """Run a file beside its model on random inputs and on samples, at several shapes.

    A block is followed by a second one from the states that each side has reached, and steps by
    steps, so that what comes back as the state is seen to work as the state.

    Args:
        run: Runs the file.
        model: The model.
        form: The form that the file holds.
        k: The length of a window.
        outputs: The outputs of the file.
        samples: Blocks [batch, time, ...] to compare on besides random ones.
        tol: The largest difference allowed in a number b, in units of 1 + |b|.

    Returns:
        What was run, and with which largest difference.

    Raises:
        InputError: They differ by more, or fewer than three shapes could be run.
    """
    reference, checks = Traced(model, form), []
    refused: InputError | None = None
    for kind, x in _inputs(model, form, k, samples):
        try:
            expected = _outputs(reference, model, form, x)
        except InputError as error:
            if kind == "samples":
                raise
            refused = error  # such as a sequence longer than the model's table of positions
            continue
        got = _outputs(run, model, form, x)
        checks.append(
            Check(len(x), x.shape[1], kind, _largest(got, expected, outputs, tol, kind, x))
        )
    if refused is not None and len(checks) < FEWEST:
        raise refused
    return tuple(checks)


def _inputs(
    model: AbstractSequenceModel, form: Form, k: int | None, samples: Sequence[Tensor]
) -> Iterator[tuple[str, Tensor]]:
    """Give the blocks to run over: random ones, then those of the samples."""
    generator = torch.Generator().manual_seed(1)
    shapes = SHAPES if form != "window" else [(batch, k or 0) for batch in (1, 2, 3)]
    for seed, shape in enumerate(shapes):
        if form == "encode":
            yield "random", random_source(encoder(model), shape, seed)
            continue
        yield "random", random_inputs(model, shape, generator)
    for block in samples:
        if form == "window":
            if block.shape[1] < (k or 0):
                continue
            block = block[:, -(k or 0) :]
        yield "samples", block[:, :LONGEST] if form == "step" else block


def blocks_of(samples: Any, model: AbstractSequenceModel) -> list[Tensor]:
    """Read samples as blocks.

    Args:
        samples: None, a block [batch, time, features] (or [batch, time] of token ids), or a list of
            sequences [time, features] (or [time]).
        model: The model that they are for.

    Returns:
        Blocks, in the type that the model takes.

    Raises:
        InputError: They are of another shape, or hold NaN or infinite values.
    """
    if samples is None:
        return []
    several = isinstance(samples, (list, tuple))
    blocks = (
        [torch.as_tensor(one)[None] for one in samples] if several else [torch.as_tensor(samples)]
    )
    tokens = model.takes_tokens
    dimensions = 2 if tokens else 3
    for block in blocks:
        fits = block.dim() == dimensions and block.numel() > 0
        if not fits or (not tokens and block.shape[2] != model.in_features):
            shape = "[batch, time]" if tokens else f"[batch, time, {model.in_features}]"
            raise InputError(
                f"samples: expected a block {shape} or a list of such rows, got the shape "
                f"{list(block.shape)}."
            )
        if not tokens and not block.isfinite().all():
            raise InputError("samples: expected finite numbers, got NaN or infinite ones.")
    kind = torch.int64 if tokens else next(model.parameters(), torch.empty(0)).dtype
    return [block.detach().cpu().to(kind) for block in blocks]


@torch.no_grad()
def _outputs(run: Any, model: AbstractSequenceModel, form: Form, x: Tensor) -> list[Tensor]:
    """Run a form over a block, or fold its steps over it: all outputs, and the last states."""

    def call(part: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        y, *after = run([part, *state]) if not isinstance(run, Traced) else run(part, *state)
        return y, after

    if form in ("window", "encode"):
        first, rest = call(x, [])
        return [first, *rest]
    state = leaves(first_state(model, len(x), x.shape[1], seed=1))
    # The second half continues from the state of the first.
    half = -(-x.shape[1] // 2)
    parts = x.unbind(1) if form == "step" else [part for part in x.split(half, 1)]
    found = []
    for part in parts:
        y, state = call(part, state)
        found.append(y)
    together = torch.stack(found, 1) if form == "step" else torch.cat(found, 1)
    return [together, *state]


def _largest(
    got: list[Tensor],
    expected: list[Tensor],
    outputs: Sequence[Port],
    tol: float,
    kind: str,
    x: Tensor,
) -> float:
    """Give the largest difference, and refuse one that is not allowed."""
    largest = 0.0
    where = f"for {kind} inputs of {len(x)} rows and {x.shape[1]} steps"
    for a, b, port in zip(got, expected, outputs, strict=True):
        if a.shape != b.shape:
            raise InputError(
                f"{port.name} has the shape {list(a.shape)} {where}, the model's has "
                f"{list(b.shape)}. Nothing was written."
            )
        if not a.numel():
            continue
        a, b = a.double(), b.double()
        same = (a == b) | (a.isnan() & b.isnan())
        gap = torch.where(same, 0.0, (a - b).abs()).nan_to_num(math.inf, math.inf)
        over = gap / (1 + b.abs().nan_to_num(0.0, 0.0))
        if over.max() > tol:
            place = [int(i) for i in torch.unravel_index(over.argmax(), over.shape)]
            off, found, wanted = (float(part[tuple(place)]) for part in (gap, a, b))
            raise InputError(
                f"{port.name} differs from the model by {off:.3g} at {place} {where}: got "
                f"{found:.6g}, expected {wanted:.6g}, allowed are {tol:g} (1 + |expected|). "
                "Nothing was written."
            )
        largest = max(largest, float(gap.max()))
    return largest
