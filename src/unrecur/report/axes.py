"""Logarithmic axes: their ranges and what is written along them."""

import math
from collections.abc import Sequence
from typing import Any

FEW = 2.5  # powers of ten that leave room for 2 and 5
MOST = 9.0  # powers of ten that are written
MINUS = "\N{MINUS SIGN}"


def powers(largest: int) -> list[int]:
    """Choose the powers of two to write along a logarithmic axis of windows.

    Args:
        largest: The largest window on the axis.

    Returns:
        Nine at most.

    Example:
        >>> powers(20), len(powers(2**20))
        ([1, 2, 4, 8, 16], 7)
    """
    exponents = range(largest.bit_length())
    return [2**exponent for exponent in exponents[:: 1 + len(exponents) // 9]]


def log_axis(
    numbers: Sequence[float], *, at_least: float | None = None, at_most: float | None = None
) -> dict[str, Any]:
    """Choose the range of a logarithmic axis and what is written along it.

    Args:
        numbers: What the axis shows; numbers that are not positive have no place on it.
        at_least: What is smaller may lie below the axis.
        at_most: What is larger may lie above it.

    Returns:
        What to tell plotly about the axis.

    Example:
        >>> axis = log_axis([0.01, 10.0, 1e30], at_most=100.0)
        >>> axis["range"], axis["ticktext"]
        ([-2.2, 2.2], ['0.01', '0.1', '1', '10', '100'])
    """
    kept = [n for n in numbers if n > 0]
    low, high = min(kept, default=1.0), max(kept, default=1.0)
    low = max(low, at_least or low)
    foot, top = math.log10(low), math.log10(max(low, min(high, at_most or high)))
    room = 0.05 * (top - foot) or 0.5
    ends = [round(foot - room, 6), round(top + room, 6)]
    axis: dict[str, Any] = {"type": "log", "range": ends}
    ticks = _ticks(*ends)
    if len(ticks) < 2:  # so short that plotly's own are as good
        return axis
    return axis | {
        "tickvals": [10**exponent * digit for exponent, digit in ticks],
        "ticktext": [_tick(exponent, digit) for exponent, digit in ticks],
    }


def _ticks(foot: float, top: float) -> list[tuple[int, int]]:
    """Choose exponents and digits: more of a few powers of ten, fewer of many."""
    digits = (1,) if top - foot > FEW else (1, 2, 5) if top - foot > 1 else range(1, 10)
    step = 1 + int((top - foot) / MOST)
    return [
        (exponent, digit)
        for exponent in range(math.floor(foot), math.ceil(top) + 1)
        for digit in digits
        if exponent % step == 0 and foot <= exponent + math.log10(digit) <= top
    ]


def _tick(exponent: int, digit: int) -> str:
    if -4 <= exponent <= 4:
        return f"{digit * 10.0**exponent:,.{max(0, -exponent)}f}"
    power = f"10<sup>{str(exponent).replace('-', MINUS)}</sup>"
    return power if digit == 1 else f"{digit}·{power}"
