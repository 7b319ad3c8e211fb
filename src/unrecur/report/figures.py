"""The figures of a study, one function each; None where the study measured nothing to draw."""

from collections.abc import Sequence

import plotly.graph_objects as go

from unrecur.report.curves import error_lines, memory_lines, ring, training_lines
from unrecur.report.rows import (
    Results,
    Row,
    by_model,
    is_floor,
    middle,
    section,
    value,
    values,
    windows,
)
from unrecur.report.style import GREY, SHADE, Look, canvas, label, looks, scale
from unrecur.report.text import compact, microseconds, percent

SPEEDS = (
    ("Training, frames per second", "train_steps_per_second", compact),
    ("Whole sequences, frames per second", "forward_steps_per_second", compact),
    ("One streaming step, microseconds", "step_seconds", microseconds),
)


def verdict_figure(results: Results) -> go.Figure | None:
    """Draw the relative differences between families with their intervals: a forest plot.

    Args:
        results: The results of a study.

    Returns:
        The figure, or None without comparisons.
    """
    verdict, task = section(results, "verdict"), section(results, "task")
    comparisons = verdict.get("comparisons") or []
    if not comparisons:
        return None
    figure = canvas(["Feed-forward minus recurrent, relative"], height=130 + 48 * len(comparisons))
    heights = list(range(len(comparisons), 0, -1))
    for entry, height in zip(comparisons, heights, strict=True):
        figure.add_trace(_interval(entry, height, looks(results)))
    margin = value(verdict, "margin")
    if margin is not None:
        figure.add_vrect(x0=-margin, x1=margin, fillcolor=SHADE, line_width=0, layer="below")
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    left, right = ("feed-forward", "recurrent")[:: 1 if task.get("lower_is_better", True) else -1]
    figure.update_xaxes(tickformat="+.3~p", title=f"← {left} better · {right} better →")
    figure.update_yaxes(
        tickvals=heights,
        ticktext=[_pair(entry) for entry in comparisons],
        range=[0.4, len(comparisons) + 0.6],
        showgrid=False,
    )
    return figure


def _interval(entry: Row, height: int, names: dict[str, Look]) -> go.Scatter:
    middle, low, high = (value(entry, key) for key in ("relative_difference", "low", "high"))
    look = names.get(str(entry.get("feed_forward")))
    return go.Scatter(
        x=[low, middle, high],
        y=[height] * 3,
        mode="lines+markers",
        line={"color": look.colour if look else GREY, "width": 2.2},
        marker={
            "symbol": ["line-ns", look.symbol if look else "circle", "line-ns"],
            "size": [12, 11, 12],
            "color": look.colour if look else GREY,
            "line": {"width": [2, 0, 2], "color": look.colour if look else GREY},
        },
        hovertemplate="%{x:+.2%}<extra></extra>",
        showlegend=False,
    )


def _pair(entry: Row) -> str:
    names = f"{label(str(entry.get('feed_forward')))} against {label(str(entry.get('recurrent')))}"
    middle, *ends = (
        percent(value(entry, key), sign=True) for key in ("relative_difference", "low", "high")
    )
    return f"{names}<br>{middle} [{', '.join(ends)}]"


def size_figure(results: Results) -> go.Figure | None:
    """Draw the test metric of every seed against the number of parameters, floors as lines.

    Args:
        results: The results of a study.

    Returns:
        The figure, or None where no model but floors was tested.
    """
    names, groups = looks(results), by_model(results)
    points = {model: _sizes(rows) for model, rows in groups.items() if not is_floor(rows)}
    sizes = [size for pairs in points.values() for size, _ in pairs]
    if not sizes:
        return None
    floors = {
        model: level
        for model, rows in groups.items()
        if is_floor(rows) and (level := middle(values(rows, "metric", "test"))) is not None
    }
    figure = canvas([metric_title(results, "test")], height=400)
    for model, pairs in points.items():
        figure.add_trace(_marks(pairs, names[model]))
    low, high = min(sizes), max(sizes)
    pad = (high / low) ** 0.08 if high > 1.001 * low else 1.05
    for model, level in floors.items():
        figure.add_trace(_level(level, (low / pad, high * pad), names[model]))
    heights = [height for pairs in points.values() for _, height in pairs]
    figure.update_xaxes(title="parameters", type=scale(sizes))
    figure.update_yaxes(type=scale([*heights, *floors.values()]))
    return figure


def _sizes(rows: Sequence[Row]) -> list[tuple[float, float]]:
    pairs = ((value(row, "parameters"), value(row, "metric", "test")) for row in rows)
    return [(size, metric) for size, metric in pairs if size and metric is not None]


def _marks(pairs: Sequence[tuple[float, float]], look: Look) -> go.Scatter:
    return go.Scatter(
        x=[size for size, _ in pairs],
        y=[metric for _, metric in pairs],
        mode="markers",
        marker={"symbol": look.symbol, "size": 11, "color": look.faint(0.75)},
        name=look.name,
        showlegend=True,
        hovertemplate="%{fullData.name}<br>%{x:,} parameters: %{y:.4g}<extra></extra>",
    )


def _level(height: float, ends: tuple[float, float], look: Look) -> go.Scatter:
    return go.Scatter(
        x=list(ends),
        y=[height, height],
        mode="lines",
        line={"color": look.colour, "width": 1.8, "dash": look.dash},
        name=f"{look.name} (floor)",
        showlegend=True,
        hovertemplate="%{fullData.name}: %{y:.4g}<extra></extra>",
    )


def memory_figure(results: Results) -> go.Figure | None:
    """Draw what seeing only the last k inputs gives: the metric, and the output error.

    Args:
        results: The results of a study.

    Returns:
        The figure, or None where no memory was measured.
    """
    curves = {model: windows(rows) for model, rows in by_model(results).items()}
    curves = {model: curve for model, curve in curves.items() if curve}
    if not curves:
        return None
    names, groups = looks(results), by_model(results)
    titles = [metric_title(results, "test"), "Output error"]
    figure = canvas(titles, height=430)
    for model, curve in curves.items():
        full = middle(values(groups[model], "full_metric"))
        figure.add_traces(memory_lines(curve, full, names[model]), rows=1, cols=1)
        figure.add_traces(error_lines(curve, names[model]), rows=1, cols=2)
    chosen = section(results, "truncation")
    if chosen.get("model") in names:
        for panel, key in ((1, "metric"), (2, "output_error_max")):
            mark = ring(chosen["k"], value(chosen, key), names[chosen["model"]])
            figure.add_trace(mark, row=1, col=panel)
    largest = max(window.k for curve in curves.values() for window in curve)
    ticks = _powers(largest)
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=ticks, title="k, inputs seen")
    figure.update_yaxes(type="log", exponentformat="power", row=1, col=2)
    return figure


def _powers(largest: int) -> list[int]:
    exponents = range(largest.bit_length())
    return [2**exponent for exponent in exponents[:: 1 + len(exponents) // 9]]


def training_figure(results: Results) -> go.Figure | None:
    """Draw the training and the validation loss of every seed, and their medians, by epoch.

    Args:
        results: The results of a study.

    Returns:
        The figure, or None where no model has a history.
    """
    names = looks(results)
    figure = canvas(["Training loss", "Validation loss"], height=420)
    losses: list[float] = []
    for model, rows in by_model(results).items():
        for panel, part in enumerate(("train", "valid"), start=1):
            lines = training_lines(rows, part, names[model])
            figure.add_traces(lines, rows=1, cols=panel)
            losses += [loss for line in lines for loss in line.y]
    if not losses:
        return None
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(type=scale(losses), matches="y")
    return figure


def speed_figure(results: Results) -> go.Figure | None:
    """Draw three speeds of every model as bars, each the median over its seeds.

    Args:
        results: The results of a study.

    Returns:
        The figure, or None where no speed was measured.
    """
    names, groups = looks(results), by_model(results)
    timed = [model for model, rows in groups.items() if any(row.get("speed") for row in rows)]
    if not timed:
        return None
    figure = canvas([title for title, _, _ in SPEEDS], height=120 + 34 * len(timed), gap=0.12)
    for panel, (_, key, wording) in enumerate(SPEEDS, start=1):
        numbers = [middle(values(groups[model], "speed", key)) for model in timed]
        factor = 1e6 if wording is microseconds else 1
        figure.add_trace(
            go.Bar(
                x=[None if number is None else factor * number for number in numbers],
                y=list(range(len(timed))),
                orientation="h",
                marker={"color": [names[model].colour for model in timed]},
                text=[wording(number) for number in numbers],
                textposition="auto",
                hovertemplate="%{x:,.4g}<extra></extra>",
                showlegend=False,
            ),
            row=1,
            col=panel,
        )
    figure.update_yaxes(
        tickvals=list(range(len(timed))),
        ticktext=[names[model].name for model in timed],
        autorange="reversed",
        showgrid=False,
    )
    figure.update_xaxes(rangemode="tozero", nticks=5)
    return figure


def metric_title(results: Results, split: str) -> str:
    """Name the metric of the task on one split, with its unit and direction.

    Args:
        results: The results of a study.
        split: The split.

    Returns:
        The title.
    """
    task = section(results, "task")
    better = "lower" if task.get("lower_is_better", True) else "higher"
    name = f"{split} {task.get('metric', 'metric')}"
    unit = f", {task['unit']}" if task.get("unit") else ""
    return f"{name[0].upper()}{name[1:]}{unit} ({better} is better)"
