"""The figures of the theorem's experiment; None where there was nothing to draw."""

from collections.abc import Sequence

import plotly.graph_objects as go

from unrecur.report.axes import log_axis
from unrecur.report.curves import band, line
from unrecur.report.rows import Results, Row, by_model, series
from unrecur.report.style import DASHES, Look, canvas, looks
from unrecur.report.theorem_rows import by_step, median_curve, over_seeds

SHOWN = ("stable", "unstable")  # the cases whose gaps are drawn against the number of steps
SHOWN_WINDOWS = 3
LOWEST = 1e-17


def weights_figure(results: Results) -> go.Figure | None:
    """Draw the gap of the weights against k, the theorem's shape dashed.

    Args:
        results: The results of the experiment.

    Returns:
        The figure.
    """
    return _against_windows(results, [("Distance of the weights", "weights", "shapes")])


def outputs_figure(results: Results) -> go.Figure | None:
    """Draw the gaps of the outputs against k: with each model's own weights, and with the same.

    Args:
        results: The results of the experiment.

    Returns:
        The figure.
    """
    panels = [
        ("Output gap, each with its own weights", "outputs", "shapes"),
        ("Output gap at the same weights", "same_outputs", "proved"),
    ]
    return _against_windows(results, panels)


def gradient_figure(results: Results) -> go.Figure | None:
    """Draw the gap of the gradients at the same weights against k, with the proved bound.

    Args:
        results: The results of the experiment.

    Returns:
        The figure.
    """
    return _against_windows(results, [("Distance of the gradients", "gradient", "proved")])


def _against_windows(results: Results, panels: Sequence[tuple[str, str, str]]) -> go.Figure | None:
    """Draw gaps against k, in each panel one gap with its theory."""
    groups, names = by_model(results), looks(results)
    if not groups:
        return None
    figure = canvas([title for title, _, _ in panels], height=440)
    for panel, (_, gap, theory) in enumerate(panels, start=1):
        for model, rows in groups.items():
            figure.add_traces(_lines(rows, gap, theory, names[model], panel == 1), 1, panel)
        _logarithmic(figure, panel)
    figure.update_xaxes(title_text="k, inputs in a window")
    return figure


def _lines(rows: Sequence[Row], gap: str, theory: str, look: Look, named: bool) -> list[go.Scatter]:
    measured = line(median_curve(rows, "gaps", gap), look, showlegend=named)
    measured.mode = "lines+markers"
    measured.line = {"color": look.colour, "width": 2.2}
    measured.marker = {"symbol": look.symbol, "size": 8, "color": look.colour}
    measured.hovertemplate = "%{fullData.name}<br>k = %{x}: %{y:.3g}<extra></extra>"
    dashed = {"color": look.colour, "width": 1.6, "dash": "dash"}
    theirs = line(median_curve(rows, theory, gap), look, line=dashed)
    what = "proved bound" if theory == "proved" else "the theorem's shape"
    theirs.hovertemplate = f"%{{fullData.name}}, {what}<br>k = %{{x}}: %{{y:.3g}}<extra></extra>"
    lines = [measured, theirs] if any(y is not None for y in theirs.y) else [measured]
    edges = [edge for edge in over_seeds(rows, "gaps", gap) if edge[1] is not None]
    return [band(edges, look), *lines] if len(rows) > 1 else lines


def steps_figure(results: Results) -> go.Figure | None:
    """Draw both gaps against the number of gradient steps, for a few windows.

    Args:
        results: The results of the experiment.

    Returns:
        The figure.
    """
    groups, names = by_model(results), looks(results)
    shown = [model for model in SHOWN if model in groups]
    if not shown:
        return None
    panels = ("weights_by_step", "outputs_by_step")
    figure = canvas(["Distance of the weights", "Output gap, own weights"], height=460)
    for panel, name in enumerate(panels, start=1):
        for model in shown:
            rows, look = groups[model], names[model]
            windows = series(rows[0], "windows")
            for number, place in enumerate(chosen(len(windows))):
                drawn = line(by_step(rows, name, place), look, showlegend=panel == 1)
                drawn.line = {"color": look.colour, "width": 2, "dash": DASHES[number]}
                drawn.mode = "lines+markers"
                drawn.marker = {"symbol": look.symbol, "size": 7, "color": look.colour}
                drawn.name = drawn.legendgroup = f"{look.name}, k = {windows[place]}"
                drawn.hovertemplate = "%{fullData.name}<br>N = %{x}: %{y:.3g}<extra></extra>"
                figure.add_trace(drawn, row=1, col=panel)
        _logarithmic(figure, panel)
    figure.update_xaxes(title_text="N, gradient steps", type="log", dtick="D2")
    return figure


def chosen(count: int) -> list[int]:
    """Choose which windows are drawn against the number of steps: short, middling and long ones.

    Args:
        count: How many there are.

    Returns:
        Their places.

    Example:
        >>> chosen(17)
        [4, 8, 12]
    """
    places = [count * (number + 1) // (SHOWN_WINDOWS + 1) for number in range(SHOWN_WINDOWS)]
    return sorted({place for place in places if place < count})


def _logarithmic(figure: go.Figure, panel: int) -> None:
    """Let a panel's vertical axis be logarithmic."""
    axis = "y" if panel == 1 else f"y{panel}"
    heights = [y for trace in figure.data if (trace.yaxis or "y") == axis for y in trace.y if y]
    figure.update_yaxes(**log_axis(heights, at_least=LOWEST), row=1, col=panel)
