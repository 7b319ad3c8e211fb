"""A form as an ONNX model, and onnxruntime to run it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unrecur._check import InputError, extra
from unrecur.core.model import AbstractSequenceModel
from unrecur.exports.forms import Form, Port
from unrecur.exports.program import quiet, traced, why_not
from unrecur.exports.verify import Runner

OLDEST = 18  # of the operator sets: what torch writes without converting


def check_opset(opset: int) -> None:
    """Refuse an operator set that torch does not write or the installed onnx does not know.

    Args:
        opset: Its number.

    Raises:
        InputError: It is outside, or no whole number.
    """
    newest = extra("onnx", "interop").defs.onnx_opset_version()
    if not isinstance(opset, int) or not OLDEST <= opset <= newest:
        raise InputError(
            f"expected an opset from {OLDEST} to {newest}, that of the installed onnx, "
            f"got {opset!r}."
        )


def to_onnx(
    model: AbstractSequenceModel,
    form: Form,
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    k: int | None,
    opset: int,
) -> Any:
    """Write a form as an ONNX model.

    Args:
        model: The model, as `exportable` makes it.
        form: The form.
        inputs: Its inputs.
        outputs: Its outputs.
        k: The length of a window.
        opset: The operator set.

    Returns:
        The `onnx.ModelProto`.

    Raises:
        InputError: torch cannot export it, or not in this operator set.
    """
    extra("onnxscript", "interop")
    program = traced(model, form, inputs, k)
    with quiet():
        try:
            written: Any = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                opset_version=opset,
                input_names=[port.name for port in inputs],
                output_names=[port.name for port in outputs],
            )
            found = written.model_proto
        except Exception as error:  # torch's errors share no other type
            raise InputError(why_not(model, form, error)) from error
    versions = {item.domain: item.version for item in found.opset_import}
    if versions.get("") != opset:
        raise InputError(
            f"{type(model).__name__} as {form} cannot be written in opset {opset}: torch gives "
            f"{versions.get('')}."
        )
    return found


def session_of(content: bytes) -> Any:
    """Load an ONNX model into onnxruntime, on the processor and as many threads as torch uses.

    Args:
        content: The model's bytes.

    Returns:
        The `onnxruntime.InferenceSession`.

    Raises:
        InputError: onnxruntime lacks an operator, for the type of the numbers for instance.
    """
    runtime = extra("onnxruntime", "interop")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what goes wrong is raised
    try:
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no other type
        reason = str(error).strip()[:300]
        raise InputError(
            f"onnxruntime cannot run the graph ({reason}). A float64 model may lack an operator "
            "that float32 has: export model.float()."
        ) from error


def runner(session: Any) -> Runner:
    """Make what runs a session on tensors, in the order of its inputs.

    Args:
        session: The session.

    Returns:
        What runs it.
    """
    names = [item.name for item in session.get_inputs()]

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        feeds = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
        return [torch.from_numpy(value) for value in session.run(None, feeds)]

    return run
