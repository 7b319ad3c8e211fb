"""What a model without recurrence gives up, and what it gains, in sentences made from rows."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from unrecur.studies.verdict import Comparison

Row = Mapping[str, Any]

CLEAR = 1.1  # ratios of speeds and sizes nearer to 1 than this are not worth a sentence

# What is compared: where it stands in a row, whether more is better, and how it is said.
RATIOS: tuple[tuple[tuple[str, str], bool, str], ...] = (
    (("speed", "train_steps_per_second"), True, "steps of training a second"),
    (("speed", "forward_steps_per_second"), True, "steps of whole sequences a second"),
    (("speed", "step_seconds"), False, "the time of a streaming step"),
    (("bytes", "state"), False, "the memory of a stream"),
)


def metric_sentences(entry: Comparison, unit: str) -> tuple[list[str], list[str]]:
    """Say what a comparison gives up and gains of the metric.

    Args:
        entry: The comparison.
        unit: The unit of the metric.

    Returns:
        The sentences of what is given up, and of what is gained.
    """
    metrics = f"{entry.feed_forward_metric:.4g} against {entry.recurrent_metric:.4g} {unit}"
    seen = f"{metrics.strip()}, {_signed(entry.relative_difference)} as seen"
    if entry.high <= 0:
        return [], [f"At least {_percent(-entry.high)} of the metric ({seen})."]
    if entry.low > 0:
        ends = f"Between {_percent(entry.low)} and {_percent(entry.high)}"
        return [f"{ends} of the metric ({seen})."], []
    return [f"At most {_percent(entry.high)} of the metric ({seen})."], []


def ratio_sentences(ours: Sequence[Row], theirs: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Say where a model is slower or larger than another, and where faster or smaller.

    Args:
        ours: The rows of the one.
        theirs: The rows of the other.

    Returns:
        The sentences of what is given up, and of what is gained.
    """
    gives_up: list[str] = []
    gains: list[str] = []
    for (part, key), more_is_better, what in RATIOS:
        one, other = _median(ours, part, key), _median(theirs, part, key)
        if not one or not other:
            continue
        ratio = one / other
        if 1 / CLEAR < ratio < CLEAR:
            continue
        better = (ratio > 1) is more_is_better
        (gains if better else gives_up).append(f"{_times(ratio)} {what}.")
    return gives_up, gains


def field_sentences(k: int, record: Row | None) -> tuple[list[str], list[str]]:
    """Say what a model that sees k inputs gives up and gains by that.

    Args:
        k: How many inputs it sees.
        record: Where it is the recurrent model on its last k inputs, how far its outputs are from
            those on all inputs: "output_error_max" as measured, and "bound", None where none is
            proved.

    Returns:
        The sentences of what is given up, and of what is gained.
    """
    inputs = "the present input" if k == 1 else f"the last {k} inputs"
    places = {1: "before the present input", 2: "more than one input back"}
    before = places.get(k, f"more than {k - 1} inputs back")
    gains = [f"Any output can be made of {inputs} alone, whatever came before: by construction."]
    if record is not None and record["bound"] is not None:
        gains.append(
            f"Proved: no output differs by more than {record['bound']:.2g} from that on all inputs "
            f"(measured: {record['output_error_max']:.2g})."
        )
    return [f"Whatever stands {before}."], gains


def pays_until(
    windows: Mapping[str, int], comparisons: Sequence[Comparison], margin: float
) -> int | None:
    """Find the number of inputs beyond which recurrence stops paying.

    Args:
        windows: How many inputs each candidate sees, where that is finite.
        comparisons: The candidates against the recurrent model.
        margin: Differences up to this are none in practice.

    Returns:
        The least k of those candidates that are shown to be at most the margin worse.
    """
    good = [
        windows[entry.feed_forward]
        for entry in comparisons
        if entry.high < margin and entry.feed_forward in windows
    ]
    return min(good, default=None)


def _median(rows: Sequence[Row], part: str, key: str) -> float | None:
    found = [value for row in rows if (value := row.get(part, {}).get(key)) is not None]
    return median(found) if found else None


def _times(ratio: float) -> str:
    return f"{ratio:.2g} times" if ratio < 100 else f"{ratio:,.0f} times"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _signed(share: float) -> str:
    return f"{100 * share:+.2f} %"
