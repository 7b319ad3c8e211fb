"""How much of the inputs is audited, so that it ends in time."""

from typing import Any

import torch
from torch import Tensor

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


def fit_budget(x: Any, layers: Layers, budget: float) -> tuple[Any, tuple[str, ...]]:
    """Cut inputs that are too many into stretches, evenly spread.

    Args:
        x: The inputs: a block, a sequence or a list of sequences; others are left as they are.
        layers: All cells that will be run.
        budget: How many multiplications may be spent.

    Returns:
        The inputs, and a note where they were cut.
    """
    if isinstance(x, Tensor) and x.dim() >= 2:
        parts = list(x)
    elif isinstance(x, list) and all(isinstance(part, Tensor) for part in x):
        parts = x
    else:
        return x, ()
    longest = max((len(part) for part in parts), default=0)
    total = sum(len(part) for part in parts)
    levels = len(list(windows_to(max(2, longest))))
    affordable = int(budget / (2 * (levels + 1) * weights_of(layers)))
    affordable = min(affordable, MOST_NUMBERS // state_numbers(layers))
    affordable = max(affordable, 2 * STRETCHES)
    if total <= affordable:
        return x, ()
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
        "afresh: more takes a larger budget"
    )
    return kept, (note,)
