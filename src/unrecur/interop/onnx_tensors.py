"""The tensors of ONNX models, those in other files included."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrecur._check import CorruptFileError, InputError, extra
from unrecur.interop.onnx_file import all_nodes, subgraphs


def to_array(tensor: Any, folder: Path) -> Any:
    """Read the numbers of a tensor, from the model or from a file beside it.

    Args:
        tensor: An `onnx.TensorProto`.
        folder: The model's folder, which external data must not leave.

    Returns:
        A numpy array.

    Raises:
        CorruptFileError: The numbers are not all there.
        InputError: The external data lie outside the folder.
    """
    onnx = extra("onnx", "interop")
    if any(size < 0 for size in tensor.dims):
        raise CorruptFileError(f"the tensor '{tensor.name}' has the shape {list(tensor.dims)}.")
    held = onnx.TensorProto()
    held.CopyFrom(tensor)
    _bring_in(held, folder)
    try:
        return onnx.numpy_helper.to_array(held)
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise CorruptFileError(
            f"expected the tensor '{tensor.name}' of shape {list(tensor.dims)}, got numbers that "
            f"do not fill it ({error}). Download or export the file again."
        ) from error


def load_external(model: Any, folder: Path) -> None:
    """Bring all external data into a model, so that whoever runs it opens no file.

    Args:
        model: An `onnx.ModelProto`, changed in place.
        folder: Its folder, which external data must not leave.

    Raises:
        CorruptFileError: The numbers are not all there.
        InputError: The external data lie outside the folder.
    """
    nodes = [*all_nodes(model.graph), *(n for body in model.functions for n in body.node)]
    graphs = [model.graph, *(graph for node in nodes for graph in subgraphs(node))]
    tensors = [tensor for graph in graphs for tensor in graph.initializer]
    for item in (item for node in nodes for item in node.attribute):
        tensors += [*([item.t] if item.HasField("t") else []), *item.tensors]
    for tensor in tensors:
        _bring_in(tensor, folder)


def _bring_in(tensor: Any, folder: Path) -> None:
    """Read the bytes of a tensor into it, if they are in another file."""
    if tensor.data_location == type(tensor).EXTERNAL:
        tensor.raw_data = _external(tensor, folder)
        tensor.data_location = type(tensor).DEFAULT
        del tensor.external_data[:]


def _external(tensor: Any, folder: Path) -> bytes:
    """Read the bytes of a tensor from the file that it names."""
    entry = {item.key: item.value for item in tensor.external_data}
    location = str(entry.get("location", "")).replace("\0", "")  # no path has it
    root = folder.resolve()
    # Resolved, so that neither .. nor a link leads out of the folder.
    path = (root / location).resolve()
    if not path.is_relative_to(root) or path == root:
        raise InputError(
            f"expected external data inside the model's folder {root}, got '{location}'. It is "
            "not read: copy the file there, or export again."
        )
    helper = extra("onnx", "interop").helper
    try:
        width = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        offset = int(entry.get("offset", 0))
        size = int(entry.get("length", math.prod(tensor.dims) * width))
        available = path.stat().st_size
        if size != math.prod(tensor.dims) * width or not 0 <= offset <= available - size:
            raise CorruptFileError(
                f"expected {math.prod(tensor.dims) * width} bytes of '{tensor.name}' at {offset}, "
                f"got a claim of {size} in a file of {available}. Download both files again."
            )
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except InputError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise CorruptFileError(
            f"expected the external data of '{tensor.name}' in '{path.name}' beside the model, got "
            f"{error}. Copy that file too."
        ) from error


def to_tensor(value: np.ndarray) -> Tensor:
    """Copy an array; what numpy has no type for (bfloat16) becomes float32, which is exact.

    Args:
        value: Any array of numbers.

    Returns:
        The tensor.
    """
    known = value.dtype.kind in "fiub" and value.dtype.name[0] in "fiub" and value.dtype.isnative
    return torch.from_numpy(value.astype(value.dtype if known else np.float32, copy=True))
