"""Recurrence and longer context told apart: windows of k inputs against all."""

from collections.abc import Sequence

import plotly.graph_objects as go

from unrecur.report.axes import powers
from unrecur.report.rows import Results, Row, entries, section, value, words
from unrecur.report.sheets import DIGITS, Sheet
from unrecur.report.style import COLOURS, GREY, SHADE, Look, canvas
from unrecur.report.text import ABSENT, number
from unrecur.report.wording import interval, metric_title

LINES = {
    "feed_forward_metric": Look("feed-forward, sees k", COLOURS[0], "solid", "circle"),
    "truncated_metric": Look("recurrent, truncated to k", COLOURS[1], "dash", "square"),
    "full_metric": Look("recurrent, sees all", GREY, "dot", "diamond"),
}
FACTORS = {
    "architecture": Look("architecture: feed-forward or not", COLOURS[0], "solid", "circle"),
    "context": Look("context: k inputs or all", COLOURS[1], "solid", "square"),
}
BESIDE = {"architecture": 0.97, "context": 1.03}  # so that neither whisker hides the other


def contexts(results: Results) -> list[tuple[int, Row]]:
    """Look up the windows at which the families were compared.

    Args:
        results: The results of a study.

    Returns:
        Each k with what was found, in order of k.
    """
    found = [(int(k), entry) for entry in entries(results, "context") if (k := value(entry, "k"))]
    return sorted(((k, entry) for k, entry in found if k > 0), key=lambda pair: pair[0])


def context_figure(results: Results) -> go.Figure | None:
    """Draw the metrics of both families at each k, and what architecture and context cost.

    Args:
        results: The results of a study.

    Returns:
        The figure, or None where families were compared at no k.
    """
    found = contexts(results)
    if not found:
        return None
    titles = [metric_title(results, "test"), "Relative differences, with intervals"]
    figure = canvas(titles, height=430)
    for key, look in LINES.items():
        figure.add_trace(_line(found, key, look), row=1, col=1)
    for key, look in FACTORS.items():
        figure.add_trace(_whiskers(found, key, look), row=1, col=2)
    margin = value(results, "verdict", "margin")
    if margin is not None:
        figure.add_hrect(
            y0=-margin, y1=margin, fillcolor=SHADE, line_width=0, layer="below", row=1, col=2
        )
    figure.add_hline(y=0, line={"color": GREY, "width": 1}, row=1, col=2)
    ticks = powers(max(k for k, _ in found))
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=ticks, title_text="k, inputs seen")
    figure.update_yaxes(tickformat="+.3~p", row=1, col=2)
    return figure


def _line(found: Sequence[tuple[int, Row]], key: str, look: Look) -> go.Scatter:
    return go.Scatter(
        x=[k for k, _ in found],
        y=[value(entry, key) for _, entry in found],
        mode="lines+markers",
        line={"color": look.colour, "width": 2.2, "dash": look.dash},
        marker={"color": look.colour, "symbol": look.symbol, "size": 8},
        name=look.name,
        showlegend=True,
        hovertemplate="%{fullData.name}<br>k = %{x}: %{y:.4g}<extra></extra>",
    )


def _whiskers(found: Sequence[tuple[int, Row]], key: str, look: Look) -> go.Scatter:
    ends = [
        [value(entry, key, end) for end in ("relative_difference", "low", "high")]
        for _, entry in found
    ]
    reach = [
        (high - middle, middle - low)
        if middle is not None and low is not None and high is not None
        else (None, None)
        for middle, low, high in ends
    ]
    return go.Scatter(
        x=[k * BESIDE[key] for k, _ in found],
        y=[middle for middle, _, _ in ends],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [up for up, _ in reach],
            "arrayminus": [down for _, down in reach],
            "color": look.colour,
        },
        mode="markers",
        marker={"color": look.colour, "symbol": look.symbol, "size": 9},
        customdata=[k for k, _ in found],
        name=look.name,
        showlegend=True,
        hovertemplate="%{fullData.name}<br>k = %{customdata}: %{y:+.2%}<extra></extra>",
    )


def context_sheet(results: Results) -> Sheet:
    """Tabulate the comparisons at each k.

    Args:
        results: The results of a study.

    Returns:
        One row a k.
    """
    heads = ("feed-forward on k", "recurrent on k", "recurrent on all")
    return Sheet(
        columns=("k", "feed-forward", "recurrent", *heads, *FACTORS),
        rows=[
            [str(k), words(entry, "feed_forward", ABSENT), words(entry, "recurrent", ABSENT)]
            + [number(value(entry, key), DIGITS) for key in LINES]
            + [interval(section(entry, key)) for key in FACTORS]
            for k, entry in contexts(results)
        ],
        names=3,
        about=(1, 2),
    )
