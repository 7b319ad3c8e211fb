"""The figures of what windows cost: errors of state and output, decisions, the task's metric."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from unrecur.report.audit_rows import QUANTITIES, Point, errors, levels, nested
from unrecur.report.axes import log_axis, powers
from unrecur.report.curves import band, line
from unrecur.report.rows import Row, value, values
from unrecur.report.style import COLOURS, GREY, Look, canvas

WORST = Look("measured: worst from k on", COLOURS[0], "solid", "circle")
TYPICAL = Look("median over sequences, 5 to 95%", COLOURS[5], "solid", "square")
PROVED = Look("proved", COLOURS[1], "dash", "diamond")
ON_INPUTS = Look("proved on these inputs", COLOURS[2], "dot", "triangle-up")
MEASURED = Look("measured at k", COLOURS[0], "solid", "circle")
FULL = Look("all inputs", GREY, "dot", "star")
FAR = 100.0  # times the largest error measured: bounds beyond would squeeze the rest
LEAST = 0.01  # of decisions at the top of their axis
MARKS = 12  # of a line with a point for every k


def memory_figure(found: Row) -> go.Figure | None:
    """Draw the errors of state and output against the window.

    Args:
        found: What was found about a recurrence.

    Returns:
        The figure, or None where nothing was measured or proved.
    """
    drawn = {of: _curves(found, of) for of in QUANTITIES}
    hidden = drawn["hidden state"]
    # A GRU shows its whole state: a panel more would say nothing.
    if hidden[WORST] == drawn["state"][WORST] and not (hidden[PROVED] or hidden[ON_INPUTS]):
        del drawn["hidden state"]
    shown = {of: curves for of, curves in drawn.items() if any(curves.values())}
    if not shown:
        return None
    figure = canvas([f"Error of the {of}" for of in shown], height=430)
    named: set[str] = set()
    for panel, (of, curves) in enumerate(shown.items(), start=1):
        measured = [y for _, y in (*curves[WORST], *curves[TYPICAL])]
        far = FAR * max(measured, default=0) or math.inf
        near = {look: curve for look, curve in curves.items() if any(y <= far for _, y in curve)}
        axis = log_axis([y for curve in near.values() for _, y in curve], at_most=far)
        edges = _edges(found, QUANTITIES[of], floor=10 ** axis["range"][0])
        if len(edges) > 1:
            figure.add_trace(band(edges, TYPICAL), row=1, col=panel)
        for look, curve in near.items():
            drawn = _error_line(curve, look, showlegend=look.name not in named)
            figure.add_trace(drawn, row=1, col=panel)
            named.add(look.name)
        figure.update_yaxes(axis, row=1, col=panel)
        _windows(figure, panel, [x for curve in near.values() for x, _ in curve])
        _limit(figure, panel, found, [x for x, _ in curves[WORST]])
    return figure


def _curves(found: Row, of: str) -> dict[Look, list[Point]]:
    """Gather the curves of one quantity; a logarithmic axis has no place for k = 0."""
    known = errors(found, of)
    curves = {
        WORST: known["onward"],
        TYPICAL: known["median"] if _several(found) else [],
        PROVED: known["proved"],
        ON_INPUTS: known["on_inputs"],
    }
    return {look: [p for p in curve if p[0] >= 1 and p[1] >= 0] for look, curve in curves.items()}


def _several(found: Row) -> bool:
    return (value(found, "data", "sequences") or 0) > 1


def _error_line(curve: Sequence[Point], look: Look, *, showlegend: bool) -> go.Scatter:
    """Draw one curve; an error of zero leaves a gap."""
    drawn = line([(x, y or None) for x, y in curve], look, showlegend)
    thin = look is TYPICAL
    drawn.line = {"color": look.colour, "dash": look.dash, "width": 1.2 if thin else 2.2}
    drawn.mode = "lines+markers"
    drawn.marker = {"symbol": look.symbol, "size": 7, "color": look.colour, "maxdisplayed": MARKS}
    drawn.hovertemplate = f"k = %{{x}}, {look.name}: %{{y:.3g}}<extra></extra>"
    return drawn


def _edges(found: Row, of: str, floor: float = 0.0) -> list[tuple[float, float, float]]:
    """Gather the band over sequences; its edges end at the axis' foot where they are zero."""
    rows = levels(found) if _several(found) else []
    low, high = (dict(nested(rows, "k", of, end)) for end in ("low", "high"))
    return [(k, max(low[k], floor), max(high[k], floor)) for k in low if k in high and k >= 1]


def _windows(figure: go.Figure, panel: int, ks: Sequence[float]) -> None:
    """Write powers of two along the axis of windows."""
    ticks = powers(round(max(ks, default=1)))
    figure.update_xaxes(
        type="log",
        tickvals=ticks,
        ticktext=[f"{tick:,}" for tick in ticks],
        title_text="k, inputs seen",
        row=1,
        col=panel,
    )


def _limit(figure: go.Figure, panel: int, found: Row, ks: Sequence[float]) -> None:
    """Mark where the measurement stops being believed."""
    limit = value(found, "curve", "limit")
    if limit and max(ks, default=0) > limit:
        figure.add_vline(
            x=limit, line={"color": GREY, "width": 1.2, "dash": "dashdot"}, row=1, col=panel
        )


def cost_figure(found: Row) -> go.Figure | None:
    """Draw the share of changed decisions, and the task's metric, against the window.

    Args:
        found: What was found about a recurrence.

    Returns:
        The figure, or None where nothing was decided or scored.
    """
    panels = {
        title: (curve, draw)
        for title, key, draw in (
            ("Decisions changed", "changed", _decisions),
            ("Metric", "metric", _metric),
        )
        if (curve := nested(levels(found), "k", key))
    }
    if not panels:
        return None
    figure = canvas(list(panels), height=380)
    for panel, (curve, draw) in enumerate(panels.values(), start=1):
        drawn = _error_line(curve, MEASURED, showlegend=panel == 1)
        drawn.y = [y for _, y in curve]  # zeros have a place here
        figure.add_trace(drawn, row=1, col=panel)
        _windows(figure, panel, [k for k, _ in curve])
        _limit(figure, panel, found, [k for k, _ in curve])
        draw(found, figure, panel)
    return figure


def _decisions(found: Row, figure: go.Figure, panel: int) -> None:
    edges = _edges(found, "changed_band")
    if len(edges) > 1:
        figure.add_trace(band(edges, TYPICAL), row=1, col=panel)
    most = max([high for _, _, high in edges] + values(levels(found), "changed"))
    figure.update_yaxes(tickformat=".3~p", range=[0, max(1.1 * most, LEAST)], row=1, col=panel)


def _metric(found: Row, figure: go.Figure, panel: int) -> None:
    full, ks = value(found, "outputs", "metric"), values(levels(found), "k")
    if full is not None:
        style = {"color": GREY, "width": 1.6, "dash": "dot"}
        ends = [(min(ks), full), (max(ks), full)]
        level = line(ends, FULL, showlegend=True, line=style)
        level.hovertemplate = "all inputs: %{y:.4g}<extra></extra>"
        figure.add_trace(level, row=1, col=panel)
