"""Somebody's trained model, truncated to its last k inputs and written as feed-forward ONNX."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from unrecur import _check
from unrecur._check import InputError, extra
from unrecur._files import write_atomic
from unrecur._version import __version__
from unrecur.certificates.certificate import Evidence
from unrecur.exports.comparison import Comparison, compare_graphs, compare_windows
from unrecur.exports.least_window import (
    TIERS,
    LeastWindow,
    given_window,
    least_window,
    prove_weights,
)
from unrecur.exports.sight import Sight, draw, see
from unrecur.exports.source import Form, Source, read_source
from unrecur.exports.target import new_file
from unrecur.exports.window_graph import MOST_STEPS, check_window

BUDGET = 2e12  # multiplications, as for an audit
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class TruncatedFile:
    """A feed-forward file that was written, and what is said of it.

    Attributes:
        path: The file.
        source: The file that it was made from.
        sha256: The hash of the source.
        recurrence: The name of the recurrence that was taken out.
        select: The name that was asked for; None for the only one.
        kind: What it was: "lstm", "gru", ...
        form: "window": the recurrence alone, `window` [batch, k, features] to `output` [batch,
            units]. "graph": the source's own graph, with its inputs and outputs.
        window: k, the error stated, the evidence for it and what it holds for.
        eps: The error that was asked for; None where k was.
        of: Whose outputs the error is about.
        seen: What was seen when it was run beside the original.
        drawn: Whether they were run on random inputs of the box, for want of data.
        notes: What else is to be known.
    """

    path: Path
    source: Path
    sha256: str
    recurrence: str
    select: str | None
    kind: str
    form: Form
    window: LeastWindow
    eps: float | None
    of: str
    seen: Comparison
    drawn: bool
    notes: tuple[str, ...]

    @property
    def k(self) -> int:
        """The length of the window."""
        return self.window.k

    @property
    def bound(self) -> float:
        """The error stated."""
        return self.window.bound

    @property
    def evidence(self) -> Evidence:
        """What the error stated rests on."""
        return self.window.evidence


def truncate_file(
    path: str | Path,
    out: str | Path,
    eps: float | None = None,
    k: int | None = None,
    data: Any = None,
    select: str | None = None,
    output: Callable[[Any], Tensor] | None = None,
    input_box: Any = None,
    evidence: Evidence | str | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> TruncatedFile:
    """Truncate the recurrence of a trained model and write it as feed-forward ONNX.

    The file written holds no Loop, Scan, RNN, LSTM or GRU: k steps are unrolled. It is run in
    onnxruntime beside the original first; if any output differs by more than is stated, nothing
    is written. The error stated is proved from the weights where it can be, else it holds for new
    sequences with probability 0.95 where there are sequences enough, else it is what was measured.

    Args:
        path: The model: ONNX, Keras, `.nam`, safetensors, a torch state dict, ...
        out: The file to write, `.onnx`.
        eps: The largest error allowed in any output. Give either this or k.
        k: The length of the window.
        data: The inputs it is judged on, as for `unrecur.audit`: for an ONNX file a dict of its
            inputs by name, and then the whole graph is written; else the recurrence's own inputs.
            May be left out where input_box is given and the error can be proved.
        select: The name of the recurrence, where there are several.
        output: Makes the model's outputs, which the error is about, of the recurrence's, [B, T, E].
        input_box: The inputs to prove it for, as for `unrecur.certify`; the box that the data fill
            if left out.
        evidence: "proved", "statistical" or "measured", where only that shall count.
        progress: Is told what is done, and which part of the whole, from 0 to 1.
        overwrite: Whether a file that is there may be replaced.

    Returns:
        What was written, and what is said of it.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: There is no recurrence, or one that also reads from the end, or several and
            none is selected; no window reaches eps, or k is not shorter than the data; the file to
            write is there already, or cannot be written; or it differs from the original by more
            than is stated.
        CorruptFileError: The file is damaged.
    """
    path, out = Path(path), Path(out)
    tell = progress or (lambda what, part: None)
    tier = _check_arguments(eps, k, data, input_box, evidence)
    if out.exists() and path.exists() and out.samefile(path):
        raise InputError(f"{out} is the model itself, which is kept. Choose another name.")
    new_file(out, (".onnx",), overwrite)
    tell("reading", 0.0)
    source = read_source(path, select, data)
    check_window(source.recurrence, k or 1)
    tell("the error of windows", 0.1)
    if data is None:
        sight, window = _by_weights(source, eps, k, input_box)
    else:
        sight = see(source, output, BUDGET)
        window = _by_data(sight, source, eps, k, input_box, tier)
    tell(f"unrolling {window.k} steps", 0.7)
    model = source.window(window.k)
    tell("running it beside the original", 0.8)
    if source.cut is not None and source.form == "graph":
        seen = compare_graphs(model, source.cut, source.data)
    else:
        seen = compare_windows(model, sight, window.k, source.cut)
    if not seen.error <= window.bound:
        raise InputError(
            f"{out} was not written: in onnxruntime it differs from the original by "
            f"{seen.error:.3g} on these inputs, and {window.bound:.3g} was stated. Please report "
            "this with the file."
        )
    result = TruncatedFile(
        path=out,
        source=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        recurrence=source.recurrence.name,
        select=select,
        kind=source.recurrence.kind,
        form=source.form,
        window=window,
        eps=eps,
        of="the model's outputs, made of the recurrence's" if output else source.outputs,
        seen=seen,
        drawn=sight.drawn,
        notes=(*source.notes, *sight.subject.notes),
    )
    extra("onnx", "interop").helper.set_model_props(model, metadata(result))
    write_atomic(out, model.SerializeToString())
    tell("done", 1.0)
    return result


def metadata(result: TruncatedFile) -> dict[str, str]:
    """Say in words what the file's metadata say.

    Args:
        result: What was written.

    Returns:
        The entries, all names beginning with "unrecur.".
    """
    entries = {
        "version": __version__,
        "form": result.form,
        "k": result.k,
        "eps": "" if result.eps is None else repr(result.eps),
        "bound": repr(result.bound),
        "evidence": result.evidence,
        "of": result.of,
        "holds_for": "; ".join(result.window.holds_for),
        "seen": repr(result.seen.error),
        "windows_seen": result.seen.windows,
        "recurrence": result.recurrence,
        "source": result.source.name,
        "source_sha256": result.sha256,
    }
    return {f"unrecur.{name}": str(value) for name, value in entries.items()}


def _check_arguments(
    eps: float | None, k: int | None, data: Any, input_box: Any, evidence: Evidence | str | None
) -> Evidence | None:
    """Check what was asked for, before any file is read; give the evidence that counts."""
    if (k is None) == (eps is None):
        raise InputError("give either k (a window) or eps (an error), not both and not neither.")
    if k is not None:
        _check.positive_integer(k, "k")
    if eps is not None:
        _check.positive(eps, "eps")
    if data is None and input_box is None:
        raise InputError(
            "give data to measure the error on, or input_box to prove it for: without either "
            "nothing can be said of the file."
        )
    if evidence is None:
        return None
    tier = Evidence(_check.known_name(str(evidence), TIERS, "evidence"))
    if data is None and tier is not Evidence.PROVED:
        raise InputError(f"{tier} evidence takes data. Give data.")
    return tier


def _by_data(
    sight: Sight,
    source: Source,
    eps: float | None,
    k: int | None,
    input_box: Any,
    tier: Evidence | None,
) -> LeastWindow:
    """Find the window on the user's data."""
    if k is not None and k >= sight.longest:
        raise InputError(
            f"k={k} is not shorter than the data, whose longest sequence has {sight.longest} steps:"
            " nothing would be truncated, and nothing could be checked. Give longer sequences."
        )
    x = sight.subject.sequences.x
    given = (x.amin(0), x.amax(0)) if input_box is None else input_box
    prove = partial(prove_weights, sight.subject, given)
    if k is not None:
        return given_window(sight, prove, k, tier)
    assert eps is not None
    longest = min(MOST_STEPS // len(source.recurrence.cells), sight.longest - 1)
    return least_window(sight, prove, eps, longest, tier)


def _by_weights(
    source: Source, eps: float | None, k: int | None, input_box: Any
) -> tuple[Sight, LeastWindow]:
    """Find the window by a proof alone, and inputs of the box to check the file on."""
    recurrence = source.recurrence
    sight = draw(recurrence, source.path, input_box, k or 1, BUDGET)
    prove = partial(prove_weights, sight.subject, input_box)
    if k is not None:
        return sight, given_window(sight, prove, k, Evidence.PROVED)
    assert eps is not None
    longest = MOST_STEPS // len(recurrence.cells)
    window = least_window(sight, prove, eps, longest, Evidence.PROVED)
    return draw(recurrence, source.path, input_box, window.k, BUDGET), window
