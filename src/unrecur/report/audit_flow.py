"""The figure of gradients: how much of one is left after so many steps, and what reaches inputs."""

import plotly.graph_objects as go

from unrecur.report.audit_rows import Point, cells, points
from unrecur.report.axes import log_axis
from unrecur.report.curves import band, line
from unrecur.report.rows import Row, section, value
from unrecur.report.style import COLOURS, GREY, Look, canvas
from unrecur.report.text import counted

PATHS = (  # dashes stand for paths, colours and marks for cells
    ("gain", "whole", "solid", 2.2),
    ("highway", "through gates alone", "dash", 1.6),
    ("hidden", "through the weights", "dot", 1.6),
)
GONE = 1e-9  # of the largest: what is smaller lies below the axis
MARKS = 8
INPUTS = Look("to the inputs", COLOURS[0], "solid", "circle")


def gradients_figure(found: Row) -> go.Figure | None:
    """Draw the gain of gradients against the lag, of the state and of the inputs.

    Args:
        found: What was found about a recurrence.

    Returns:
        The figure, or None where no gradients were followed.
    """
    flows = [(section(cell, "flow"), look) for cell, look in cells(found)]
    flows = [(flow, look) for flow, look in flows if _curve(flow, "gain")]
    inputs = section(found, "inputs")
    to_inputs = _positive(points(inputs, "lags", "norm"))
    titles = ["Gain of the state's gradient"] * bool(flows) + ["Gradient at each input"] * bool(
        to_inputs
    )
    if not titles:
        return None
    figure = canvas(titles, height=430)
    if flows:
        _draw_cells(figure, flows)
    if to_inputs:
        _draw_inputs(figure, len(titles), to_inputs, value(inputs, "reach"))
    figure.update_xaxes(title_text="lag, steps back")
    return figure


def _curve(flow: Row, name: str) -> list[Point]:
    return _positive(points(flow, "lags", name))


def _positive(curve: list[Point]) -> list[Point]:
    """Leave out zeros, which have no place on a logarithmic axis."""
    return [(x, y) for x, y in curve if y > 0]


def _draw_cells(figure: go.Figure, flows: list[tuple[Row, Look]]) -> None:
    seen: list[Point] = []
    for flow, look in flows:
        edges = _error_band(flow)
        if edges:
            figure.add_trace(band(edges, look), row=1, col=1)
        for name, path, dash, width in PATHS:
            curve = _curve(flow, name)
            seen += curve
            drawn = line(curve, look, showlegend=name == "gain")
            drawn.line = {"color": look.colour, "width": width, "dash": dash}
            if name == "gain":
                drawn.mode = "lines+markers"
                drawn.marker = {"symbol": look.symbol, "size": 8, "maxdisplayed": MARKS}
            drawn.hovertemplate = (
                f"%{{fullData.name}}, {path}<br>lag %{{x}}: %{{y:.3g}}<extra></extra>"
            )
            figure.add_trace(drawn, row=1, col=1)
    if any(_curve(flow, name) for flow, _ in flows for name, *_ in PATHS[1:]):
        for _, path, dash, width in PATHS:
            key = Look(path, GREY, dash, "circle")
            style = {"color": GREY, "dash": dash, "width": width}
            figure.add_trace(line([(0, None)], key, showlegend=True, line=style), row=1, col=1)
    _fit(figure, 1, seen)


def _error_band(flow: Row) -> list[tuple[float, float, float]]:
    """Gather twice the standard error of gains that were sampled."""
    if flow.get("exact") is not False:
        return []
    errors = dict(points(flow, "lags", "error"))
    both = ((lag, gain, 2 * errors.get(lag, 0.0)) for lag, gain in _curve(flow, "gain"))
    return [(lag, max(gain - wide, 0.05 * gain), gain + wide) for lag, gain, wide in both]


def _draw_inputs(figure: go.Figure, panel: int, curve: list[Point], reach: float | None) -> None:
    drawn = line(curve, INPUTS)
    drawn.mode = "lines+markers"
    drawn.line = {"color": INPUTS.colour, "width": 2}
    drawn.marker = {"symbol": "circle", "size": 6, "maxdisplayed": 4 * MARKS}
    drawn.hovertemplate = "lag %{x}: %{y:.3g}<extra></extra>"
    figure.add_trace(drawn, row=1, col=panel)
    ends = _fit(figure, panel, curve)
    if reach is None:
        return
    # Inputs to come, which a backward layer sees, have lags below 0 and count for the reach too.
    sides = (1,) if min(x for x, _ in curve) >= 0 else (1, -1)
    look = Look(f"99% within {counted(round(reach), 'input')}", COLOURS[1], "dash", "diamond")
    for side in sides:
        upright = [(side * (reach - 0.5), 10**end) for end in ends]
        style = {"color": look.colour, "width": 1.8, "dash": "dash"}
        mark = line(upright, look, showlegend=side == 1, line=style, hoverinfo="skip")
        figure.add_trace(mark, row=1, col=panel)


def _fit(figure: go.Figure, panel: int, curve: list[Point]) -> list[float]:
    """Show the part of a panel in which something is left."""
    largest = max(y for _, y in curve)
    left = [x for x, y in curve if y >= GONE * largest]
    axis = log_axis([y for _, y in curve], at_least=GONE * largest)
    room = 0.02 * (max(left) - min(left)) or 1
    figure.update_yaxes(axis, row=1, col=panel)
    figure.update_xaxes(range=[min(left) - room, max(left) + room], row=1, col=panel)
    return axis["range"]
