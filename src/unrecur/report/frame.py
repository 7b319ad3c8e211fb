"""What all pages share: one HTML file with its figures, styles and scripts inside."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from unrecur.report.sheets import Sheet


@dataclass(frozen=True)
class Drawing:
    """A figure of a page.

    Args:
        key: Its name in addresses, the only one of the page.
        title: Its heading.
        caption: What to read from it.
        figure: The figure; None where there was nothing to draw.
        sheet: Tabulates its numbers.
    """

    key: str
    title: str
    caption: str
    figure: go.Figure | None
    sheet: Callable[[], Sheet]


def fill(template: str, drawings: Sequence[Drawing], **texts: Any) -> str:
    """Fill in the template of a page.

    Args:
        template: The template's name; it extends the base.
        drawings: All figures of the page.
        texts: What else the template asks for; every text is escaped.

    Returns:
        The HTML.
    """
    templates = Environment(
        loader=PackageLoader("unrecur.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figures = {
        # Strict JSON, as a browser reads it: plotly's own writer turns NaN into null.
        drawing.key: json.loads(drawing.figure.to_json())
        for drawing in drawings
        if drawing.figure is not None
    }
    page = templates.get_template(template).render(figures=figures, plotly=get_plotlyjs(), **texts)
    return page.lstrip()  # what stands before the document is blank lines of the template
