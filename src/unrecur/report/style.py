"""How figures look: colours that colour-blind people can tell apart, and never colour alone."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from unrecur.report.rows import Results, by_model, is_floor
from unrecur.report.text import shorten

# Okabe and Ito's palette, less black and yellow (lost on a dark or a white page), the last two
# darkened until they stand out from white as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#3B9BD6")
# Their numbers share no divisor with the colours', so that no two models look the same.
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
GREY = "#808080"
GRID = "rgba(128, 128, 128, 0.25)"
SHADE = "rgba(128, 128, 128, 0.22)"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
LONGEST_LABEL = 24


@dataclass(frozen=True)
class Look:
    """How one model is drawn in every figure.

    Args:
        name: Its name as a figure writes it.
        colour: Its colour.
        dash: Its dash, where lines stand for models.
        symbol: Its marker.
    """

    name: str
    colour: str
    dash: str
    symbol: str

    def faint(self, opacity: float) -> str:
        """Mix the colour with what is behind it.

        Args:
            opacity: 0 for nothing to 1 for the colour itself.

        Returns:
            The colour, as CSS writes it.
        """
        red, green, blue = (int(self.colour[place : place + 2], 16) for place in (1, 3, 5))
        return f"rgba({red}, {green}, {blue}, {opacity})"


def looks(results: Results) -> dict[str, Look]:
    """Give each model its look, the same in every figure; floors are grey.

    Args:
        results: The results of a study.

    Returns:
        The look of each model.
    """
    found, trained, floors = {}, 0, 0
    for model, rows in by_model(results).items():
        if is_floor(rows):
            found[model] = look(model, floors + 1, GREY)
            floors += 1
        else:
            found[model] = look(model, trained)
            trained += 1
    return found


def look(name: str, place: int, colour: str | None = None) -> Look:
    """Give the look of one of several things.

    Args:
        name: What it is called.
        place: Which of them it is, from 0 on.
        colour: Its colour; that of its place if left out.

    Returns:
        Its look, another for each place.
    """
    return Look(
        name=label(name),
        colour=colour or COLOURS[place % len(COLOURS)],
        dash=DASHES[place % len(DASHES)],
        symbol=SYMBOLS[place % len(SYMBOLS)],
    )


def label(text: str, longest: int = LONGEST_LABEL) -> str:
    """Make a name safe and short enough for a figure: plotly reads tags and entities in texts.

    Args:
        text: Any text.
        longest: The most characters to keep.

    Returns:
        The text, shortened and escaped.

    Example:
        >>> label("<b>lstm")
        '&lt;b&gt;lstm'
    """
    return html.escape(shorten(text, longest), quote=False)


def canvas(titles: Sequence[str], *, height: int, gap: float = 0.09) -> go.Figure:
    """Make an empty figure of panels side by side (the page stacks them where it is narrow).

    Args:
        titles: One title a panel, plain text.
        height: The height in pixels.
        gap: The space between panels, as a part of the width.

    Returns:
        The figure.
    """
    figure = make_subplots(rows=1, cols=len(titles), horizontal_spacing=gap)
    figure.layout.template = None
    figure.update_layout(
        height=height,
        font={"family": FONT, "size": 13},
        paper_bgcolor="rgba(0, 0, 0, 0)",
        plot_bgcolor="rgba(0, 0, 0, 0)",
        margin={"l": 8, "r": 8, "t": 44, "b": 8},
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        dragmode=False,  # a finger on a figure scrolls the page
        meta={"panels": len(titles)},
    )
    line: dict[str, Any] = {"gridcolor": GRID, "linecolor": GREY, "zeroline": False}
    line |= {"title_font_size": 13}
    figure.update_xaxes(**line, showline=True, ticks="outside", tickcolor=GREY, automargin=True)
    figure.update_yaxes(**line, automargin=True)
    for panel, title in enumerate(titles, start=1):
        _title(figure, panel, wrap(title, 88 // max(2, len(titles)), max_lines=2, placeholder=" …"))
    return figure


def _title(figure: go.Figure, panel: int, lines: Sequence[str]) -> None:
    figure.add_annotation(
        text="<br>".join(html.escape(line, quote=False) for line in lines),
        xref=f"x{panel} domain" if panel > 1 else "x domain",
        yref=f"y{panel} domain" if panel > 1 else "y domain",
        x=0,
        y=1,
        yshift=6,
        xanchor="left",
        yanchor="bottom",
        align="left",
        showarrow=False,
    )


def scale(numbers: Sequence[float]) -> str:
    """Choose the kind of axis that shows small differences beside a few large values.

    Args:
        numbers: All that the axis shows.

    Returns:
        "log" for positive numbers that span more than a factor of 4, else "linear".
    """
    spread = bool(numbers) and min(numbers) > 0 and max(numbers) > 4 * min(numbers)
    return "log" if spread else "linear"
