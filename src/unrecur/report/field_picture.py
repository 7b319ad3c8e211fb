"""A picture of what one output of a stack of layers sees, as SVG."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from unrecur import _check
from unrecur.core.arithmetic import AbstractArithmetic, InTurn
from unrecur.core.field import Field

STEP, ROW, MARGIN, LABEL = 26, 64, 20, 150  # pixels between steps and rows, around, for the words
MOST_INPUTS = 200
DARK = "#1f4e79"


@dataclass(frozen=True)
class _Row:
    """The steps of one layer, as they stand over the inputs."""

    words: str
    length: int
    ratio: Fraction
    seen: frozenset[int]

    def x(self, step: int) -> float:
        """Where a step is drawn."""
        return LABEL + MARGIN + STEP * float(step / self.ratio)


def field_picture(geometry: AbstractArithmetic, inputs: int = 16, output: int | None = None) -> str:
    """Draw a stack of layers over a short sequence, and all that one of its outputs sees.

    Each row of dots is a layer's outputs, the lowest one the inputs; what the chosen output sees is
    dark, padding is a ring.

    Args:
        geometry: What `unrecur.field` gives.
        inputs: How many inputs are drawn, at most 200.
        output: Which output; the one at the middle where left out.

    Returns:
        An SVG document.

    Raises:
        InputError: There are too many inputs to draw, or too few for an output; or there is no such
            output.

    Example:
        >>> import unrecur
        >>> model = unrecur.build("tcn", in_features=1, out_features=1, hidden=2, levels=2)
        >>> unrecur.field_picture(unrecur.field(model), inputs=10)[:4]
        '<svg'
    """
    _check.positive_integer(inputs, "inputs")
    if inputs > MOST_INPUTS:
        raise _check.InputError(f"up to {MOST_INPUTS} inputs can be drawn, got {inputs}.")
    parts = list(_layers(geometry))
    outputs = geometry.length(inputs)
    if outputs == 0:
        raise _check.InputError(
            f"a sequence of {inputs} inputs has no output in this stack. Draw more inputs."
        )
    chosen = outputs // 2 if output is None else output
    if not 0 <= chosen < outputs:
        raise _check.InputError(
            f"{inputs} inputs have the outputs 0 to {outputs - 1}, got output {chosen}."
        )
    rows = _rows(geometry, parts, inputs, chosen)
    return "\n".join(_drawn(rows, parts))


def _layers(geometry: AbstractArithmetic) -> Iterator[AbstractArithmetic]:
    """List the layers from the input up, without those that see one step and give one."""
    if isinstance(geometry, InTurn):
        for part in geometry.parts:
            yield from _layers(part)
    elif geometry.field != Field() or geometry.ratio != 1:
        yield geometry


def _rows(
    geometry: AbstractArithmetic, parts: Sequence[AbstractArithmetic], inputs: int, output: int
) -> list[_Row]:
    """Follow one output down to the inputs; rows from the input up."""
    seen, down = np.array([output]), [frozenset([output])]
    for part in reversed(parts):
        seen = part.sees(seen)
        down.append(frozenset(seen.tolist()))
    first, last = geometry.field.past, geometry.field.future
    rows = [_Row(f"inputs: {int(first)} before, {int(last)} after", inputs, Fraction(1), down[-1])]
    for part, steps in zip(parts, reversed(down[:-1]), strict=True):
        below = rows[-1]
        words = f"{part.length(below.length)} outputs"
        if part.ratio != 1:
            words += f", stride {part.stride}"
        rows.append(_Row(words, part.length(below.length), below.ratio * part.ratio, steps))
    return rows


def _drawn(rows: Sequence[_Row], parts: Sequence[AbstractArithmetic]) -> Iterator[str]:
    """Write the document: lines first, dots over them."""
    ends = [x for row in rows for step in (*row.seen, 0, row.length - 1) for x in [row.x(step)]]
    # Padding may stand left of the first input.
    shift = max(LABEL + MARGIN - min(ends), 0)
    width, height = max(ends) + shift + MARGIN, ROW * (len(rows) - 1) + 2 * MARGIN
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
        f'width="{width:.0f}" height="{height}" font-family="sans-serif" font-size="12">'
    )
    yield f'<rect width="{width:.0f}" height="{height}" fill="#ffffff"/>'
    heights = [height - MARGIN - ROW * level for level in range(len(rows))]
    faint, dark = [], []
    for part, below, above, y in zip(parts, rows, rows[1:], heights, strict=False):
        for step in range(above.length):
            for source in part.sees([step]).tolist():
                line = (
                    f'<line x1="{below.x(source) + shift:.1f}" y1="{y}" '
                    f'x2="{above.x(step) + shift:.1f}" y2="{y - ROW}" '
                )
                if step in above.seen:
                    dark.append(line + f'stroke="{DARK}" stroke-width="1.6"/>')
                elif 0 <= source < below.length:
                    faint.append(line + 'stroke="#dddddd"/>')
    yield from faint + dark
    for row, y in zip(rows, heights, strict=True):
        yield f'<text x="8" y="{y + 4}" fill="#333333">{row.words}</text>'
        for step in sorted({*range(row.length), *row.seen}):
            stroke = DARK if step in row.seen else "#bbbbbb"
            fill = stroke if 0 <= step < row.length else "#ffffff"
            yield (
                f'<circle cx="{row.x(step) + shift:.1f}" cy="{y}" r="5" fill="{fill}" '
                f'stroke="{stroke}"/>'
            )
    yield "</svg>"
