"""The figure of spectra: eigenvalues and singular values of weights, Lyapunov exponents."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import plotly.graph_objects as go

from unrecur.report.audit_rows import cell_name, cells
from unrecur.report.curves import line
from unrecur.report.rows import Row, entries, series, words
from unrecur.report.style import DASHES, GREY, SYMBOLS, Look, canvas, label

EIGENVALUES, SINGULAR = "Eigenvalues of the weights", "Singular values"
EXPONENTS = "Lyapunov exponents per step"
VARIANTS = ("", "-open", "-dot", "-open-dot")  # shapes stand for gates, their filling for cells
MARKS = 10


@dataclass(frozen=True)
class Spectrum:
    """A block of recurrent weights, and how it is drawn.

    Args:
        cell: The name of its cell.
        block: The block.
        gate: The place of its gate among all gates.
        look: The colour of its cell, the dash and the mark of its gate in that cell.
    """

    cell: str
    block: Row
    gate: int
    look: Look


def spectra_figure(found: Row) -> go.Figure | None:
    """Draw eigenvalues in the complex plane, singular values, and Lyapunov exponents.

    Args:
        found: What was found about a recurrence.

    Returns:
        The figure, or None where there are neither weights nor exponents.
    """
    blocks = spectra(found)
    with_roots = [each for each in blocks if eigenvalues(each.block)]
    with_sizes = [each for each in blocks if _known(each.block, "singular")]
    exponents = [(look, known) for look, known in _cell_exponents(found) if known]
    panels = {EIGENVALUES: with_roots, SINGULAR: with_sizes, EXPONENTS: exponents}
    shown = [title for title, parts in panels.items() if parts]
    if not shown:
        return None
    figure = canvas(shown, height=430, gap=0.08)
    if with_roots:
        _plane(figure, 1 + shown.index(EIGENVALUES), with_roots)
    if with_sizes:
        _falling(figure, 1 + shown.index(SINGULAR), with_sizes)
    if exponents:
        _exponents(figure, 1 + shown.index(EXPONENTS), exponents)
    for look, _ in _cell_exponents(found):
        figure.add_trace(_marks([(0, None)], look, showlegend=True), row=1, col=1)
    gates = gate_names(found)
    for gate, name in enumerate(gates if len(gates) > 1 else []):
        key = _gate_look(Look(label(name), GREY, "solid", ""), gate)
        figure.add_trace(_marks([(0, None)], key, showlegend=True), row=1, col=1)
    return figure


def spectra(found: Row) -> list[Spectrum]:
    """List the blocks of recurrent weights.

    Args:
        found: What was found about a recurrence.

    Returns:
        The blocks, cell by cell.
    """
    names = gate_names(found)
    return [
        Spectrum(cell_name(cell), block, gate, _gate_look(_cell_look(look, place), gate))
        for place, (cell, look) in enumerate(cells(found))
        for block in entries(cell, "spectra")
        for gate in [names.index(words(block, "name"))]
    ]


def _cell_look(look: Look, place: int) -> Look:
    return replace(look, symbol="circle" + VARIANTS[place % len(VARIANTS)], dash="solid")


def _gate_look(look: Look, gate: int) -> Look:
    shape = SYMBOLS[gate % len(SYMBOLS)]
    symbol = shape + look.symbol.removeprefix("circle")
    return replace(look, symbol=symbol, dash=DASHES[gate % len(DASHES)])


def _cell_exponents(found: Row) -> list[tuple[Look, list[float]]]:
    return [
        (_cell_look(look, place), _known(cell, "exponents"))
        for place, (cell, look) in enumerate(cells(found))
    ]


def gate_names(found: Row) -> list[str]:
    """List the blocks that the recurrent weights have.

    Args:
        found: What was found about a recurrence.

    Returns:
        Each name once.
    """
    blocks = (block for cell, _ in cells(found) for block in entries(cell, "spectra"))
    return list(dict.fromkeys(words(block, "name") for block in blocks))


def eigenvalues(block: Row) -> list[tuple[float, float]]:
    """Look up the eigenvalues of a block.

    Args:
        block: A block of recurrent weights.

    Returns:
        Their real and imaginary parts.
    """
    pairs = block.get("eigenvalues")
    found = [series({"pair": pair}, "pair") for pair in pairs] if isinstance(pairs, list) else []
    return [(p[0], p[1]) for p in found if len(p) == 2 and p[0] is not None and p[1] is not None]


def _known(mapping: Row, name: str) -> list[float]:
    return [number for number in series(mapping, name) if number is not None]


def _plane(figure: go.Figure, panel: int, blocks: list[Spectrum]) -> None:
    turns = [math.tau * place / 120 for place in range(121)]
    circle = [(math.cos(turn), math.sin(turn)) for turn in turns]
    unit = Look("unit circle", GREY, "solid", "circle")
    style = {"color": GREY, "width": 1.4}
    figure.add_trace(line(circle, unit, line=style, hoverinfo="skip"), row=1, col=panel)
    for each in blocks:
        drawn = _marks(eigenvalues(each.block), each.look)
        drawn.mode = "markers"
        drawn.hovertemplate = "%{x:.3f} %{y:+.3f}i<extra></extra>"
        figure.add_trace(drawn, row=1, col=panel)
    roots = [abs(part) for each in blocks for pair in eigenvalues(each.block) for part in pair]
    ends = [sign * 1.08 * max(1.0, *roots) for sign in (-1, 1)]
    figure.update_xaxes(title_text="real", nticks=5, range=ends, row=1, col=panel)
    figure.update_yaxes(range=ends, row=1, col=panel)
    # Circles must be round: the wider of the two axes gives way.
    anchor = f"x{panel}" if panel > 1 else "x"
    figure.update_yaxes(scaleanchor=anchor, constrain="domain", nticks=5, row=1, col=panel)
    figure.update_xaxes(constrain="domain", row=1, col=panel)


def _falling(figure: go.Figure, panel: int, blocks: list[Spectrum]) -> None:
    for each in blocks:
        curve = list(enumerate(_known(each.block, "singular"), start=1))
        figure.add_trace(_marks(curve, each.look), row=1, col=panel)
    figure.update_xaxes(title_text="place, largest first", row=1, col=panel)
    figure.update_yaxes(rangemode="tozero", row=1, col=panel)


def _exponents(figure: go.Figure, panel: int, curves: list[tuple[Look, list[float]]]) -> None:
    for look, known in curves:
        curve = list(enumerate(known, start=1))
        figure.add_trace(_marks(curve, look), row=1, col=panel)
    figure.add_hline(y=0, line={"color": GREY, "width": 1.4}, row=1, col=panel)
    figure.update_xaxes(title_text="place, largest first", row=1, col=panel)


def _marks(
    curve: Sequence[tuple[float, float | None]], look: Look, *, showlegend: bool = False
) -> go.Scatter:
    drawn = line(curve, look, showlegend)
    drawn.mode = "lines+markers"
    drawn.line = {"color": look.colour, "width": 1.8, "dash": look.dash}
    drawn.marker = {"symbol": look.symbol, "size": 7, "color": look.colour, "maxdisplayed": MARKS}
    drawn.hovertemplate = "%{fullData.name}, place %{x}: %{y:.4g}<extra></extra>"
    return drawn
