"""Tracing a form into a program of torch, and writing that as .pt2."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from unrecur._check import InputError
from unrecur.core.model import AbstractSequenceModel
from unrecur.exports.forms import BATCH, SOURCE, TIME, Form, Port, Traced, example
from unrecur.exports.verify import Runner

NOTES = "unrecur.json"
TALKATIVE = ("torch", "torch.onnx", "torch.export", "torch.fx", "onnxscript", "onnx_ir")


def traced(
    model: AbstractSequenceModel, form: Form, inputs: Sequence[Port], k: int | None
) -> torch.export.ExportedProgram:
    """Trace a form with torch.export, its batch and time free.

    Args:
        model: The model, as `exportable` makes it.
        form: The form.
        inputs: Its inputs.
        k: The length of a window.

    Returns:
        The program.

    Raises:
        InputError: torch cannot trace it; the message has torch's reason.
    """
    sizes = {name: torch.export.Dim(name, min=1) for name in (BATCH, TIME, SOURCE)}
    free = [
        {place: sizes[size] for place, size in enumerate(port.shape) if isinstance(size, str)}
        for port in inputs
    ]
    shapes = (free[0], tuple(free[1:])) if len(free) > 1 else (free[0],)
    with quiet(), torch.no_grad():
        try:
            return torch.export.export(
                Traced(model, form), example(model, form, k), dynamic_shapes=shapes, strict=False
            )
        except InputError:
            raise
        except Exception as error:  # torch's errors share no other type
            raise InputError(why_not(model, form, error)) from error


def why_not(model: AbstractSequenceModel, form: Form, error: BaseException) -> str:
    """Say that torch cannot export a form.

    Args:
        model: The model.
        form: The form.
        error: What torch raised.

    Returns:
        The message, with what went wrong first.
    """
    while error.__cause__ is not None:  # what went wrong first says why
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = " ".join(lines[:3])[:300]
    return (
        f"torch cannot export {type(model).__name__} as {form}: {type(error).__name__}, {reason}. "
        "Nothing was written."
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what exporters say of their own passes off the screen; their errors are raised.

    Yields:
        Nothing.
    """
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def to_bytes(program: torch.export.ExportedProgram, notes: dict[str, str]) -> bytes:
    """Write a program as the bytes of a .pt2 file.

    Args:
        program: The program.
        notes: What the file says of itself.

    Returns:
        The bytes.
    """
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={NOTES: json.dumps(notes)})
    return buffer.getvalue()


def runner(content: bytes) -> Runner:
    """Load the bytes of a .pt2 file of ours, to run it.

    Args:
        content: The bytes that `to_bytes` made.

    Returns:
        What runs the program.
    """
    module: Any = torch.export.load(io.BytesIO(content)).module()

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        return list(module(*inputs))

    return run
