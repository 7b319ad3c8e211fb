"""The figures of what single units and gates do: half-lives, and how far gates are open."""

import math

import plotly.graph_objects as go

from unrecur.report.audit_rows import cells
from unrecur.report.axes import log_axis
from unrecur.report.curves import line
from unrecur.report.rows import Row, entries, section, series, value, words
from unrecur.report.style import GREY, Look, canvas

MANY = 40  # marks of a line before they hide each other


def units_figure(found: Row) -> go.Figure | None:
    """Draw the half-lives of all numbers of the state, sorted, a line for each cell.

    Args:
        found: What was found about a recurrence.

    Returns:
        The figure, or None where no cell was looked at.
    """
    sorted_ = [(look, *_half_lives(cell)) for cell, look in cells(found)]
    lags = [value(cell, "units", "lags") or 1.0 for cell, _ in cells(found)]
    finite = [life for _, lives, _ in sorted_ for life in lives]
    forever = sum(never for _, _, never in sorted_)
    if not finite and not forever:
        return None
    figure = canvas(["Half-life, steps"], height=400)
    top = 2 * max([*lags, *finite])
    for look, lives, never in sorted_:
        total = len(lives) + never
        places = [(place + 1) / total for place in range(total)]
        drawn = line(list(zip(places, lives, strict=False)), look, showlegend=True)
        drawn.mode = "lines+markers" if total <= MANY else "lines"
        drawn.line = {"color": look.colour, "width": 2, "dash": look.dash}
        drawn.marker = {"symbol": look.symbol, "size": 7, "color": look.colour}
        drawn.hovertemplate = "%{fullData.name}: %{y:.3g} steps<extra></extra>"
        figure.add_trace(drawn)
        if never:
            figure.add_trace(_forever(places[len(lives) :], top, look))
    figure.update_yaxes(log_axis([*finite, *[top] * bool(forever)]))
    figure.update_xaxes(
        tickformat=".0%", range=[0, 1.03], title_text="numbers of the state, sorted"
    )
    if forever:
        figure.add_hline(y=top, line={"color": GREY, "width": 1, "dash": "dot"})
        figure.add_annotation(
            text="half was never lost",
            x=0,
            xref="x domain",
            xanchor="left",
            y=math.log10(top),
            yanchor="top",
            showarrow=False,
        )
    return figure


def _half_lives(cell: Row) -> tuple[list[float], int]:
    """Sort the half-lives of a cell's numbers.

    Args:
        cell: A cell.

    Returns:
        Those that are known, rising, and how many numbers kept half for as long as was looked.
    """
    lives = series(section(cell, "units"), "half_life")
    known = sorted(life for life in lives if life is not None and life > 0)
    return known, sum(life is None for life in lives)


def _forever(places: list[float], top: float, look: Look) -> go.Scatter:
    return go.Scatter(
        x=places,
        y=[top] * len(places),
        mode="markers",
        marker={
            "symbol": "triangle-up-open",
            "size": 10,
            "color": look.colour,
            "line": {"width": 2},
        },
        name=look.name,
        legendgroup=look.name,
        showlegend=False,
        hovertemplate="%{fullData.name}: half was never lost<extra></extra>",
    )


def gates_figure(found: Row) -> go.Figure | None:
    """Draw how often each gate is how far open, a panel for each gate, a line for each cell.

    Args:
        found: What was found about a recurrence.

    Returns:
        The figure, or None where there are no gates.
    """
    lines: dict[str, list[tuple[Look, list[float | None]]]] = {}
    for cell, look in cells(found):
        for gate in entries(cell, "gates"):
            shares = series(gate, "histogram")
            if shares:
                lines.setdefault(words(gate, "name", "gate"), []).append((look, shares))
    if not lines:
        return None
    figure = canvas([f"{name.capitalize()} gate" for name in lines], height=330, gap=0.07)
    named: set[str] = set()
    for panel, drawn in enumerate(lines.values(), start=1):
        for look, shares in drawn:
            figure.add_trace(_histogram(shares, look, look.name not in named), row=1, col=panel)
            named.add(look.name)
    figure.update_xaxes(range=[0, 1], tickvals=[0, 0.5, 1], title_text="shut 0, open 1")
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", nticks=6)
    return figure


def _histogram(shares: list[float | None], look: Look, showlegend: bool) -> go.Scatter:
    edges = [place / len(shares) for place in range(len(shares) + 1)]
    drawn = line(list(zip(edges, [*shares, shares[-1]], strict=True)), look, showlegend)
    drawn.line = {"color": look.colour, "width": 2, "dash": look.dash, "shape": "hv"}
    drawn.hovertemplate = "%{fullData.name}, from %{x:.2f} on: %{y:.2%}<extra></extra>"
    return drawn
