"""The recurrence that is taken out of somebody's model, and what its window is put into."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unrecur._check import InputError
from unrecur.audits.subject import unless_zero
from unrecur.exports.graph_window import check_replaceable, given_states, window_graph
from unrecur.exports.window_graph import window_model
from unrecur.interop.onnx_graph import Cut, cut_at
from unrecur.interop.onnx_stack import stack_at
from unrecur.interop.read import read_recurrences
from unrecur.interop.recurrence import Recurrence

Form = Literal["window", "graph"]
ALONE = "the recurrence alone was written: "
INSIDE = "the recurrence's inputs were given, not the graph's inputs by name"


@dataclass(frozen=True, eq=False)
class Source:
    """A recurrence in its file.

    Attributes:
        path: The file.
        recurrence: The recurrence.
        form: "graph" where the rest of an ONNX graph is kept, "window" where it is written alone.
        cut: The graph, cut at the recurrence; None for other files.
        data: The inputs: of the graph by name, or of the recurrence.
        notes: Why it is written alone, or which inputs are gone.
    """

    path: Path
    recurrence: Recurrence
    form: Form
    cut: Cut | None
    data: Any
    notes: tuple[str, ...] = ()

    @property
    def outputs(self) -> str:
        """Whose outputs an error is about, in words."""
        if self.cut is not None and self.form == "graph":
            return f"the graph's output '{self.cut.model.graph.output[0].name}'"
        return "the recurrence's outputs"

    def window(self, k: int) -> Any:
        """Make the feed-forward model of the last k inputs.

        Args:
            k: The length of the window.

        Returns:
            An `onnx.ModelProto`.
        """
        if self.cut is not None and self.form == "graph":
            return window_graph(self.cut, k)
        return window_model(self.recurrence, k)


def read_source(path: Path, select: str | None, data: Any) -> Source:
    """Read the one recurrence of a file and decide what its window is put into.

    Args:
        path: The file.
        select: The name of the recurrence, where there are several.
        data: The inputs, as for `unrecur.audit`; None for none.

    Returns:
        The recurrence in its file.

    Raises:
        InputError: There are several recurrences and none is selected, or the data do not fit.
    """
    found = read_recurrences(path, select)
    onnx = path.suffix.lower() == ".onnx"
    if isinstance(data, Mapping) and not onnx:
        raise InputError(f"expected the recurrence's own inputs for {path.name}, got a dict.")
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        cut = stack_at(path, [each.name for each in found]) if onnx else None
        if cut is None:
            raise InputError(
                f"{path}: expected one recurrence or a stack of layers, got {len(found)}: {names}. "
                "Choose one with select; it is written alone."
            )
    else:
        cut = cut_at(path, found[0].name) if onnx else None
    recurrence = found[0] if cut is None else cut.recurrence
    read = recurrence.notes
    if cut is None:
        return Source(path, recurrence, "window", None, data, read)
    if not isinstance(data, Mapping):
        return Source(path, recurrence, "window", cut, data, (ALONE + INSIDE, *read))
    x, starts = cut.before(data)
    if unless_zero(starts) is not None and recurrence.initial is None:
        raise InputError(
            f"the data start the state of '{recurrence.name}' from other values than zeros, and a "
            "window starts from zeros. Give zeros, at the beginning of a sequence."
        )
    if x.shape[1] < 2:
        raise InputError(
            f"{path} reads one step of the recurrence at a time, and a window takes k of them: the "
            "graph cannot be kept. Give the recurrence's own inputs [batch, time, features] "
            "instead; then it is written alone."
        )
    try:
        check_replaceable(cut)
    except InputError as error:
        return Source(path, recurrence, "window", cut, list(x), (f"{ALONE}{error}", *read))
    gone = given_states(cut)
    notes = (f"the inputs {', '.join(gone)} are gone: windows start from zeros",) if gone else ()
    return Source(path, recurrence, "graph", cut, dict(data), notes)
