"""Exporting a model: traced, run again beside the model, and only then written."""

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from torch import nn

from unrecur import _check
from unrecur._check import InputError, extra
from unrecur._files import write_atomic
from unrecur._version import __version__
from unrecur.certificates.certificate import Certificate
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import leaves
from unrecur.exports import aot as native
from unrecur.exports import onnx_program, program
from unrecur.exports.forms import Form, Port, check_form, dtype_of, ports
from unrecur.exports.record import claim_of, metadata
from unrecur.exports.rewrite import exportable
from unrecur.exports.target import new_file
from unrecur.exports.unrolled import operators, refuse_recurrent, unrolled
from unrecur.exports.verify import TOLERANCES, Check, Runner, blocks_of, verify

SUFFIXES = (".onnx", ".pt2")


@dataclass(frozen=True)
class Exported:
    """A file that was run beside its model and found to agree.

    Attributes:
        path: The file.
        form: "block", "step" or "window".
        opset: The operator set of an ONNX file; None for .pt2.
        inputs: Its inputs, by name.
        outputs: Its outputs, by name.
        operators: The operators of an ONNX graph; none for .pt2.
        checks: What it was run on, and the largest difference from the model each time.
        metadata: What the file says of itself: the sha256 of the weights, and for a window k, the
            bound of its error and the evidence.
    """

    path: Path
    form: Form
    opset: int | None
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: tuple[str, ...]
    checks: tuple[Check, ...]
    metadata: dict[str, str]

    @property
    def largest(self) -> float:
        """The largest difference from the model that was seen."""
        return max(check.largest for check in self.checks)

    def __str__(self) -> str:
        runs = ", ".join(f"{check.batch}x{check.time}" for check in self.checks)
        return (
            f"{self.path}: {self.form} form, largest difference from the model {self.largest:.2g} "
            f"in {len(self.checks)} runs (rows x steps: {runs})"
        )


def export(
    model: AbstractSequenceModel,
    path: str | Path,
    form: Form = "block",
    *,
    k: int | None = None,
    samples: Any = None,
    tol: float | None = None,
    certificate: Certificate | None = None,
    opset: int = onnx_program.OLDEST,
    aot: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Write a model as an ONNX or .pt2 file that was run beside it and agreed.

    "block" maps x [batch, time, features] and the state to y and the next state, so that a sequence
    may be cut into blocks; "step" maps one step. The state's leaves are inputs `state.0.1` and
    outputs `next_state.0.1`, named by their places in the tree; batch and time are free. "window"
    maps exactly the last k inputs [batch, k, features] to the present output, without a state and
    without a loop or a recurrent node: matrix products, convolutions and pointwise functions.
    A model that starts from a source makes two files: "encode" maps the source [batch, source],
    rows of one length, to the state, which "step" and "block" go on from.

    The file is run in its own runtime on random inputs and on `samples`, at batches of 1 and 3 and
    1, 2 and 63 steps (where the model takes as many), all outputs and states compared. Where they
    differ by more than `tol`, nothing is written. Dropout is off in the file, and complex diagonal
    cells are written in real numbers.

    Args:
        model: The model; a truncated one (`unrecur.truncate`) as a window carries its k and bound.
        path: Where to, ending in .onnx or .pt2.
        form: "block", "step", "window" or "encode".
        k: The length of a window; needed for a model that sees its whole past.
        samples: Real inputs to compare on: a block, or a list of sequences; for "encode" sources.
        tol: The largest difference allowed in a number b, in units of 1 + |b|; 1e-4 for float32
            and 1e-9 for float64 if left out.
        certificate: The certificate of a recurrent model, for the bound of its window.
        opset: The ONNX operator set.
        aot: Whether a .pt2 file holds native code for this machine's kind of processor, compiled
            ahead of time by AOTInductor (some ten seconds; it takes a C++ compiler), instead of a
            program of torch.
        overwrite: Whether a file that is there may be replaced.

    Returns:
        What was written and how far it is from the model.

    Raises:
        InputError: The model has no such form, its weights are not finite or of another type than
            float32 or float64, the path or the operator set cannot be used, torch or onnxruntime
            cannot take the model, there is no compiler for `aot`, or the file differs from the
            model. No file is left.

    Example:
        >>> import tempfile, unrecur
        >>> from unrecur.exports.export import export
        >>> model = unrecur.build("gru", in_features=3, out_features=2, hidden=4)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = export(model, f"{folder}/m.pt2", "step")
        >>> [port.name for port in written.inputs], written.largest < 1e-5
        (['x', 'state.0.0'], True)
    """
    _check.known_name(form, get_args(Form), "form")
    path = new_file(Path(path), SUFFIXES, overwrite)
    if path.suffix == ".onnx":
        onnx_program.check_opset(opset)
    if aot and path.suffix != ".pt2":
        raise InputError(f"aot=True is for .pt2 files, got {path}.")
    check_form(model, form)
    claim = None
    if form == "window":
        original, claim = claim_of(model, k, certificate)
    elif k is not None or certificate is not None:
        raise InputError(f"k and a certificate are for form='window', got form='{form}'.")
    else:
        original = model
    original = copy.deepcopy(original).cpu().eval()
    _check_weights(original)
    blocks = blocks_of(samples, original)
    length = None if claim is None else claim.k
    inputs, outputs = ports(original, form, length)
    notes = metadata(original, form, inputs, claim)
    used: tuple[str, ...] = ()
    if path.suffix == ".onnx":
        content, run, used = _onnx_made(original, form, inputs, outputs, length, opset, notes)
    else:
        content, run = _program_made(original, form, inputs, length, notes, aot)
    allowed = TOLERANCES[dtype_of(original)] if tol is None else tol
    checks = verify(run, original, form, length, outputs, blocks, allowed)
    write_atomic(path, content)
    found = opset if path.suffix == ".onnx" else None
    return Exported(path, form, found, tuple(inputs), tuple(outputs), used, checks, notes)


def _onnx_made(
    model: AbstractSequenceModel,
    form: Form,
    inputs: list[Port],
    outputs: list[Port],
    k: int | None,
    opset: int,
    notes: dict[str, str],
) -> tuple[bytes, Runner, tuple[str, ...]]:
    """Make the bytes of an ONNX file, what runs them, and the names of their operators."""
    onnx = extra("onnx", "interop")
    if form == "window" and math.isinf(model.receptive_field.past):
        # One step is traced, whatever k: a trace of k steps would take k times as long.
        ends = ports(model, "step", None)
        step = onnx_program.to_onnx(exportable(model, True), "step", *ends, None, opset)
        graph = unrolled(step, *ends, leaves(model.init_state(1)), inputs[0], k or 0)
    else:
        graph = onnx_program.to_onnx(exportable(model, True), form, inputs, outputs, k, opset)
    if form == "window":
        refuse_recurrent(graph)
    onnx.helper.set_model_props(graph, notes)
    graph.producer_name, graph.producer_version = "unrecur", __version__
    content = graph.SerializeToString()
    run = onnx_program.runner(onnx_program.session_of(content))
    return content, run, operators(graph)


def _program_made(
    model: AbstractSequenceModel,
    form: Form,
    inputs: list[Port],
    k: int | None,
    notes: dict[str, str],
    aot: bool,
) -> tuple[bytes, Runner]:
    """Make the bytes of a .pt2 file, and what runs them."""
    made = program.traced(exportable(model, nodes=False), form, inputs, k)
    if aot:
        content = native.compiled(made, model, form, notes)
        return content, native.runner(content)
    content = program.to_bytes(made, notes)
    return content, program.runner(content)


def _check_weights(model: nn.Module) -> None:
    """Check that the weights are finite and of a type that runtimes take."""
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            _check.finite(value, f"the weight {name}")
    if (kind := dtype_of(model)) not in TOLERANCES:
        raise InputError(f"expected weights in float32 or float64, got {kind}. Convert the model.")
