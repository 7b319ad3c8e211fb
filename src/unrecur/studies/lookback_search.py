"""Which windows lookback measures: powers of two, then those between where the answer lies."""

from collections.abc import Callable, Iterable
from functools import partial

from unrecur.studies.listener import Listener
from unrecur.studies.lookback_points import WHOLE, Points
from unrecur.studies.lookback_rules import Curve, unsettled


def ladder(longest: int) -> list[int]:
    """List the first lengths that are measured.

    Args:
        longest: The longest window.

    Returns:
        0, the powers of two below it, and itself.

    Example:
        >>> ladder(12)
        [0, 1, 2, 4, 8, 12]
    """
    powers = [2**power for power in range(longest.bit_length()) if 2**power < longest]
    return [0, *powers, longest]


def search_whole(points: Points, margin: float, listener: Listener) -> None:
    """Measure windows of all columns until the least ones are known.

    Those of single horizons are searched too where points are cheap: of the linear model.

    Args:
        points: Measures, and keeps what it finds.
        margin: How much worse than the best is as good.
        listener: Hears how it goes.
    """

    def measure(k: int) -> None:
        listener.stage(f"the last {k} inputs")
        points.measure(k)
        listener.end({"k": k, "metric": points.curve().metric(k)})

    first = ladder(points.steps.longest)
    listener.start(len(first), sum(k in points.whole for k in first))
    groups = [WHOLE, *(map(str, points.steps.horizons) if points.form == "linear" else ())]
    _search(measure, first, [partial(points.curve, group) for group in groups], margin)


def search_column(
    points: Points, column: str, full: int, margin: float, listener: Listener
) -> None:
    """Measure windows of one column, the others at a window of their own.

    Args:
        points: Measures, and keeps what it finds.
        column: The column.
        full: The window of the others, and the longest of the column.
        margin: How much worse than the best is as good.
        listener: Hears how it goes.
    """

    def measure(own: int) -> None:
        listener.stage(f"the last {own} of '{column}'")
        points.measure(full, column, own)

    _search(measure, ladder(full), [partial(points.column_curve, column, full)], margin)


def _search(
    measure: Callable[[int], None],
    first: Iterable[int],
    curves: Iterable[Callable[[], Curve]],
    margin: float,
) -> None:
    """Measure the first lengths, then those that curves leave open."""
    for k in first:
        measure(k)
    for curve in curves:
        while (between := unsettled(curve(), margin)) is not None:
            measure(between)
