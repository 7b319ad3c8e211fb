"""What a better metric costs: parameters, time of a step, memory, inputs; and who is beaten."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from unrecur.report.axes import log_axis
from unrecur.report.rows import (
    Results,
    Row,
    by_model,
    entries,
    is_floor,
    lower_is_better,
    middle,
    value,
    values,
    words,
)
from unrecur.report.series import windows
from unrecur.report.sheets import DIGITS, Sheet
from unrecur.report.style import GREY, Look, canvas, looks
from unrecur.report.text import number
from unrecur.report.wording import metric_name

FEW_TICKS = {"nticks": 4, "tickangle": 0}  # panels are narrow


@dataclass(frozen=True)
class Point:
    """What a model costs and reaches.

    Args:
        model: Its name.
        cost: What it costs.
        metric: Its test metric.
        best: Whether nothing that costs as little reaches as much.
    """

    model: str
    cost: float
    metric: float
    best: bool = False


def fronts(results: Results) -> dict[str, list[Point]]:
    """Look up what the models cost and reach, floors left out.

    Args:
        results: The results of a study.

    Returns:
        For each kind of cost that was measured, the points in order of cost.
    """
    trained = {model: rows for model, rows in by_model(results).items() if not is_floor(rows)}
    found = {
        name: [
            Point(model, cost, metric)
            for model, rows in trained.items()
            if (cost := middle([each for row in rows if (each := of(row)) is not None]))
            and (metric := middle(values(rows, "metric", "test"))) is not None
        ]
        for name, of in COSTS.items()
    }
    found["k, inputs seen"] = _by_window(trained, results)
    sign = 1 if lower_is_better(results) else -1
    return {
        name: _best([point for point in points if point.cost > 0], sign)
        for name, points in found.items()
        if points
    }


def _step(row: Row) -> float | None:
    seconds = value(row, "speed", "step_seconds")
    return None if seconds is None else 1e6 * seconds


def _memory(row: Row) -> float | None:
    """Add up the bytes of a model and of what a stream carries from step to step."""
    weights, state = value(row, "bytes", "parameters"), value(row, "bytes", "state")
    return None if weights is None else weights + (state or 0.0)


COSTS: dict[str, Callable[[Row], float | None]] = {
    "parameters": lambda row: value(row, "parameters"),
    "one streaming step, \N{MICRO SIGN}s": _step,
    "memory, bytes": _memory,
}


def _by_window(trained: dict[str, list[Row]], results: Results) -> list[Point]:
    """Give recurrent models on their last k inputs, and feed-forward models of that field."""
    recurrent = [
        Point(model, window.k, window.metric)
        for model, rows in trained.items()
        for window in windows(rows)
        if window.metric is not None
    ]
    return recurrent + [
        Point(words(entry, "feed_forward"), k, metric)
        for entry in entries(results, "context")
        if (k := value(entry, "k")) and (metric := value(entry, "feed_forward_metric")) is not None
    ]


def _best(points: Sequence[Point], sign: int) -> list[Point]:
    """Mark what no cheaper point equals."""
    marked, reached = [], float("inf")
    for point in sorted(points, key=lambda point: (point.cost, sign * point.metric)):
        best = sign * point.metric < reached
        reached = min(reached, sign * point.metric)
        marked.append(Point(point.model, point.cost, point.metric, best))
    return marked


def fronts_figure(results: Results) -> go.Figure | None:
    """Draw the metric against each kind of cost, a panel each, with the front.

    Args:
        results: The results of a study.

    Returns:
        The figure, or None where no cost was measured.
    """
    found = {name: points for name, points in fronts(results).items() if points}
    if not found:
        return None
    figure = canvas([f"Against {name}" for name in found], height=420, gap=0.05)
    names, named = looks(results), set[str]()
    for panel, (name, points) in enumerate(found.items(), start=1):
        figure.add_trace(_front([point for point in points if point.best]), row=1, col=panel)
        for model in dict.fromkeys(point.model for point in points):
            look = names.get(model)
            if look is None:  # of a table of contexts, but without rows
                continue
            of_model = [point for point in points if point.model == model]
            figure.add_trace(_marks(of_model, look, name, model not in named), row=1, col=panel)
            named.add(model)
        axis = log_axis([point.cost for point in points])
        figure.update_xaxes(**FEW_TICKS, **axis, title_text=name, row=1, col=panel)
    figure.update_yaxes(matches="y", nticks=6)
    figure.update_yaxes(title_text=metric_name(results, "test"), row=1, col=1)
    return figure


def _marks(points: Sequence[Point], look: Look, cost: str, named: bool) -> go.Scatter:
    return go.Scatter(
        x=[point.cost for point in points],
        y=[point.metric for point in points],
        mode="markers",
        marker={"symbol": look.symbol, "size": 10, "color": look.faint(0.8)},
        name=look.name,
        legendgroup=look.name,
        showlegend=named,
        hovertemplate=f"%{{fullData.name}}<br>{cost}: %{{x:,.4~g}}<br>%{{y:.4g}}<extra></extra>",
    )


def _front(points: Sequence[Point]) -> go.Scatter:
    return go.Scatter(
        x=[point.cost for point in points],
        y=[point.metric for point in points],
        mode="lines+markers",
        line={"color": GREY, "width": 1.5, "shape": "hv"},
        marker={"symbol": "circle-open", "size": 17, "color": GREY, "line": {"width": 1.5}},
        name="front",
        hoverinfo="skip",
        showlegend=False,
    )


def fronts_sheet(results: Results) -> Sheet:
    """Tabulate what the models cost and reach.

    Args:
        results: The results of a study.

    Returns:
        One row a kind of cost and model, or window of a model.
    """
    return Sheet(
        columns=("model", "cost", "how much", "test metric", "on the front"),
        rows=[
            [
                point.model,
                name,
                number(point.cost),
                number(point.metric, DIGITS),
                "yes" if point.best else "no",
            ]
            for name, points in fronts(results).items()
            for point in points
        ],
        names=2,
        about=(0,),
    )
