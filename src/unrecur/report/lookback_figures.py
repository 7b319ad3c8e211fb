"""The figures of lookback: the metric against k, and what the data alone say."""

from collections.abc import Sequence

import plotly.graph_objects as go

from unrecur.report.axes import powers
from unrecur.report.curves import band, line, ring
from unrecur.report.rows import Results, Row, entries, section, series, value, words
from unrecur.report.style import GREY, Look, canvas, look, scale
from unrecur.report.wording import metric_title

MOST_CURVES = 6  # in one panel
SHAPES = ("measurable", "margin")


def curve_figure(results: Results) -> go.Figure | None:
    """Draw the metric against the length of the window, with its band and the least windows.

    Args:
        results: The results of a lookback.

    Returns:
        The figure, or None where nothing was measured.
    """
    curve = _points(results)
    if not curve:
        return None
    figure = canvas([metric_title(results, "cross-validated")], height=430)
    drawn = look("all inputs", 0)
    edges = [(k, metric - error, metric + error) for k, metric, error in curve]
    figure.add_traces([band(edges, drawn), _marked([(k, m) for k, m, _ in curve], drawn)])
    metrics = {k: metric for k, metric, _ in curve}
    for place, (rule, name) in enumerate(
        (("measurable", "no measurable gain"), ("margin", "within the margin")), 1
    ):
        k = int(value(section(results, "least"), rule) or 0)
        if k in metrics:
            figure.add_trace(_ring(k, metrics[k], look(name, place)))
    none = [m for k, m in _every(results) if k == 0]
    for level in none:
        figure.add_hline(y=level, line={"color": GREY, "width": 1.3, "dash": "dot"})
    figure.update_yaxes(type=scale([metric for _, metric, _ in curve] + none))
    _lengths(figure, max(metrics))
    return figure


def horizons_figure(results: Results) -> go.Figure | None:
    """Draw the least windows of each horizon.

    Args:
        results: The results of a lookback.

    Returns:
        The figure, or None where there is one horizon.
    """
    found = entries(results, "horizons")
    if not found:
        return None
    figure = canvas(["Least number of last inputs, by how far ahead"], height=380)
    names = ("no measurable gain", "within the margin")
    for place, (rule, name) in enumerate(zip(SHAPES, names, strict=True)):
        points = [(value(one, "horizon") or 0, value(section(one, "least"), rule)) for one in found]
        figure.add_trace(_marked(points, look(name, place), True))
    figure.update_xaxes(title_text="steps ahead")
    figure.update_yaxes(rangemode="tozero")
    return figure


def columns_figure(results: Results) -> go.Figure | None:
    """Draw the metric against the length of the window of one column, the others kept.

    Args:
        results: The results of a lookback.

    Returns:
        The figure, or None where there is one column.
    """
    found = entries(results, "columns")
    if not found:
        return None
    figure = canvas(["Loss against the best window of the column, in % of the metric"], height=430)
    largest = 1
    # Those that matter most, where there are many.
    for place, entry in enumerate(sorted(found, key=_reach, reverse=True)[:MOST_CURVES]):
        best = min((m for _, m in _every(entry)), default=None)
        if not best:
            continue
        points = [(k, 100 * (metric / best - 1)) for k, metric in _every(entry)]
        figure.add_trace(_marked(points, look(words(entry, "column"), place), True))
        largest = max(largest, *(k for k, _ in points))
    figure.update_xaxes(title_text="k, last inputs of the column", tickvals=[0, *powers(largest)])
    return figure


def signal_figure(results: Results) -> go.Figure | None:
    """Draw the partial autocorrelations with their band, and the predictive information.

    Args:
        results: The results of a lookback.

    Returns:
        The figure, or None where there is neither.
    """
    partial = section(results, "partial_autocorrelation")
    points = entries(section(results, "information"), "points")
    lags = [(k, v) for k, v in enumerate(series(partial, "values"), 1) if v is not None]
    if not lags and not points:
        return None
    figure = canvas(
        ["Partial autocorrelation", "Information of the last k inputs, nats"], height=380
    )
    hover = {"hovertemplate": "lag %{x}: %{y:.3f}<extra></extra>", "showlegend": False}
    drawn = look("partial", 0)
    figure.add_trace(
        go.Bar(
            x=[k for k, _ in lags], y=[v for _, v in lags], marker={"color": drawn.colour}, **hover
        ),
        row=1,
        col=1,
    )
    edge = value(partial, "band")
    for level in (edge, -edge) if edge is not None else ():
        figure.add_hline(y=level, line={"color": GREY, "width": 1.3, "dash": "dot"}, row=1, col=1)
    nats = [(value(p, "k") or 0, value(p, "nats")) for p in points]
    figure.add_trace(_marked(nats, look("information", 1)), row=1, col=2)
    figure.update_xaxes(title_text="lag", row=1, col=1)
    largest = int(max((k for k, _ in nats), default=1))
    figure.update_xaxes(type="log", tickvals=powers(largest), title_text="k", row=1, col=2)
    return figure


def _every(entry: Row) -> list[tuple[int, float]]:
    """Read the metric of each length, no input at all included."""
    pairs = ((value(point, "k"), value(point, "metric")) for point in entries(entry, "points"))
    return [(int(k), metric) for k, metric in pairs if k is not None and metric is not None]


def _points(results: Results) -> list[tuple[int, float, float]]:
    """Read the metric and its standard error of each length above 0."""
    errors = {
        value(point, "k"): value(point, "standard_error") or 0.0
        for point in entries(results, "points")
    }
    return [(k, metric, errors[k]) for k, metric in _every(results) if k]


def _reach(entry: Row) -> float:
    """Say how far back a column matters."""
    return value(section(entry, "least"), "measurable") or 0.0


def _marked(
    points: Sequence[tuple[float, float | None]], drawn: Look, named: bool = False
) -> go.Scatter:
    """Draw a line with marks."""
    found = line(points, drawn, showlegend=named)
    found.mode = "lines+markers"
    found.line = {"color": drawn.colour, "width": 2.2}
    found.marker = {"symbol": drawn.symbol, "size": 8, "color": drawn.colour}
    found.hovertemplate = "%{fullData.name}<br>%{x}: %{y:.4g}<extra></extra>"
    return found


def _ring(k: int, metric: float, drawn: Look) -> go.Scatter:
    """Draw a ring around a least window, and name it."""
    found = ring(k, metric, drawn)
    found.marker.size = 17 if drawn.symbol == "square" else 25
    found.showlegend = True
    found.hovertemplate = f"%{{fullData.name}}: {k}<extra></extra>"
    return found


def _lengths(figure: go.Figure, largest: int) -> None:
    """Let the horizontal axis be of powers of two."""
    ticks = powers(largest)
    figure.update_xaxes(
        type="log", tickvals=ticks, ticktext=list(map(str, ticks)), title_text="k, last inputs"
    )
