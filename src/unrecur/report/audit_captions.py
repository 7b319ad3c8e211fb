"""What to read from each figure of an audit."""

from collections.abc import Callable

from unrecur.report.audit_rows import QUANTITIES, cells, errors
from unrecur.report.audit_wording import flow_sentences, whole
from unrecur.report.rows import Row, section, value, words


def _memory(found: Row) -> str:
    limit = value(found, "curve", "limit")
    seen = [k for of in QUANTITIES for k, _ in errors(found, of)["onward"]]
    return (
        "How wrong a model is that started from nothing k inputs ago. The solid line is the worst "
        "that was seen with k inputs or more; the k at which it falls below the error you allow "
        "is the least window. The hidden state is what the recurrence shows of its state, left out "
        "where that is the output or the state itself. The thin line and its band are the single "
        "sequences, where there are several. Proved bounds lie above what is measured; one that "
        "lies far above is among the numbers only, and an error of zero ends its line."
        + (
            f" Beyond k = {whole(limit)}, half of the longest sequence, too little was seen to be "
            "believed (upright line)."
            if limit is not None and max(seen, default=0) > limit
            else ""
        )
    )


def _cost(_: Row) -> str:
    return (
        "What the errors do to what the model is for: the share of decisions that are others when "
        "only the last k inputs are seen (the band: single sequences), and the metric of all "
        "outputs, with the level of the model that sees all inputs, dotted. The k from which on "
        "a curve lies on its level is enough."
    )


def _units(found: Row) -> str:
    lags = [known for cell, _ in cells(found) if (known := value(cell, "units", "lags"))]
    looked = f" ({whole(max(lags))} at most)" if lags else ""
    return (
        "The steps after which less than half of a small change of a number is left anywhere in "
        "its cell's state, for all numbers of the state. A line that rises at its end shows a few "
        "numbers that remember for all; open triangles, if any, kept half for as long as was looked"
        f"{looked}. A counter keeps a small change, and a run from nothing never meets it; a "
        "latch loses small changes, and such a run never meets it either; a saturated number is "
        "at an end of its range nearly always; a dead one never changes."
    )


def _gradients(found: Row) -> str:
    sampled = any(section(cell, "flow").get("exact") is False for cell, _ in cells(found))
    inputs = section(found, "inputs")
    return (
        "How much of a small change of the state is left after so many steps, and how much of the "
        f"gradient of {words(inputs, 'of', 'the outputs')} arrives at each input. A straight line "
        "forgets exponentially; where the path through gates alone lies on the whole, gates "
        f"decide how long. {flow_sentences(found)}"
        + (" Gains were sampled: the band is two standard errors." if sampled else "")
    )


def _gates(_: Row) -> str:
    return (
        "How often each gate was how far open. A gate that is always at one end does nothing "
        "that a constant would not; a forget gate near 1 (for a GRU, an update gate) keeps."
    )


def _spectra(_: Row) -> str:
    return (
        "The weights from state to state of each gate, by themselves: eigenvalues inside the unit "
        "circle and singular values below 1 shrink what they act on. Lyapunov exponents are those "
        "of the whole cell along the data: below zero the state forgets, by that many nats a "
        "step; near zero something is kept; above, small changes grow. Shapes and dashes stand "
        "for gates, colours and filling for cells."
    )


CAPTIONS: dict[str, Callable[[Row], str]] = {
    "memory": _memory,
    "cost": _cost,
    "units": _units,
    "gradients": _gradients,
    "gates": _gates,
    "spectra": _spectra,
}
