"""How far the gates of a cell are open along data."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur.cells.gates import gates_of
from unrecur.core.cell import AbstractCell

OPEN, SHUT = 0.9, 0.1
BINS = 20


@dataclass(frozen=True, eq=False)
class GateStatistics:
    """How far one gate is open, over units and steps.

    Attributes:
        name: The gate.
        mean: Its mean.
        quantiles: Its 5, 50 and 95 % quantiles.
        open: The share above 0.9.
        shut: The share below 0.1.
        histogram: The share in each twentieth of [0, 1].
    """

    name: str
    mean: float
    quantiles: tuple[float, float, float]
    open: float
    shut: float
    histogram: tuple[float, ...]


@torch.no_grad()
def gate_statistics(
    cell: AbstractCell, h: Float[Tensor, "N S"], x: Float[Tensor, "N D"]
) -> list[GateStatistics]:
    """Measure the gates of a cell.

    Args:
        cell: The cell.
        h: The states before each step.
        x: The inputs.

    Returns:
        One entry a gate; none where the cell has no gates.
    """
    found = []
    for name, gate in gates_of(cell, h, x).items():
        values = gate.float().flatten().sort().values
        places = [round(share * (len(values) - 1)) for share in (0.05, 0.5, 0.95)]
        low, middle, high = (float(values[place]) for place in places)
        counts = torch.histc(values, BINS, 0.0, 1.0) / len(values)
        found.append(
            GateStatistics(
                name,
                float(values.mean()),
                (low, middle, high),
                float((values > OPEN).float().mean()),
                float((values < SHUT).float().mean()),
                tuple(counts.tolist()),
            )
        )
    return found
