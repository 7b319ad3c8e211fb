"""Times: text, dates and numbers as whole numbers of ticks. None is guessed."""

import itertools
import math
import re
from dataclasses import dataclass
from typing import Any

from unrecur._check import InputError, extra

_DAYS = ("%Y-%m-%d", "%Y/%m/%d")
_CLOCKS = ("%H:%M:%S", "%H:%M", "%H:%M:%S%.f")
_OFFSET = "%z"
FORMATS = (
    *_DAYS,
    *("".join(parts) for parts in itertools.product(_DAYS, " T", _CLOCKS, ("", _OFFSET))),
    "%Y-%m",
)
YEAR = r"^\d{4}\D"
MICROSECOND = 1_000_000  # ticks of a second
LARGEST = 2**53  # ticks that numbers with decimals may come to


@dataclass(frozen=True)
class Clock:
    """How a column of times is read.

    Attributes:
        ticks: Polars expression of the ticks, Int64; null where a value cannot be read.
        dated: Whether a tick is a microsecond since 1970 (UTC), not a number of the file's own.
        per_unit: How many ticks a unit of the file's own numbers has.
        notes: What was done.
    """

    ticks: Any
    dated: bool
    per_unit: int = 1
    notes: tuple[str, ...] = ()


def read_clock(name: str, column: Any, dtype: Any, first: Any, whole: bool = True) -> Clock:
    """Say how a column of times is read.

    Text is ISO 8601: a date, a month (2016-07), or a date and a time of day, with or without an
    offset; with offsets all is converted to UTC. Other orders of day and month are ambiguous, and
    are refused. Numbers are taken as they are, in their own unit.

    Args:
        name: The column, for messages.
        column: Its expression in polars.
        dtype: Its type in polars.
        first: Its first value.
        whole: Whether all its numbers are whole.

    Returns:
        How to read it.

    Raises:
        InputError: It holds neither times nor numbers.
    """
    polars = extra("polars", "tables")
    if dtype == polars.Date or isinstance(dtype, polars.Datetime):
        zone = getattr(dtype, "time_zone", None)
        notes = (f"Times of '{name}' are converted from {zone} to UTC.",) if zone else ()
        return Clock(column.cast(polars.Datetime("us")).cast(polars.Int64), True, 1, notes)
    if dtype.is_numeric():
        if whole:
            return Clock(column.cast(polars.Int64, strict=False), False)
        scaled = (column.cast(polars.Float64) * MICROSECOND).round()
        fits = polars.when(scaled.abs() < LARGEST).then(scaled)
        return Clock(fits.cast(polars.Int64, strict=False), False, MICROSECOND)
    if dtype == polars.String:
        format = text_format(str(first))
        if format:
            # An offset of zero is also written Z.
            text = column.str.strip_chars()
            # A year of two digits would be read as one of the first century.
            text = polars.when(text.str.contains(YEAR)).then(text)
            text = text.str.replace(r"Z$", "+0000") if format.endswith(_OFFSET) else text
            times = text.str.to_datetime(format, time_unit="us", strict=False)
            offset = f"Times of '{name}' have offsets and are converted to UTC."
            notes = (offset,) if format.endswith(_OFFSET) else ()
            return Clock(times.cast(polars.Int64), True, 1, notes)
    raise InputError(
        f"column '{name}': expected times, like 2016-07-01 13:30:00, 2016-07-01T13:30+02:00, "
        f"2016-07 or numbers; got {first!r}. Write them in this order: year, month, day."
    )


def text_format(text: str) -> str | None:
    """Find the format of a time.

    Args:
        text: The time.

    Returns:
        The format, for polars; None where there is none for it.
    """
    polars = extra("polars", "tables")
    if not re.match(YEAR, text.strip()):
        return None
    value = polars.Series([text.strip().removesuffix("Z") + "+0000" * text.strip().endswith("Z")])
    for format in FORMATS:
        if value.str.to_datetime(format, time_unit="us", strict=False)[0] is not None:
            return format
    return None


def instant(text: str) -> int:
    """Read one time.

    Args:
        text: ISO 8601, like 2016-07-01 or 2016-07-01 13:30.

    Returns:
        Microseconds since 1970, UTC.

    Raises:
        InputError: It is none.
    """
    polars = extra("polars", "tables")
    frame = polars.DataFrame({"split": [text]})
    clock = read_clock("split", polars.col("split"), polars.String, text)
    return int(frame.select(clock.ticks).item())


def duration(text: str | float, dated: bool, per_unit: int) -> int:
    """Read a step of time.

    Args:
        text: A number with a unit, s, m(inutes), h, d or w, as in "15m"; a number alone for times
            that are numbers.
        dated: Whether the times are dates.
        per_unit: How many ticks a unit of times that are numbers has.

    Returns:
        The number of ticks.

    Raises:
        InputError: It is none, or not above 0.
    """
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800} if dated else {"": per_unit}
    written = str(text).strip()
    unit = written[-1:] if dated else ""
    try:
        number = float(written.removesuffix(unit)) * units[unit]
    except (KeyError, ValueError):
        number = 0.0
    number *= MICROSECOND if dated else 1
    ticks = round(number) if math.isfinite(number) else 0
    if not 0 < ticks < 2**62:
        kinds = "like 30s, 15m, 1h, 1d or 1w" if dated else "a number in the unit of the times"
        raise InputError(f"expected a frequency, {kinds}, got {text!r}.")
    return ticks
