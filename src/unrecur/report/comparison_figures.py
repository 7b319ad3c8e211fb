"""The figures of a comparison: learning curves with bands, and the seeds of each arm."""

from collections.abc import Sequence
from itertools import accumulate
from statistics import median

import plotly.graph_objects as go

from unrecur.report.curves import band, line
from unrecur.report.rows import Results, Row, by_model, entries, middle, section, value, values
from unrecur.report.style import GREY, Look, canvas, looks, scale
from unrecur.report.wording import metric_title

# Epochs: where they are, the lowest seed, the median, the highest seed.
Edges = list[tuple[float, float, float, float]]


def curves_figure(results: Results) -> go.Figure | None:
    """Draw the validation metric of each arm by epoch and by seconds, with the level.

    Args:
        results: The results of a comparison.

    Returns:
        The figure, or None where no arm has finished an epoch.
    """
    curves = {arm: curve for arm, rows in by_model(results).items() if (curve := by_epoch(rows))}
    if not curves:
        return None
    names = looks(results)
    title = metric_title(results, "validation")
    figure = canvas([title, "The same, by seconds trained"], height=430)
    for arm, curve in curves.items():
        seconds = _seconds(by_model(results)[arm])
        for panel, places in ((1, [place for place, *_ in curve]), (2, seconds)):
            drawn = _drawn(list(zip(places, curve, strict=False)), names[arm], panel == 1)
            figure.add_traces(drawn, rows=1, cols=panel)
    heights = [height for curve in curves.values() for _, *edges in curve for height in edges]
    level = value(results, "comparison", "level")
    if level is not None:
        figure.add_hline(y=level, line={"color": GREY, "width": 1.3, "dash": "dot"})
        heights.append(level)
    figure.update_xaxes(title_text="epoch", row=1, col=1)
    figure.update_xaxes(title_text="seconds", row=1, col=2)
    figure.update_yaxes(type=scale(heights), matches="y", row=1, col=2)
    figure.update_yaxes(type=scale(heights), row=1, col=1)
    return figure


def by_epoch(rows: Sequence[Row]) -> Edges:
    """Give an arm's validation metric over its seeds, as far as every seed came.

    Args:
        rows: The rows of the arm; seeds without a finished epoch are left out.

    Returns:
        For each epoch its number, the lowest, the median and the highest metric.
    """
    seeds = [found for row in rows if (found := _metrics(row))]
    shared = sorted(set.intersection(*map(set, seeds))) if seeds else []
    return [
        (epoch, min(at), median(at), max(at))
        for epoch in shared
        if (at := [found[epoch] for found in seeds])
    ]


def _metrics(row: Row) -> dict[float, float]:
    """Read the validation metric of each epoch of a row."""
    pairs = ((value(entry, "epoch"), value(entry, "valid")) for entry in entries(row, "history"))
    return {epoch: metric for epoch, metric in pairs if epoch is not None and metric is not None}


def _seconds(rows: Sequence[Row]) -> list[float]:
    """Give the median over seeds of the seconds until the end of each epoch that all reached."""
    clocks = [list(accumulate(values(entries(row, "history"), "seconds"))) for row in rows]
    return [median(at) for at in zip(*filter(None, clocks), strict=False)]


def _drawn(
    curve: Sequence[tuple[float, tuple[float, float, float, float]]], look: Look, named: bool
) -> list[go.Scatter]:
    """Draw the band over seeds and the median."""
    edges = [(place, low, high) for place, (_, low, _, high) in curve]
    thick = {"color": look.colour, "width": 2.2, "dash": look.dash}
    middles = [(place, middle) for place, (_, _, middle, _) in curve]
    drawn = line(middles, look, line=thick, showlegend=named)
    drawn.hovertemplate = "%{fullData.name}<br>%{x:.3g}: %{y:.4g}<extra></extra>"
    return [band(edges, look), drawn]


def seeds_figure(results: Results) -> go.Figure | None:
    """Draw the test metric of every seed of each arm, with the median and chance.

    Args:
        results: The results of a comparison.

    Returns:
        The figure, or None where no arm was tested.
    """
    names = looks(results)
    tested = {
        arm: metrics
        for arm, rows in by_model(results).items()
        if (metrics := values(rows, "metric", "test"))
    }
    if not tested:
        return None
    figure = canvas([metric_title(results, "test")], height=90 + 46 * len(tested))
    for place, (arm, metrics) in enumerate(tested.items()):
        figure.add_traces(_seeds(metrics, place, names[arm]))
    shown = [metric for metrics in tested.values() for metric in metrics]
    chance = value(section(results, "task"), "chance_level")
    # A chance far away would press all seeds together.
    if chance is not None and chance < 2 * max(shown):
        figure.add_vline(x=chance, line={"color": GREY, "width": 1.3, "dash": "dot"})
    figure.update_xaxes(type=scale(shown))
    figure.update_yaxes(
        tickvals=list(range(len(tested))),
        ticktext=[names[arm].name for arm in tested],
        range=[len(tested) - 0.5, -0.5],
        showgrid=False,
    )
    return figure


def _seeds(metrics: Sequence[float], place: int, look: Look) -> list[go.Scatter]:
    """Draw the seeds of one arm, and their median as a line across."""
    marker = {"symbol": look.symbol, "size": 11, "color": look.faint(0.75)}
    hover = {"hovertemplate": "%{x:.4g}<extra></extra>", "showlegend": False}
    level = {"color": look.colour, "width": 2.2}
    at = middle(metrics)
    return [
        go.Scatter(
            x=list(metrics), y=[place] * len(metrics), mode="markers", marker=marker, **hover
        ),
        go.Scatter(x=[at, at], y=[place - 0.3, place + 0.3], mode="lines", line=level, **hover),
    ]
