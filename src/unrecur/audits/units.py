"""What single units remember: half-lives, and names for those that never forget."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from unrecur.audits.gradient_flow import Flow
from unrecur.cells.elman import Elman
from unrecur.cells.gru import GRU
from unrecur.cells.memory import AbstractMemoryCell
from unrecur.cells.mgu import MGU
from unrecur.cells.qrnn import QRNN
from unrecur.cells.reset_first_gru import ResetFirstGRU
from unrecur.core.cell import AbstractCell

STILL = 1e-6  # of the size of a number that does not change
SATURATED = 0.99  # |h| of a tanh that is at its end
MOSTLY = 0.95  # of the steps
LEFT = 0.5
LONG = 32  # inputs: what is not met after fewer may only be slow


@dataclass(frozen=True, eq=False)
class Units:
    """What each number of a cell's state remembers.

    Attributes:
        names: What each number is: "c[3]" or "h[3]".
        half_life: The number of steps after which less than half of a small change of this number
            is left anywhere in the cell's state, on average; infinite where that is beyond the
            longest lag seen.
        lags: That lag.
        remembered: How much of the number a run of the cell alone, from zero, still lacks after
            the longest window, as a part of what it lacked at the window's beginning; root mean
            squares over windows.
        kinds: "dead" (it never changes), "saturated" (at an end of tanh nearly always), "counter"
            (a run from zero does not meet it, and it keeps half of a small change of itself),
            "latch" (a run from zero does not meet it, though small changes of it die), or "" for a
            number that forgets, that only shows another (an LSTM's h), or of which no window of 32
            inputs could be seen.
        window: That longest window.
    """

    names: list[str]
    half_life: Float64[Tensor, " S"]
    lags: int
    remembered: Float64[Tensor, " S"]
    kinds: list[str]
    window: int

    def named(self, kind: str) -> list[str]:
        """List the numbers of a kind.

        Args:
            kind: The kind.

        Returns:
            Their names.
        """
        return [name for name, found in zip(self.names, self.kinds, strict=True) if found == kind]


def number_names(cell: AbstractCell) -> list[str]:
    """Name the numbers of a cell's state.

    Args:
        cell: The cell.

    Returns:
        c[i] and h[i] of an LSTM, c[i] and o[i] of a QRNN, h[i] of others.
    """
    if isinstance(cell, (AbstractMemoryCell, QRNN)):
        size, second = cell.hidden_size, "o" if isinstance(cell, QRNN) else "h"
        first = [f"c[{i}]" for i in range(cell.state_size - size)]
        return first + [f"{second}[{i}]" for i in range(size)]
    return [f"h[{i}]" for i in range(cell.state_size)]


def half_lives(columns: Float64[Tensor, "L S"]) -> Float64[Tensor, " S"]:
    """Read half-lives off gains against the lag.

    Args:
        columns: The gain of each number, from lag 0 on.

    Returns:
        The lag from which on less than half of the gain at lag 0 is left; between two lags by
        the exponential through them, and the later one where nothing is left at it. Infinite where
        half is left at the end.
    """
    below = columns < LEFT
    lives = torch.full((columns.shape[1],), math.inf, dtype=torch.float64)
    for number in range(columns.shape[1]):
        above = (~below[:, number]).nonzero()
        first = int(above.max()) + 1 if len(above) else 0
        if first == len(columns):
            continue
        before, after = float(columns[first - 1, number]), float(columns[first, number])
        if after <= 1e-12 * before:
            lives[number] = first
        else:
            part = math.log(before / LEFT) / math.log(before / after)
            lives[number] = first - 1 + part
    return lives


def name_units(
    cell: AbstractCell, states: Tensor, remembered: Float64[Tensor, " S"], window: int, flow: Flow
) -> Units:
    """Measure what the numbers of one cell's state remember.

    Args:
        cell: The cell.
        states: Its states after each step, [N, S].
        remembered: How much of each number a run from zero lacks after the window.
        window: The window.
        flow: The cell's gradient flow.

    Returns:
        Half-lives and kinds.
    """
    values = states.double().cpu()
    dead = values.std(0, unbiased=False) <= STILL * values.abs().amax(0).clamp(min=1.0)
    full = (_squashed(cell, values).abs() > SATURATED).double().mean(0) >= MOSTLY
    stays = (remembered >= LEFT) & (window >= LONG) & _is_memory(cell)
    counts = flow.kept.cpu() >= LEFT
    kinds = []
    for number in range(cell.state_size):
        if dead[number]:
            kinds.append("dead")
        elif stays[number]:
            kinds.append("counter" if counts[number] else "latch")
        else:
            kinds.append("saturated" if full[number] else "")
    lives = half_lives(flow.columns.cpu())
    return Units(number_names(cell), lives, len(flow.gain) - 1, remembered, kinds, window)


def _is_memory(cell: AbstractCell) -> Tensor:
    """Say which numbers are memory, and not only what the cell shows of it."""
    memory = torch.ones(cell.state_size, dtype=torch.bool)
    if isinstance(cell, (AbstractMemoryCell, QRNN)):
        memory[-cell.hidden_size :] = False
    return memory


def _squashed(cell: AbstractCell, values: Tensor) -> Tensor:
    """Give what tanh makes of each number of the state; zeros where there is no tanh."""
    if isinstance(cell, AbstractMemoryCell):
        memory, shown = cell.split(values)
        return torch.cat([torch.tanh(memory), torch.zeros_like(shown)], -1)
    if isinstance(cell, (GRU, MGU, ResetFirstGRU)) or (
        isinstance(cell, Elman) and cell.activation == "tanh"
    ):
        return values
    return torch.zeros_like(values)
