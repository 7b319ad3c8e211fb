"""Reading the recurrences out of a model, whoever wrote it and in whatever format."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from torch import nn

from unrecur import _check
from unrecur._check import CorruptFileError, InputError
from unrecur.interop import arrays, keras_files, modules, nam, onnx_reader, torch_files
from unrecur.interop.recurrence import Found, Recurrence

READERS: dict[str, Callable[[Path], Found]] = {
    ".safetensors": torch_files.find_in_safetensors,
    ".pt": torch_files.find_in_torch_file,
    ".pth": torch_files.find_in_torch_file,
    ".bin": torch_files.find_in_torch_file,
    ".ckpt": torch_files.find_in_torch_file,
    ".jit": torch_files.find_in_torch_file,
    ".ts": torch_files.find_in_torch_file,
    ".torchscript": torch_files.find_in_torch_file,
    ".onnx": onnx_reader.find_in_onnx,
    ".keras": keras_files.find_in_keras,
    ".h5": keras_files.find_in_hdf5,
    ".hdf5": keras_files.find_in_hdf5,
    ".nam": nam.find_in_nam,
    ".npz": arrays.find_in_npz,
}


def read_recurrences(
    path_or_module: str | Path | nn.Module, select: str | None = None
) -> list[Recurrence]:
    """Read the recurrences of a model as cells. Nothing in a file is run or unpickled.

    A module may hold any of torch's recurrent modules, our own, and what is registered with
    `unrecur.interop.modules.layers_of`; its cells share its weights. A file is safetensors, a
    torch checkpoint or TorchScript archive, ONNX, Keras (`.keras`, `.h5`), a Neural Amp Modeler's
    `.nam`, or `.npz` with a mapping; its cells hold copies.

    Args:
        path_or_module: The file, told by its ending, or the module.
        select: The name of the one recurrence wanted; None for all.

    Returns:
        The recurrences in the order of the file.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: There is no recurrence, or none of that name, or one that our cells cannot
            represent, or weights that are no numbers, or the file would need code to be run.
        CorruptFileError: The file is truncated, damaged or of another kind than its ending says.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.GRU(3, 4, num_layers=2))
        >>> [(found.name, found.kind, len(found.cells)) for found in read_recurrences(model)]
        [('1', 'gru', 2)]
    """
    if isinstance(path_or_module, nn.Module):
        source, found = type(path_or_module).__name__, modules.find_in_module(path_or_module)
    else:
        source, found = str(path_or_module), _find_in_file(Path(path_or_module))
    if not found:
        raise InputError(
            f"{source}: expected a recurrence (RNN, LSTM or GRU), got none. A recurrence written "
            "by hand is read from the module itself, once its type is registered "
            "(unrecur.interop.modules.layers_of)."
        )
    names = list(found) if select is None else [_check.known_name(select, found, "recurrence")]
    return [_build(found, name, source, others=len(names) > 1) for name in names]


def _find_in_file(path: Path) -> Found:
    """Find the recurrences of a file by the reader of its ending."""
    with path.open("rb"):  # tells a missing or unreadable file from a damaged one
        pass
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise InputError(
            f"{path}: expected a model file ending in one of {', '.join(READERS)}, got "
            f"'{suffix}'. Rename or export it."
        )
    try:
        return READERS[suffix](path)
    except InputError as error:
        raise _placed(error, str(path)) from error


def _build(found: Found, name: str, source: str, others: bool) -> Recurrence:
    """Build one recurrence and check its numbers."""
    try:
        recurrence = dataclasses.replace(found[name](), name=name, source=source)
        for layer in recurrence.cells:
            for cell in layer:
                _check_numbers(cell)
    except InputError as error:
        left = [other for other in found if other != name]
        hint = f" The others can be read with select={left}." if others else ""
        raise _placed(error, f"{source}, recurrence '{name}'", hint) from error
    return recurrence


def _check_numbers(cell: nn.Module) -> None:
    """Check that a cell has weights and that they are finite."""
    for name, weight in cell.named_parameters():
        if weight.is_meta:
            raise InputError(
                f"expected weights with values, got {name} on the meta device. Load them first."
            )
        if bad := int((~weight.isfinite()).sum()):
            raise InputError(
                f"expected finite weights, got {bad} NaN or infinite values in {name}. The "
                "training diverged or the file is damaged: take an earlier checkpoint."
            )


def _placed(error: InputError, place: str, hint: str = "") -> InputError:
    """Say in which file and where in it."""
    kind = CorruptFileError if isinstance(error, CorruptFileError) else InputError
    return kind(f"{place}: {error}{hint}")
