"""What a step of a cell costs on this device, by the number of rows run side by side; measured."""

import time
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import torch

from unrecur.core.cell import AbstractCell
from unrecur.solvers.cut import advance

ROWS = (1, 4, 16, 64, 256)
STEPS = (64, 32, 16, 8, 4)
LONGEST = 0.1  # seconds; no more rows are tried once a run takes longer,
LEAST = 3  # but so many are: how the cost grows with the rows is all that a plan hangs on
# What a run in pieces takes beside its steps: some hundred small operations. Seen on one CPU.
OVERHEAD = 2e-3  # seconds


@dataclass(frozen=True)
class Cost:
    """Seconds of a step at some numbers of rows.

    Attributes:
        rows: How many rows, ascending.
        seconds: Of a step of all of them.
    """

    rows: tuple[int, ...]
    seconds: tuple[float, ...]

    def of(self, rows: int) -> float:
        """Estimate the seconds of a step, linear in between and beyond.

        Args:
            rows: How many rows are run side by side.

        Returns:
            Seconds.
        """
        n = min(max(bisect_left(self.rows, rows), 1), len(self.rows) - 1)
        (r, s), (more, longer) = ((self.rows[m], self.seconds[m]) for m in (n - 1, n))
        return max(s + (longer - s) * (rows - r) / (more - r), self.seconds[0])


def cost_of(cell: AbstractCell) -> Cost:
    """Measure a cell, once for each kind, size, type, device and number of threads.

    Args:
        cell: The recurrence.

    Returns:
        Its cost.
    """
    weight = next(cell.parameters())
    kind = (type(cell), cell.input_size, cell.hidden_size, cell.extra_repr())
    key = (*kind, weight.device, weight.dtype, torch.get_num_threads())
    if key not in _MEASURED:
        _MEASURED[key] = _measure(cell, weight.device, weight.dtype)
    return _MEASURED[key]


_MEASURED: dict[Any, Cost] = {}


@torch.no_grad()
def _measure(cell: AbstractCell, device: torch.device, dtype: torch.dtype) -> Cost:
    rows, seconds = [], []
    for count, steps in zip(ROWS, STEPS, strict=True):
        h = torch.zeros(count, cell.state_size, device=device, dtype=dtype)
        taken = []
        for length in (steps, 4 * steps):
            x = torch.zeros(length, count, cell.input_size, device=device, dtype=dtype)
            part = x.transpose(0, 1)
            taken.append(min(_timed(cell, part, h, device) for _ in range(3)))
        # The difference, as a call costs something beside its steps.
        rows.append(count)
        seconds.append(max(taken[1] - taken[0], 1e-9) / (3 * steps))
        if taken[1] > LONGEST and len(rows) >= LEAST:
            break
    return Cost(tuple(rows), tuple(seconds))


def _timed(cell: AbstractCell, x: torch.Tensor, h: torch.Tensor, device: torch.device) -> float:
    _wait(device)
    began = time.perf_counter()
    advance(cell, x, h)
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
