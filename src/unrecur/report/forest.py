"""The figure that decides: differences between families with their intervals, a forest plot."""

import plotly.graph_objects as go

from unrecur.report.rows import Results, Row, lower_is_better, value, words
from unrecur.report.style import GREY, SHADE, canvas, label, looks
from unrecur.report.text import ABSENT
from unrecur.report.wording import comparisons

ENDS = ("relative_difference", "low", "high")


def verdict_figure(results: Results) -> go.Figure | None:
    """Draw the relative differences between families, with intervals, and the margin.

    Args:
        results: The results of a study.

    Returns:
        The figure, or None without comparisons.
    """
    pairs, margin = comparisons(results), value(results, "verdict", "margin")
    if not pairs:
        return None
    figure = canvas(["Feed-forward minus recurrent, relative"], height=120 + 52 * len(pairs))
    heights = list(range(len(pairs), 0, -1))
    colours = {model: look.colour for model, look in looks(results).items()}
    for entry, height in zip(pairs, heights, strict=True):
        colour = colours.get(words(entry, "feed_forward"), GREY)
        figure.add_trace(_whisker(entry, height, colour))
        # Above its line: beside it, names take half the width of a telephone.
        figure.add_annotation(
            text=_pair(entry), x=0, xref="paper", xanchor="left", y=height + 0.4, showarrow=False
        )
    if margin is not None:
        figure.add_vrect(x0=-margin, x1=margin, fillcolor=SHADE, line_width=0, layer="below")
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    left, right = ("feed-forward", "recurrent")[:: 1 if lower_is_better(results) else -1]
    # Shapes do not stretch an axis: the margin must be in the range.
    shown = [found for entry in pairs for key in ENDS if (found := value(entry, key))]
    reach = 1.15 * max(map(abs, [*shown, margin or 0.0, 0.001]))
    figure.update_xaxes(
        tickformat="+.3~p",
        nticks=6,
        range=[-reach, reach],
        title_text=f"← {left} better · {right} better →",
    )
    figure.update_yaxes(visible=False, range=[0.6, len(pairs) + 0.75])
    return figure


def _whisker(entry: Row, height: int, colour: str) -> go.Scatter:
    middle, low, high = (value(entry, key) for key in ENDS)
    return go.Scatter(
        x=[low, middle, high],
        y=[height] * 3,
        mode="lines+markers",
        line={"color": colour, "width": 2.2},
        marker={
            "symbol": ["line-ns", "circle", "line-ns"],
            "size": [12, 11, 12],
            "color": colour,
            "line": {"width": [2, 0, 2], "color": colour},
        },
        hovertemplate="%{x:+.2%}<extra></extra>",
        showlegend=False,
    )


def _pair(entry: Row) -> str:
    names = (words(entry, family, ABSENT) for family in ("feed_forward", "recurrent"))
    return " against ".join(label(name) for name in names)
