"""The tables and the figure of two studies side by side."""

import plotly.graph_objects as go

from unrecur.report.rows import lines, lower_is_better, section, value, words
from unrecur.report.sheets import DIGITS, Sheet
from unrecur.report.style import COLOURS, GREY, SHADE, canvas, label
from unrecur.report.text import ABSENT, number
from unrecur.report.two_runs import Change, TwoRuns, differing
from unrecur.report.wording import answer, interval


def changes_sheet(runs: TwoRuns) -> Sheet:
    """Tabulate the models of two studies.

    Args:
        runs: The two studies.

    Returns:
        One row a model.
    """
    return Sheet(
        columns=("model", "family", "test in A", "test in B", "B against A", "rank in A", "in B"),
        rows=[
            [
                change.model,
                change.family or ABSENT,
                *(number(metric, DIGITS) for metric in change.metrics),
                _interval(change),
                *(number(rank) for rank in change.ranks),
            ]
            for change in runs.changes
        ],
        names=2,
    )


def _interval(change: Change) -> str:
    found = change.difference
    if found is None:
        return ABSENT
    return interval(
        {
            "relative_difference": found.relative_difference,
            "low": found.low,
            "high": found.high,
        }
    )


def settings_sheet(runs: TwoRuns) -> Sheet:
    """Tabulate the settings in which two studies differ.

    Args:
        runs: The two studies.

    Returns:
        One row a setting.
    """
    return Sheet(("setting", "A", "B"), differing(runs), prose=(1, 2))


def verdicts_sheet(runs: TwoRuns) -> Sheet:
    """Tabulate the verdicts of two studies.

    Args:
        runs: The two studies.

    Returns:
        One row for the answer and each of what it rests on.
    """
    verdicts = [section(results, "verdict") for results in runs.results]
    found = {
        "answer": [answer(results).headline for results in runs.results],
        "headline": [words(verdict, "headline", ABSENT) for verdict in verdicts],
        "why": [" ".join(lines(verdict, "reasons")) or ABSENT for verdict in verdicts],
        "recurrence stops paying at k": [number(value(v, "pays_until")) for v in verdicts],
        "least window, inputs": [number(value(each, "truncation", "k")) for each in runs.results],
    }
    rows = [[name, *texts] for name, texts in found.items() if set(texts) != {ABSENT}]
    return Sheet(("", "A", "B"), rows, prose=(1, 2))


def changes_figure(runs: TwoRuns) -> go.Figure | None:
    """Draw the relative difference of each model from A to B, with its interval.

    Args:
        runs: The two studies.

    Returns:
        The figure, or None where no model is in both.
    """
    known = [(c.model, c.difference) for c in runs.changes if c.difference is not None]
    if not known:
        return None
    figure = canvas(
        ["B against A, relative difference of the test metric"], height=110 + 34 * len(known)
    )
    places = list(range(len(known)))
    middles = [found.relative_difference for _, found in known]
    lows, highs = (
        [middle if end is None else end for middle, end in zip(middles, ends, strict=True)]
        for ends in ([found.low for _, found in known], [found.high for _, found in known])
    )
    figure.add_trace(
        go.Scatter(
            x=middles,
            y=places,
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high - middle for middle, high in zip(middles, highs, strict=True)],
                "arrayminus": [middle - low for middle, low in zip(middles, lows, strict=True)],
                "color": COLOURS[0],
            },
            mode="markers",
            marker={"color": COLOURS[0], "size": 10},
            text=[label(model) for model, _ in known],
            hovertemplate="%{text}: %{x:+.2%}<extra></extra>",
            showlegend=False,
        )
    )
    margin = value(runs.results[1], "verdict", "margin")
    if margin is not None:
        figure.add_vrect(x0=-margin, x1=margin, fillcolor=SHADE, line_width=0, layer="below")
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    left, right = ("B", "A")[:: 1 if lower_is_better(runs.results[0]) else -1]
    reach = 1.15 * max(map(abs, [*lows, *highs, margin or 0.0, 0.001]))
    figure.update_xaxes(
        tickformat="+.3~p",
        nticks=6,
        range=[-reach, reach],
        title_text=f"← {left} better · {right} better →",
    )
    figure.update_yaxes(
        tickvals=places,
        ticktext=[label(model) for model, _ in known],
        range=[len(known) - 0.5, -0.5],
        showgrid=False,
    )
    return figure
