"""Columns of a table: which are numbers and which are text, and every value checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unrecur._check import CorruptFileError, InputError, extra
from unrecur.data.table_files import Source, open_table
from unrecur.data.times import Clock, read_clock

# Decimal commas, percent signs, currencies, thousands apart.
OTHER_NOTATION = (
    r"^\s*[$€£¥]?\s*[-+]?[$€£¥]?\s*"
    r"(\d+|\d+\.\d*|\d*,\d+|[1-9]\d{0,2}([.,' ]\d{3})+([.,]\d+)?)\s*[%$€£¥]?\s*$"
)
YEARS = (1900, 2100)
# Of numbers with so many digits the range of the last two: months, days, hours, minutes, seconds.
CALENDAR = {6: (1, 12), 8: (1, 31), 10: (0, 23), 12: (0, 59), 14: (0, 59)}
LARGEST_NUMBER = 1e30  # float32 ends at 3e38; differences and squares have to fit as well


@dataclass(frozen=True)
class Table:
    """Columns of a table, in memory.

    Attributes:
        frame: Polars data frame: numbers as Float64 (null where missing), text as String, and the
            times, if any, as Int64 ticks.
        source: Where it comes from.
        clock: How the times were read; None without.
    """

    frame: Any
    source: Source
    clock: Clock | None = None


def read_table(
    origin: Any,
    columns: Sequence[str] | None = None,
    time: str | None = None,
    text: Sequence[str] = (),
) -> Table:
    """Read columns of a table: CSV and TSV (also .gz), Parquet, JSON lines, npy, npz.

    A column of text is one of numbers if more than half of its values are; then all must be.

    Args:
        origin: The path of a file, or a polars data frame; see `open_table`.
        columns: Which columns; None for all.
        time: The column with the times, if any.
        text: Columns that are taken as text whatever they hold, as identifiers are.

    Returns:
        The table.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is of another kind, too large or malformed; a column is missing or holds
            something else than numbers or text; or a number or a time cannot be read.
        CorruptFileError: It is damaged.
    """
    polars = extra("polars", "tables")
    source = open_table(origin)
    try:
        return _read(source, columns, time, text)
    # Of gzip files that are padded polars says so in an OSError.
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException, OSError) as error:
        cause = " ".join(str(error).split())[:200]
        raise CorruptFileError(
            f"{source.name} cannot be read as a table ({cause}). Is it whole?"
        ) from error


def _read(
    source: Source, columns: Sequence[str] | None, time: str | None, text: Sequence[str]
) -> Table:
    """Choose the columns, say how each is read, read them, and check them."""
    polars = extra("polars", "tables")
    schema = source.scan.collect_schema()
    roles = [*text, *([time] if time else [])]
    names = list(dict.fromkeys([*(list(schema) if columns is None else columns), *roles]))
    for name in names:
        if name not in schema:
            raise InputError(
                f"{source.name}: expected a column '{name}', got the columns "
                f"{', '.join(list(schema)[:20])}."
            )
    _check_names(source, names)
    read = {name: polars.col(name).cast(polars.String) for name in text}
    numbers, doubtful = _expressions(source, [name for name in names if name not in roles])
    read |= numbers
    clock = _clock(source, time) if time else None
    if time and clock:
        read[time] = clock.ticks
    frame = source.scan.select(read[name].alias(name) for name in names).collect(engine="streaming")
    if not frame.height:
        raise InputError(f"{source.name}: expected rows, got none.")
    table = Table(frame, source, clock)
    for name in names:
        if name in doubtful or (name == time and frame[name].null_count()):
            _refuse_unread(table, name, read[name], name == time)
        if frame.schema[name] == polars.Float64:
            _check_size(table, name)
    return table


def _check_names(source: Source, names: Sequence[str]) -> None:
    """Refuse names that polars takes for patterns, and so for other columns."""
    for name in names:
        if name == "*" or (name.startswith("^") and name.endswith("$")):
            raise InputError(
                f"{source.name}: expected plain names of columns, got '{name}'. Rename it."
            )


def _expressions(source: Source, names: list[str]) -> tuple[dict[str, Any], set[str]]:
    """Say how the values of each column become numbers or text, and where some do not."""
    polars = extra("polars", "tables")
    schema = source.scan.collect_schema()
    found, parsed, doubtful = {}, {}, set()
    for name in names:
        column, dtype = polars.col(name), schema[name]
        if dtype.is_numeric() or dtype in (polars.Boolean, polars.Null):
            found[name] = column.cast(polars.Float64).fill_nan(None)
        elif dtype in (polars.String, polars.Categorical, polars.Enum):
            found[name] = column.cast(polars.String)
            parsed[name] = _number(found[name])
        else:
            raise InputError(
                f"{source.name}, column '{name}': expected numbers or text, got {dtype}. Name the "
                "columns to use (inputs), or convert it; the column of times is named by time."
            )
    if parsed:
        counts = source.scan.select(
            polars.struct(known=polars.col(name).count(), parsed=number.count()).alias(name)
            for name, number in parsed.items()
        ).collect(engine="streaming")
        for name, number in parsed.items():
            count = counts[name][0]
            if 2 * count["parsed"] > count["known"] or not count["known"]:
                found[name] = number
                doubtful |= {name} if count["parsed"] < count["known"] else set()
            else:  # the pattern is slow: only columns of text are held to it
                _check_notation(source, name, found[name], count["known"] / 2 - count["parsed"])
    return found, doubtful


def _is_otherwise(text: Any) -> Any:
    """Mark numbers that are written in another way than Python's."""
    return _number(text).is_null() & text.str.contains(OTHER_NOTATION)


def _check_notation(source: Source, name: str, text: Any, allowed: float) -> None:
    """Name the first number that is written in another way, where more than so many are."""
    count = source.scan.select(_is_otherwise(text).sum()).collect(engine="streaming").item()
    if count <= allowed:
        return
    rows = source.scan.select(value=text, other=_is_otherwise(text))
    first = rows.with_row_index("row").filter("other").head(1).collect(engine="streaming")
    raise InputError(
        f"{source.where(first['row'][0])}, column '{name}': expected a number like 1234.5, got "
        f"{first['value'][0]!r}. Write decimal points, and no percent signs, currencies or marks "
        "of thousands; where it is no number, put a letter before it, or leave the column out."
    )


def _number(text: Any) -> Any:
    """Read numbers from a column of text; null where a value is none."""
    polars = extra("polars", "tables")
    return text.str.strip_chars().cast(polars.Float64, strict=False).fill_nan(None)


def _clock(source: Source, time: str) -> Clock:
    """Say how the times are read."""
    polars = extra("polars", "tables")
    column, dtype = polars.col(time), source.scan.collect_schema()[time]
    known = source.scan.select(column).filter(column.is_not_null())
    first = known.head(1).collect(engine="streaming")
    if not first.height:
        raise InputError(f"{source.name}, column '{time}': expected times, got an empty column.")
    if dtype == polars.String and first.select(_number(column)).item() is not None:
        column, dtype = _number(column), polars.Float64()
    whole = (
        not dtype.is_float()
        or known.select((column % 1 == 0).all()).collect(engine="streaming").item()
    )
    if whole and dtype.is_numeric():
        _refuse_calendar(source, time, known.select(value=column.cast(polars.Int64, strict=False)))
    try:
        return read_clock(time, column, dtype, first.item(), whole)
    except InputError as error:
        raise InputError(f"{source.name}, {error}") from error


def _refuse_calendar(source: Source, time: str, known: Any) -> None:
    """Refuse numbers that are all dates without marks between, as 20160701: they are no counts."""
    polars = extra("polars", "tables")
    value = polars.col("value")
    dates = []
    for digits in CALENDAR:
        valid, rest = polars.lit(True), value
        for unit in range(digits, 4, -2):
            low, high = CALENDAR[unit]
            valid &= (rest % 100).is_between(low, high)
            rest //= 100
        valid &= rest.is_between(*YEARS)
        dates.append(valid.fill_null(False).all())
    found = known.select(dates=polars.any_horizontal(dates), first=value.first())
    row = found.collect(engine="streaming")
    if row["dates"][0]:
        raise InputError(
            f"{source.name}, column '{time}': expected times, got numbers that read as dates "
            f"without marks between, like {row['first'][0]}. Write them like 2016-07-01 13:30."
        )


def _refuse_unread(table: Table, name: str, read: Any, is_time: bool) -> None:
    """Name the first value that could not be read."""
    polars = extra("polars", "tables")
    source, column = table.source, polars.col(name)
    expected = "a time in the form of the first" if is_time else "a number"
    known = column.is_not_null()
    if source.scan.collect_schema()[name].is_float():
        known &= column.is_not_nan()
    rows = source.scan.select(value=column, unread=known & read.is_null())
    wrong = rows.with_row_index("row").filter("unread").head(1).collect(engine="streaming")
    if wrong.height:
        raise InputError(
            f"{source.where(wrong['row'][0])}, column '{name}': expected {expected}, as most "
            f"values of the column are, got {wrong['value'][0]!r}. Mend the value, or leave it "
            "empty."
        )
    row = int(table.frame[name].is_null().arg_max())
    raise InputError(
        f"{source.where(row)}, column '{name}': expected {expected}, got an empty cell. Every row "
        "needs its time."
    )


def _check_size(table: Table, name: str) -> None:
    """Check that numbers are finite, and small enough to be computed with."""
    large = table.frame[name].abs() > LARGEST_NUMBER
    if large.any():
        row = int(large.arg_max())
        raise InputError(
            f"{table.source.where(row)}, column '{name}': expected finite numbers up to "
            f"{LARGEST_NUMBER:g}, got {table.frame[name][row]}. Leave a missing value empty."
        )
