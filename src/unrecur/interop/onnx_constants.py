"""What is constant in an ONNX graph: weights that reach a node through slices and the like."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unrecur._check import CorruptFileError, InputError, extra
from unrecur.interop.onnx_file import attributes
from unrecur.interop.onnx_tensors import to_array

LARGEST = 2**28  # numbers in one folded tensor
DEFAULT_DOMAINS = ("", "ai.onnx")
# Ops whose output is zero where their first input is.
_KEEP_ZERO = {
    "Identity",
    "Squeeze",
    "Unsqueeze",
    "Slice",
    "Transpose",
    "Reshape",
    "Cast",
    "Gather",
    "Expand",
    "Tile",
}

Inputs = list[Any]  # arrays, None for an input that is left out
Options = dict[str, Any]


def constants(graph: Any, folder: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    """Fold what is needed for some values, as far as it is constant.

    Args:
        graph: An `onnx.GraphProto`, in order.
        folder: The model's folder.
        wanted: The names of the values.

    Returns:
        The constant ones among them, and what they are made of, by name.

    Raises:
        CorruptFileError: A tensor is damaged, or a node does not fit its inputs.
        InputError: A tensor would be too large, or its data lie outside the folder.
    """
    reached = set(wanted)
    chain = []
    for node in reversed(graph.node):
        if reached.intersection(node.output) and _folds(node):
            chain.append(node)
            reached.update(node.input)
    values = {
        tensor.name: to_array(tensor, folder)
        for tensor in graph.initializer
        if tensor.name in reached
    }
    for node in reversed(chain):
        if all(not name or name in values for name in node.input):
            values[node.output[0]] = _fold(node, [values.get(name) for name in node.input], folder)
    return values


def zeros(graph: Any, values: dict[str, np.ndarray], folder: Path) -> set[str]:
    """Find the values that are zero whatever their shape, as exporters write a state to start from.

    Args:
        graph: An `onnx.GraphProto`, in order.
        values: Its constants.
        folder: The model's folder.

    Returns:
        The names.
    """
    zero = {name for name, value in values.items() if not np.any(value)}
    for node in graph.node:
        if node.domain not in DEFAULT_DOMAINS:
            continue
        if node.op_type == "ConstantOfShape":
            fill = attributes(node).get("value")
            if fill is None or not np.any(to_array(fill, folder)):
                zero.update(node.output)
        elif (node.op_type in _KEEP_ZERO and zero.intersection(node.input[:1])) or (
            node.op_type == "Concat" and zero.issuperset(node.input)
        ):
            zero.update(node.output)
    return zero


def _folds(node: Any) -> bool:
    """Say whether a node is one of those that are folded."""
    return node.domain in DEFAULT_DOMAINS and node.op_type in _OPS and len(node.output) == 1


def _fold(node: Any, inputs: Inputs, folder: Path) -> np.ndarray:
    """Compute the output of one node."""
    options = attributes(node)
    try:
        if node.op_type == "Constant":
            return _constant(options, folder)
        return _OPS[node.op_type](inputs, options)
    except InputError:
        raise
    except Exception as error:  # inputs of wrong shapes can trip numpy over anything
        raise CorruptFileError(
            f"expected the node '{node.name or node.op_type}' to fit its inputs, got {error}. "
            "Export the model again."
        ) from error


def _constant(options: Options, folder: Path) -> np.ndarray:
    """The value of a Constant node."""
    ((name, value),) = options.items()
    if name == "value":
        return to_array(value, folder)
    if name in ("value_float", "value_floats"):
        return np.asarray(value, np.float32)
    if name in ("value_int", "value_ints"):
        return np.asarray(value, np.int64)
    raise InputError(f"expected a constant of numbers, got one of kind {name}.")


def _axes(inputs: Inputs, options: Options) -> list[int] | None:
    """The axes of a node: an input since opset 13, an attribute before."""
    axes = inputs[1] if len(inputs) > 1 and inputs[1] is not None else options.get("axes")
    return None if axes is None else [int(axis) for axis in np.ravel(axes)]


def _squeeze(inputs: Inputs, options: Options) -> np.ndarray:
    axes = _axes(inputs, options)
    return np.squeeze(inputs[0], None if axes is None else tuple(axes))


def _unsqueeze(inputs: Inputs, options: Options) -> np.ndarray:
    return np.expand_dims(inputs[0], tuple(_axes(inputs, options) or ()))


def _concat(inputs: Inputs, options: Options) -> np.ndarray:
    _allow(sum(part.size for part in inputs))
    return np.concatenate(inputs, options["axis"])


def _slice(inputs: Inputs, options: Options) -> np.ndarray:
    if len(inputs) > 1:
        starts, ends, axes, steps = (*inputs[1:], None, None)[:4]
    else:  # before opset 10
        starts, ends, axes, steps = options["starts"], options["ends"], options.get("axes"), None
    places = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    cut = [slice(None)] * inputs[0].ndim
    for axis, start, end, step in zip(places, starts, ends, steps, strict=True):
        cut[int(axis)] = slice(int(start), int(end), int(step))
    return inputs[0][tuple(cut)]


def _reshape(inputs: Inputs, options: Options) -> np.ndarray:
    old, new = inputs[0].shape, [int(size) for size in inputs[1]]
    if not options.get("allowzero"):
        new = [old[place] if size == 0 else size for place, size in enumerate(new)]
    return inputs[0].reshape(new)


def _gather(inputs: Inputs, options: Options) -> np.ndarray:
    axis = options.get("axis", 0)
    _allow(inputs[1].size * inputs[0].size // max(1, inputs[0].shape[axis]))
    return np.take(inputs[0], inputs[1], axis)


def _cast(inputs: Inputs, options: Options) -> np.ndarray:
    _allow(inputs[0].size)
    return inputs[0].astype(extra("onnx", "interop").helper.tensor_dtype_to_np_dtype(options["to"]))


def _expand(inputs: Inputs, _: Options) -> np.ndarray:
    shape = np.broadcast_shapes(inputs[0].shape, tuple(int(size) for size in inputs[1]))
    _allow(math.prod(shape))
    return np.broadcast_to(inputs[0], shape)


def _allow(size: int) -> None:
    """Refuse a tensor that is larger than any recurrence's weights."""
    if size > LARGEST:
        raise InputError(f"expected weights of at most {LARGEST} numbers, got {size}.")


_OPS: dict[str, Callable[[Inputs, Options], np.ndarray]] = {
    "Constant": lambda inputs, _: inputs[0],  # has no inputs: see _constant
    "Identity": lambda inputs, _: inputs[0],
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Slice": _slice,
    "Transpose": lambda inputs, options: np.transpose(inputs[0], options.get("perm")),
    "Reshape": _reshape,
    "Cast": _cast,
    "Gather": _gather,
    "Expand": _expand,
}
