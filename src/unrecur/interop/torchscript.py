"""TorchScript archives: their tensors, without running any of their code."""

import zipfile
from collections import deque
from typing import Any

import torch
from torch import Tensor

from unrecur._check import CorruptFileError, InputError
from unrecur.interop import torchscript_code
from unrecur.interop.pickle_data import Record, TensorRef
from unrecur.interop.pickles import read_pickle
from unrecur.interop.recurrence import Found
from unrecur.interop.state_dicts import find_in_tensors, is_recurrent
from unrecur.interop.zips import read_member

STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
}


def is_archive(archive: zipfile.ZipFile) -> bool:
    """Tell a TorchScript archive from a checkpoint, which has no constants.

    Args:
        archive: A zip file of torch's.

    Returns:
        Whether it is TorchScript.
    """
    return any(_inside(name) == "constants.pkl" for name in archive.namelist())


def find_in_archive(archive: zipfile.ZipFile) -> Found:
    """Find the recurrences of a TorchScript archive, frozen or not.

    Args:
        archive: The archive.

    Returns:
        The recurrences by the names of their modules.

    Raises:
        CorruptFileError: A member is missing, damaged or malformed.
        InputError: Its pickle needs code to be run.
    """
    root = next(name for name in archive.namelist() if _inside(name) == "constants.pkl")
    root = root.removesuffix("constants.pkl")
    if (order := f"{root}byteorder") in archive.namelist() and (
        read_member(archive, order) != b"little"
    ):
        raise InputError("expected little-endian numbers, got others. Save it on another machine.")
    refs, kinds, declared = _walk(read_pickle(read_member(archive, f"{root}data.pkl")))
    tensors = {name: _tensor(archive, f"{root}data/", ref) for name, ref in refs.items()}
    code = torchscript_code.read_code(archive, f"{root}code/")
    activations = declared | {
        prefix: activation
        for prefix, kind in kinds.items()
        if prefix not in declared and (activation := torchscript_code.activation(code, kind))
    }
    frozen = torchscript_code.frozen_weights(code)
    if frozen.numbers:
        constants = read_pickle(read_member(archive, f"{root}constants.pkl"))
        for name, index in frozen.numbers.items():
            held = (
                constants[index]
                if isinstance(constants, tuple) and index < len(constants)
                else None
            )
            if not isinstance(held, TensorRef):
                raise CorruptFileError(
                    f"expected a tensor as the constant {index}, got none. Save the file again."
                )
            tensors[name] = _tensor(archive, f"{root}constants/", held)
    return find_in_tensors(tensors, activations | frozen.activations)


def _inside(name: str) -> str:
    """A member's path without the archive's one folder."""
    return name.partition("/")[2]


def _walk(model: Any) -> tuple[dict[str, TensorRef], dict[str, str], dict[str, str]]:
    """Collect recurrent tensors, the types of their modules, and what activations are declared."""
    refs: dict[str, TensorRef] = {}
    kinds: dict[str, str] = {}
    activations: dict[str, str] = {}
    seen: set[int] = set()
    waiting: deque[tuple[str, Any]] = deque([("", model)])
    while waiting:
        prefix, record = waiting.popleft()
        if not isinstance(record, Record) or not isinstance(record.state, dict):
            continue
        if id(record) in seen:  # a pickle may hold itself
            continue
        seen.add(id(record))
        for key, value in record.state.items():
            name = f"{prefix}.{key}" if prefix else str(key)
            if isinstance(value, Record):
                waiting.append((name, value))
            elif isinstance(value, TensorRef) and is_recurrent(name):
                refs[name] = value
                kinds[prefix] = record.kind
            elif key == "nonlinearity" and isinstance(value, str):
                activations[prefix] = value
    return refs, kinds, activations


def _tensor(archive: zipfile.ZipFile, folder: str, ref: TensorRef) -> Tensor:
    """Read the numbers of a tensor."""
    if ref.storage_type not in STORAGES:
        raise InputError(
            f"expected floating-point weights, got {ref.storage_type}. Quantized weights are not "
            "read: use the file from before quantization."
        )
    content = bytearray(read_member(archive, f"{folder}{ref.key}"))
    dtype = STORAGES[ref.storage_type]
    try:
        storage = torch.frombuffer(content, dtype=dtype)
        tensor = storage.as_strided(ref.shape, ref.strides, ref.offset)
    except (ValueError, RuntimeError) as error:
        raise CorruptFileError(
            f"expected a tensor {list(ref.shape)} in '{folder}{ref.key}', got {len(content)} bytes "
            "that do not hold it. Download or save the file again."
        ) from error
    if tensor.numel() > storage.numel():
        raise CorruptFileError(
            f"expected a tensor that fits its storage, got the shape {list(ref.shape)} for "
            f"{storage.numel()} numbers."
        )
    return tensor
