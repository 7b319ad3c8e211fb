"""The figures of a study, one function each; None where the study measured nothing to draw."""

from collections.abc import Sequence

import plotly.graph_objects as go

from unrecur.report.axes import powers
from unrecur.report.curves import error_lines, memory_lines, ring, training_lines, trial_lines
from unrecur.report.rows import (
    Results,
    Row,
    by_model,
    is_floor,
    middle,
    section,
    value,
    values,
    words,
)
from unrecur.report.series import thinned, windows
from unrecur.report.style import Look, canvas, looks, scale
from unrecur.report.text import compact, microseconds
from unrecur.report.wording import metric_title

FEW_TRIALS = 60  # whose lines can be told apart; of more, the band alone is drawn
MOST_MARKS = 3000  # of a figure: more take a browser seconds
SPEEDS = (
    ("Training, steps per second", "train_steps_per_second", 1.0, compact),
    ("Whole sequences, steps per second", "forward_steps_per_second", 1.0, compact),
    ("One streaming step, microseconds", "step_seconds", 1e6, microseconds),
)


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
    most = max(MOST_MARKS // len(points), 2)
    for model, pairs in points.items():
        figure.add_trace(_marks(thinned(pairs, most), names[model]))
    low, high = min(sizes), max(sizes)
    pad = (high / low) ** 0.08 if high > 1.001 * low else 1.05
    for model, level in floors.items():
        figure.add_trace(_level(level, (low / pad, high * pad), names[model]))
    heights = [height for pairs in points.values() for _, height in pairs]
    figure.update_xaxes(title_text="parameters", type=scale(sizes))
    figure.update_yaxes(type=scale([*heights, *floors.values()]))
    return figure


def _sizes(rows: Sequence[Row]) -> list[tuple[float, float]]:
    pairs = ((value(row, "parameters"), value(row, "metric", "test")) for row in rows)
    return [(size, metric) for size, metric in pairs if size and size > 0 and metric is not None]


def _marks(pairs: Sequence[tuple[float, float]], look: Look) -> go.Scatter:
    return go.Scatter(
        x=[size for size, _ in pairs],
        y=[metric for _, metric in pairs],
        mode="markers",
        marker={"symbol": look.symbol, "size": 11, "color": look.faint(0.75)},
        name=look.name,
        legendgroup=look.name,
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
        legendgroup=look.name,
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
    few = sum(len(groups[model]) for model in curves) <= FEW_TRIALS
    for model, curve in curves.items():
        full = middle(values(groups[model], "full_metric"))
        lines = memory_lines(curve, full, names[model])
        if few:
            lines += trial_lines(groups[model], names[model])
        figure.add_traces(lines, rows=1, cols=1)
        figure.add_traces(error_lines(curve, names[model]), rows=1, cols=2)
    chosen = section(results, "truncation")
    look, k = names.get(words(chosen, "model")), value(chosen, "k")
    if look and k:
        for panel, key in ((1, "metric"), (2, "output_error_max")):
            figure.add_trace(ring(int(k), value(chosen, key), look), row=1, col=panel)
    largest = max(window.k for curve in curves.values() for window in curve)
    ticks = powers(largest)
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=ticks, title_text="k, inputs seen")
    figure.update_yaxes(type="log", exponentformat="power", row=1, col=2)
    return figure


def training_figure(results: Results) -> go.Figure | None:
    """Draw the training and the validation loss by epoch: medians over seeds, and bands.

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
    figure.update_xaxes(title_text="epoch")
    figure.update_yaxes(type=scale(losses), matches="y", row=1, col=2)
    figure.update_yaxes(type=scale(losses), row=1, col=1)
    return figure


def speed_figure(results: Results) -> go.Figure | None:
    """Draw three speeds of every model as bars, each the median over its seeds.

    Args:
        results: The results of a study.

    Returns:
        The figure, or None where no speed was measured.
    """
    names, groups = looks(results), by_model(results)
    keys = [key for _, key, _, _ in SPEEDS]
    # A floor is a hundred times as fast as any model: beside one the models would look alike.
    timed = [
        model
        for model, rows in groups.items()
        if not is_floor(rows) and any(values(rows, "speed", key) for key in keys)
    ]
    if not timed:
        return None
    figure = canvas([title for title, _, _, _ in SPEEDS], height=110 + 34 * len(timed), gap=0.07)
    for panel, (_, key, factor, wording) in enumerate(SPEEDS, start=1):
        medians = [middle(values(groups[model], "speed", key)) for model in timed]
        sizes = [None if size is None else factor * size for size in medians]
        for place, (model, size, median) in enumerate(zip(timed, sizes, medians, strict=True)):
            bar = _bar(place, size, wording(median), names[model])
            figure.add_trace(bar, row=1, col=panel)
        # The room to the right of the longest bar is for its number.
        longest = max((size for size in sizes if size is not None), default=0) or 1
        figure.update_xaxes(range=[0, 1.35 * longest], row=1, col=panel)
    figure.update_layout(barmode="overlay")  # each bar has a line of its own
    figure.update_yaxes(
        tickvals=list(range(len(timed))),
        ticktext=[names[model].name for model in timed],
        autorange="reversed",
        showgrid=False,
    )
    figure.update_yaxes(showticklabels=False)
    figure.update_yaxes(showticklabels=True, col=1)
    figure.update_xaxes(nticks=4, tickangle=0)
    return figure


def _bar(place: int, size: float | None, text: str, look: Look) -> go.Bar:
    return go.Bar(
        x=[size],
        y=[place],
        orientation="h",
        width=0.8,
        marker={"color": look.colour},
        text=[text if size is not None else ""],
        textposition="outside",
        cliponaxis=False,
        name=look.name,
        legendgroup=look.name,
        hovertemplate="%{fullData.name}: %{x:,.4g}<extra></extra>",
        showlegend=False,
    )
