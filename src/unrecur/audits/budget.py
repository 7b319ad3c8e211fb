"""How much of the inputs is audited, so that it ends in time."""

from typing import Any

import torch
from torch import Tensor, nn

from unrecur.audits.blocks import state_numbers
from unrecur.audits.curve import windows_to
from unrecur.interop.recurrence import Layers

MOST_NUMBERS = 2**28  # of state kept at once
STRETCHES = 16  # that a sequence which is too long is cut into, at least
SHORTEST = 64  # steps of a stretch


def weights_of(layers: Layers) -> int:
    """Count the weights of cells, which is the number of multiplications of a step.

    Args:
        layers: The cells.

    Returns:
        How many there are.
    """
    return sum(w.numel() for cells in layers for cell in cells for w in cell.parameters()) or 1


def fit_budget(
    parts: list[Tensor], layers: Layers, budget: float
) -> tuple[list[Tensor], tuple[str, ...]]:
    """Cut sequences that are too many into stretches, evenly spread.

    Args:
        parts: The sequences, time first.
        layers: All cells that will be run.
        budget: How many multiplications may be spent.

    Returns:
        The sequences, or stretches of them with a note that says how many.
    """
    longest = max((len(part) for part in parts), default=0)
    total = sum(len(part) for part in parts)
    levels = len(windows_to(max(2, longest)))
    affordable = int(budget / (2 * (levels + 1) * weights_of(layers)))
    affordable = min(affordable, MOST_NUMBERS // state_numbers(layers))
    affordable = max(affordable, 2 * STRETCHES)
    if total <= affordable:
        return parts, ()
    length = min(longest, max(SHORTEST, affordable // STRETCHES))
    stretches = [
        part[begin : begin + length]
        for part in parts
        for begin in range(0, max(1, len(part) - length + 1), length)
    ]
    count = min(len(stretches), max(1, affordable // length))
    chosen = torch.linspace(0, len(stretches) - 1, count).round().long().tolist()
    kept = [stretches[place] for place in chosen]
    steps = sum(len(part) for part in kept)
    note = (
        f"of {total:,} steps {steps:,} were audited, {count} stretches of {length:,} that start "
        "afresh, without the metric: more takes a larger budget"
    )
    return kept, (note,)


def fit_module(
    module: nn.Module, x: Any, layers: Layers, budget: float
) -> tuple[Any, tuple[str, ...]]:
    """Cut what a module is called with, as `fit_budget` does.

    Args:
        module: The module. One of torch's recurrent modules says which axis is time; of others it
            is the second.
        x: A tensor, or a list of sequences; others are left as they are.
        layers: All cells that will be run.
        budget: How many multiplications may be spent.

    Returns:
        What to call it with, and a note where it was cut.
    """
    if isinstance(x, list) and all(isinstance(part, Tensor) for part in x):
        return fit_budget(x, layers, budget)
    if not isinstance(x, Tensor) or x.dim() < 2:
        return x, ()
    alone = isinstance(module, nn.RNNBase)
    batch = 0 if not alone or module.batch_first else 1
    parts = [x] if alone and x.dim() == 2 else list(x.unbind(batch))
    kept, notes = fit_budget(parts, layers, budget)
    return (torch.stack(kept, batch) if notes else x), notes
