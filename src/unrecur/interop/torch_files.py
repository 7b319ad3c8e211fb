"""Torch's checkpoints and safetensors: their named tensors, and nothing of a pickle's code."""

import pickle
import re
from collections import deque
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from unrecur._check import CorruptFileError, InputError
from unrecur.interop import torchscript
from unrecur.interop.modules import find_in_module
from unrecur.interop.recurrence import Found
from unrecur.interop.state_dicts import find_in_tensors, is_recurrent
from unrecur.interop.zips import open_zip
from unrecur.models.spec import load_model

MOST_ENTRIES = 1_000_000  # of all dictionaries in a checkpoint
REFUSED_BY_TORCH = re.compile(r"(?:GLOBAL|class|global|function)[: ]+(?:GLOBAL )?[`']?([\w.]+)")


def find_in_safetensors(path: Path) -> Found:
    """Find the recurrences of a safetensors file; one of `unrecur.save_model` is read as a model.

    Args:
        path: The file.

    Returns:
        The recurrences.

    Raises:
        CorruptFileError: It is no whole safetensors file.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            if "unrecur" in (file.metadata() or {}):
                return find_in_module(load_model(path)[1])
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names if is_recurrent(name)}
    except safetensors.SafetensorError as error:
        raise CorruptFileError(
            f"expected a whole safetensors file, got a truncated or damaged one ({error}). "
            "Download or save it again."
        ) from error
    return find_in_tensors(tensors)


def find_in_torch_file(path: Path) -> Found:
    """Find the recurrences of what `torch.save` or `torch.jit.save` wrote.

    Args:
        path: The file.

    Returns:
        The recurrences.

    Raises:
        CorruptFileError: The file is truncated or damaged, or none of torch's.
        InputError: Its pickle needs code to be run.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PK\x03\x04":
        with open_zip(path) as archive:
            if torchscript.is_archive(archive):
                return torchscript.find_in_archive(archive)
    return find_in_tensors(_tensors_of(_load(path)))


def _load(path: Path) -> Any:
    """Load a checkpoint by torch's loader for weights only, which runs nothing."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if match := REFUSED_BY_TORCH.search(str(error)):
            raise InputError(
                f"expected a checkpoint of tensors only, got a pickle that needs code: {match[1]}. "
                "Nothing of it was run. Save model.state_dict() instead, or safetensors."
            ) from error
        raise _damaged(error) from error
    except Exception as error:  # a damaged pickle can trip torch's loader over anything
        raise _damaged(error) from error


def _damaged(error: Exception) -> CorruptFileError:
    """Say that a checkpoint cannot be read."""
    reason = str(error).partition("\n")[0]
    return CorruptFileError(
        "expected a whole checkpoint of torch, got a truncated or damaged file, or one of "
        f"another format ({type(error).__name__}: {reason}). Download or save it again."
    )


def _tensors_of(loaded: Any) -> dict[str, Tensor]:
    """Collect the recurrent tensors of a checkpoint's dictionaries, names joined by dots."""
    tensors: dict[str, Tensor] = {}
    entries, seen = 0, set()
    waiting: deque[tuple[str, Any]] = deque([("", loaded)])
    while waiting:
        prefix, value = waiting.popleft()
        if not isinstance(value, dict) or id(value) in seen:
            continue
        seen.add(id(value))  # a pickle may hold itself
        entries += len(value)
        if entries > MOST_ENTRIES:
            raise InputError(f"expected at most {MOST_ENTRIES} entries, got more.")
        for key, part in value.items():
            name = f"{prefix}.{key}" if prefix else str(key)
            if isinstance(part, Tensor) and is_recurrent(name):
                tensors[name] = _held(name, part)
            elif isinstance(part, dict):
                waiting.append((name, part))
    return tensors


def _held(name: str, tensor: Tensor) -> Tensor:
    """Check that a tensor is as large as what the file holds of it, not blown up by strides."""
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise InputError(
            f"expected {name} as a dense tensor, got {tensor.layout}, {tensor.dtype}. Quantized "
            "and sparse weights are not read."
        )
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise CorruptFileError(
            f"expected {name} to fit its storage, got the shape {list(tensor.shape)}. Save it "
            "again."
        )
    return tensor
