"""The numbers of an audit's figures as tables, and the tables that stand for themselves."""

from unrecur.report.audit_rows import (
    KINDS,
    QUANTITIES,
    cell_name,
    cells,
    count_of,
    errors,
    levels,
    points,
)
from unrecur.report.audit_spectra import eigenvalues, spectra
from unrecur.report.audit_wording import PLURALS, half_life, names, whole
from unrecur.report.rows import Row, entries, section, series, value, words
from unrecur.report.sheets import DIGITS, Sheet
from unrecur.report.text import ABSENT, number, percent

NAMED = 64  # numbers of a state that a table names of each kind


def memory_sheet(found: Row) -> Sheet:
    """Tabulate the errors of state and output against the window.

    Args:
        found: What was found about a recurrence.

    Returns:
        One row for each quantity and window.
    """
    rows: list[list[str]] = []
    for of in QUANTITIES:
        columns = [dict(curve) for curve in errors(found, of).values()]
        rows += [
            [of, whole(k), *(number(column.get(k), DIGITS) for column in columns)]
            for k in sorted(set().union(*columns))
        ]
    measured = ("worst from k on", "worst at k", "5% of sequences", "median", "95%")
    heads = ("error of the", "k", *measured, "proved", "proved on these inputs")
    return Sheet(columns=heads, rows=rows, names=2)


def cost_sheet(found: Row) -> Sheet:
    """Tabulate changed decisions and the metric against the window.

    Args:
        found: What was found about a recurrence.

    Returns:
        One row a window, and one for all inputs.
    """
    rows = [
        [whole(value(level, "k")), percent(value(level, "changed"))]
        + [percent(value(level, "changed_band", part)) for part in ("low", "median", "high", "max")]
        + [number(value(level, "metric"), DIGITS)]
        for level in levels(found)
    ]
    full = value(found, "outputs", "metric")
    if full is not None:
        rows.append(["all", *[ABSENT] * 5, number(full, DIGITS)])
    shares = ("changed", "5% of sequences", "median", "95%", "largest")
    return Sheet(columns=("k", *shares, "metric"), rows=rows)


def units_sheet(found: Row) -> Sheet:
    """Tabulate the half-life of every number of the state.

    Args:
        found: What was found about a recurrence.

    Returns:
        One row a number.
    """
    rows = []
    for cell, _ in cells(found):
        units = section(cell, "units")
        lives, left = series(units, "half_life"), series(units, "remembered")
        left += [None] * (len(lives) - len(left))
        rows += [
            [cell_name(cell), whole(place), half_life(life, value(units, "lags")), percent(share)]
            for place, (life, share) in enumerate(zip(lives, left, strict=False))
        ]
    return Sheet(columns=("cell", "number", "half-life, steps", "still wrong"), rows=rows, names=2)


def kinds_sheet(found: Row) -> Sheet:
    """Name the numbers that do not forget or do nothing, and those that remember longest.

    Args:
        found: What was found about a recurrence.

    Returns:
        One row for each cell and kind.
    """
    rows = []
    for cell, _ in cells(found):
        units = section(cell, "units")
        rows += [
            [cell_name(cell), PLURALS[kind], f"{count:,}", names(cell, kind, NAMED)]
            for kind in KINDS
            if (count := count_of(cell, kind))
        ]
        longest = [
            f"{words(unit, 'name')} {half_life(value(unit, 'half_life'), value(units, 'lags'))}"
            for unit in entries(units, "longest")
        ]
        if longest:
            kept = [cell_name(cell), "longest half-lives, steps", str(len(longest))]
            rows.append([*kept, ", ".join(longest)])
    return Sheet(columns=("cell", "what", "how many", "which"), rows=rows, names=2, prose=(3,))


def gradients_sheet(found: Row) -> Sheet:
    """Tabulate the gain of gradients against the lag.

    Args:
        found: What was found about a recurrence.

    Returns:
        One row for each cell and lag, then one for each lag of the inputs.
    """
    rows = []
    for cell, _ in cells(found):
        flow = section(cell, "flow")
        columns = [
            dict(points(flow, "lags", name)) for name in ("gain", "error", "highway", "hidden")
        ]
        name = cell_name(cell)
        rows += [
            [name, whole(lag), *(number(column.get(lag), DIGITS) for column in columns)]
            for lag in sorted(set().union(*columns))
        ]
    for lag, norm in points(section(found, "inputs"), "lags", "norm"):
        rows.append(["at the inputs", whole(lag), number(norm, DIGITS), *[ABSENT] * 3])
    paths = ("gradient", "its standard error", "through gates alone", "through the weights")
    return Sheet(columns=("cell", "lag", *paths), rows=rows, names=2)


def gates_sheet(found: Row) -> Sheet:
    """Tabulate the histograms of the gates.

    Args:
        found: What was found about a recurrence.

    Returns:
        One row for each cell, gate and bin.
    """
    rows = []
    for cell, _ in cells(found):
        for gate in entries(cell, "gates"):
            shares = series(gate, "histogram")
            for place, share in enumerate(shares):
                ends = (place / len(shares), (place + 1) / len(shares))
                both = [cell_name(cell), words(gate, "name")]
                rows.append([*both, *(f"{end:.3g}" for end in ends), percent(share)])
    return Sheet(columns=("cell", "gate", "from", "to", "share"), rows=rows, names=2)


def gate_table(found: Row) -> Sheet:
    """Summarise the gates.

    Args:
        found: What was found about a recurrence.

    Returns:
        One row for each cell and gate.
    """
    rows = []
    for cell, _ in cells(found):
        for gate in entries(cell, "gates"):
            spread = [*series(gate, "quantiles"), None, None, None][:3]
            numbers = [number(size, 3) for size in (value(gate, "mean"), *spread)]
            shares = [percent(value(gate, key)) for key in ("open", "shut")]
            both = [cell_name(cell), words(gate, "name")]
            rows.append([*both, *numbers, *shares])
    sizes = ("mean", "5%", "median", "95%", "open, over 0.9", "shut, below 0.1")
    return Sheet(columns=("cell", "gate", *sizes), rows=rows, names=2)


def spectra_sheet(found: Row) -> Sheet:
    """Tabulate eigenvalues, singular values and Lyapunov exponents.

    Args:
        found: What was found about a recurrence.

    Returns:
        One row for each cell, block of weights and place, then one for each exponent.
    """
    rows = []
    for each in spectra(found):
        roots, singular = eigenvalues(each.block), series(each.block, "singular")
        for place in range(max(len(roots), len(singular))):
            root = roots[place] if place < len(roots) else (None, None)
            size = singular[place] if place < len(singular) else None
            numbers = [number(part, DIGITS) for part in (*root, size)]
            rows.append([each.cell, words(each.block, "name"), str(place + 1), *numbers, ABSENT])
    for cell, _ in cells(found):
        for place, exponent in enumerate(series(cell, "exponents"), start=1):
            exponents = [*[ABSENT] * 3, number(exponent, DIGITS)]
            rows.append([cell_name(cell), ABSENT, str(place), *exponents])
    heads = ("cell", "weights of", "place", "eigenvalue, real", "imaginary", "singular value")
    return Sheet(columns=(*heads, "Lyapunov exponent"), rows=rows, names=2)
