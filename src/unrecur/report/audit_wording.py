"""What an audit says in sentences: the same on the page and in the terminal."""

from unrecur.report.audit_rows import KINDS, cell_name, cells, count_of, points
from unrecur.report.rows import Row, entries, lines, section, series, value, words
from unrecur.report.text import ABSENT, counted, number

FIRST = 6  # names that a sentence gives before it only counts
PLURALS = {"counter": "counters", "latch": "latches", "saturated": "saturated", "dead": "dead"}


def advice(found: Row) -> list[tuple[str, str]]:
    """Look up the advice.

    Args:
        found: What was found about a recurrence.

    Returns:
        What to do and the number it rests on, the most important first.
    """
    return [(words(a, "say"), words(a, "why")) for a in entries(found, "advice")]


def shape(found: Row) -> str:
    """Say in a line what the recurrence is, and on how much data it was seen.

    Args:
        found: What was found about a recurrence.

    Returns:
        The line.
    """
    units = sorted({round(size) for size in series(section(found, "sizes"), "units") if size})
    ends = dict.fromkeys((units[0], units[-1])) if units else {}
    parts = [
        words(found, "kind", "recurrence"),
        f"{_many(found, 'sizes', 'layers')} of {' to '.join(map(whole, ends)) or ABSENT} units",
    ]
    if section(found, "sizes").get("two_sided") is True:
        parts.append("both directions")
    seen = f"{_many(found, 'data', 'sequences')}, {_many(found, 'data', 'steps')}"
    return f"{', '.join(parts)}; {seen}"


def _many(found: Row, part: str, things: str) -> str:
    count = value(found, part, things)
    return (
        f"{ABSENT} {things}" if count is None else counted(round(count), things.removesuffix("s"))
    )


def whole(count: float | None) -> str:
    """Write a number that is whole, though JSON may hold it as 3.0.

    Args:
        count: The number, or None.

    Returns:
        The text; a dash for None.

    Example:
        >>> whole(1200.0), whole(-3.0)
        ('1,200', '-3')
    """
    return ABSENT if count is None else f"{count:,.0f}"


def half_life(life: float | None, lags: float | None) -> str:
    """Write a half-life in steps; a missing one is longer than was looked at.

    Args:
        life: The half-life, None where it was not reached.
        lags: The longest lag that was looked at.

    Returns:
        The text.

    Example:
        >>> half_life(2.5, 64), half_life(None, 64.0)
        ('2.50', 'over 64')
    """
    return number(life, 3) if life is not None else f"over {whole(lags)}"


def names(cell: Row, kind: str, longest: int) -> str:
    """Name the numbers of a cell's state of one kind.

    Args:
        cell: A cell.
        kind: One of `KINDS`.
        longest: How many to name.

    Returns:
        The names, with an ellipsis where there are more.
    """
    listed = lines(section(section(section(cell, "units"), "kinds"), kind), "names")[:longest]
    return ", ".join([*listed, *["…"] * (count_of(cell, kind) > len(listed))])


def never_forget(found: Row) -> str:
    """Say in a line which numbers of the state do not forget, and which do nothing.

    Args:
        found: What was found about a recurrence.

    Returns:
        One sentence.
    """
    said = []
    rows = cells(found)
    for cell, _ in rows:
        kinds = [
            f"{PLURALS[kind]} {count:,} ({names(cell, kind, FIRST)})"
            for kind in KINDS
            if (count := count_of(cell, kind))
        ]
        if kinds:
            where = f"{cell_name(cell)}: " if len(rows) > 1 else ""
            said.append(where + "; ".join(kinds))
    return ". ".join(said) + "." if said else "Every number of the state forgets."


def flow_sentences(found: Row) -> str:
    """Say where gradients vanish or explode.

    Args:
        found: What was found about a recurrence.

    Returns:
        A sentence for each cell of which either is known.
    """
    said = []
    for cell, _ in cells(found):
        where, flow = f"in “{cell_name(cell)}”", section(cell, "flow")
        vanishes, explodes = value(flow, "vanishes"), value(flow, "explodes")
        if explodes is not None:
            said.append(f"It explodes {where}: 1,000 times larger {whole(explodes)} steps back.")
        if vanishes is not None:
            said.append(f"Less than a thousandth is left {whole(vanishes)} steps back {where}.")
        if vanishes is None and explodes is None:
            lags = max((lag for lag, _ in points(flow, "lags", "gain")), default=None)
            said.append(f"It neither vanishes nor explodes within {whole(lags)} steps {where}.")
    return " ".join(said)
