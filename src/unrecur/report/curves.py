"""The lines that one model adds to a figure of curves: training, memory, output error."""

from collections.abc import Sequence

import plotly.graph_objects as go

from unrecur.report.rows import Row
from unrecur.report.series import Window, history_band, window_metrics
from unrecur.report.style import Look


def training_lines(rows: Sequence[Row], part: str, look: Look) -> list[go.Scatter]:
    """Draw a training curve: the median over seeds and the band from the lowest to the highest.

    Args:
        rows: The rows of one model.
        part: "train" or "valid".
        look: How the model is drawn.

    Returns:
        The band and the median; nothing where no epoch was finished.
    """
    edges = history_band(rows, part)
    if not edges:
        return []
    thick = {"color": look.colour, "width": 2.2, "dash": look.dash}
    middles = [(epoch, middle) for epoch, _, middle, _ in edges]
    median = line(middles, look, line=thick, showlegend=part == "train")
    if len(edges) == 1:  # a budget of less than an epoch: one point is no line
        median.mode, median.marker = "markers", {"symbol": look.symbol, "color": look.colour}
    median.hovertemplate = "%{fullData.name}<br>epoch %{x}: %{y:.4g}<extra></extra>"
    spread = [(epoch, low, high) for epoch, low, _, high in edges]
    return [*([band(spread, look)] if len(rows) > 1 else []), median]


def memory_lines(curve: Sequence[Window], full: float | None, look: Look) -> list[go.Scatter]:
    """Draw the metric against k, its band over seeds, and the level of the full model, dotted.

    Args:
        curve: The memory curve of one model.
        full: The metric of the full model, where known.
        look: How the model is drawn.

    Returns:
        The lines.
    """
    curve = [window for window in curve if window.metric is not None]
    if not curve:
        return []
    ks = [window.k for window in curve]
    metric = line([(w.k, w.metric) for w in curve], look, showlegend=True)
    lines = [band([(w.k, w.low, w.high) for w in curve], look), _marked(metric, look)]
    if full is not None:
        level = {"color": look.colour, "width": 1.3, "dash": "dot"}
        ends = [(ks[0], full), (ks[-1], full)]
        lines.append(line(ends, look, line=level, hoverinfo="skip"))
    return lines


def trial_lines(rows: Sequence[Row], look: Look) -> list[go.Scatter]:
    """Draw the memory curve of every trial of a model, thin, as one line with gaps.

    Args:
        rows: The rows of one model.
        look: How the model is drawn.

    Returns:
        The line; nothing where there is one trial, which the thick line shows.
    """
    seeds = [curve for row in rows if (curve := window_metrics(row))]
    if len(seeds) < 2:
        return []
    points: list[tuple[float, float | None]] = []
    for curve in seeds:
        points += [*curve, (curve[-1][0], None)]
    thin = {"color": look.faint(0.45), "width": 0.8}
    return [line(points, look, line=thin, hoverinfo="skip")]


def error_lines(curve: Sequence[Window], look: Look) -> list[go.Scatter]:
    """Draw the output error against k: the largest, the median (thin) and the bound (dashed).

    Args:
        curve: The memory curve of one model.
        look: How the model is drawn.

    Returns:
        The lines; an error of zero has no place on a logarithmic axis and leaves a gap.
    """
    largest = line([(w.k, w.error_max or None) for w in curve], look)
    thin = {"color": look.faint(0.7), "width": 1}
    median = line([(w.k, w.error_median or None) for w in curve], look, line=thin)
    dashed = {"color": look.colour, "width": 1.6, "dash": "dash"}
    bound = line([(w.k, w.bound or None) for w in curve], look, line=dashed)
    lines = [_marked(largest, look), median, bound]
    for drawn, what in zip(lines, ("largest error", "median error", "bound"), strict=True):
        drawn.hovertemplate = f"%{{fullData.name}}<br>k = %{{x}}, {what}: %{{y:.3g}}<extra></extra>"
    return [drawn for drawn in lines if any(y is not None for y in drawn.y)]


def ring(k: int, height: float | None, look: Look) -> go.Scatter:
    """Draw the ring around the chosen window.

    Args:
        k: The number of inputs it sees.
        height: Where on the vertical axis.
        look: How its model is drawn.

    Returns:
        The ring.
    """
    return go.Scatter(
        x=[k],
        y=[height or None],
        mode="markers",
        marker={"symbol": "circle-open", "size": 17, "color": look.colour, "line": {"width": 3}},
        name=look.name,
        legendgroup=look.name,
        hovertemplate=f"%{{fullData.name}}, chosen k = {k}<br>%{{y:.4g}}<extra></extra>",
        showlegend=False,
    )


def band(edges: Sequence[tuple[float, float | None, float | None]], look: Look) -> go.Scatter:
    """Draw the band between two edges.

    Args:
        edges: Where on the horizontal axis, from where, to where.
        look: How the model is drawn.

    Returns:
        The band.
    """
    places = [x for x, _, _ in edges]
    return go.Scatter(
        x=places + places[::-1],
        y=[high for _, _, high in edges] + [low for _, low, _ in reversed(edges)],
        fill="toself",
        fillcolor=look.faint(0.18),
        line={"width": 0},
        hoverinfo="skip",
        legendgroup=look.name,
        showlegend=False,
        mode="lines",
    )


def line(
    points: Sequence[tuple[float, float | None]],
    look: Look,
    showlegend: bool = False,
    **style: object,
) -> go.Scatter:
    """Draw a line.

    Args:
        points: Where it goes through; None leaves a gap.
        look: How it is drawn.
        showlegend: Whether the legend names it.
        style: More for plotly.

    Returns:
        The line.
    """
    return go.Scatter(
        x=[x for x, _ in points],
        y=[y for _, y in points],
        mode="lines",
        name=look.name,
        legendgroup=look.name,
        showlegend=showlegend,
        **style,
    )


def _marked(drawn: go.Scatter, look: Look) -> go.Scatter:
    drawn.mode = "lines+markers"
    drawn.line = {"color": look.colour, "width": 2.2}
    drawn.marker = {"symbol": look.symbol, "size": 8, "color": look.colour}
    drawn.hovertemplate = "%{fullData.name}<br>k = %{x}: %{y:.4g}<extra></extra>"
    return drawn
