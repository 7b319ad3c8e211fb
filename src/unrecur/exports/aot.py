"""A program of torch compiled ahead of time by AOTInductor, for the processor it is compiled on."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unrecur._check import InputError
from unrecur.core.model import AbstractSequenceModel
from unrecur.exports.forms import Form
from unrecur.exports.program import quiet, why_not
from unrecur.exports.verify import Runner

PACKAGE = "model.pt2"


def compiled(
    program: torch.export.ExportedProgram,
    model: AbstractSequenceModel,
    form: Form,
    notes: dict[str, str],
) -> bytes:
    """Compile a program into the bytes of a package of native code.

    Args:
        program: The program.
        model: The model that it was traced from.
        form: The form.
        notes: What the file says of itself.

    Returns:
        The bytes of a .pt2 file, for `torch._inductor.aoti_load_package` or its C++ counterpart.

    Raises:
        InputError: There is no C++ compiler, or torch cannot compile the form.
    """
    from torch import _inductor

    settings = {"aot_inductor.metadata": notes}
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = str(Path(folder) / PACKAGE)
        try:
            _inductor.aoti_compile_and_package(
                program, package_path=path, inductor_configs=settings
            )
        except Exception as error:  # torch's errors share no other type
            raise InputError(
                f"{why_not(model, form, error)} Compiling takes a C++ compiler, and torch does not "
                "compile every loop over time: a step or a window, or the file without aot=True, "
                "may be had."
            ) from error
        return Path(path).read_bytes()


def runner(content: bytes) -> Runner:
    """Load the bytes of a package of ours, to run it. They are native code, which is executed.

    Args:
        content: The bytes that `compiled` made.

    Returns:
        What runs the package.
    """
    from torch import _inductor

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PACKAGE
        path.write_bytes(content)
        package: Any = _inductor.aoti_load_package(str(path))

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        return list(package(*inputs))

    return run
