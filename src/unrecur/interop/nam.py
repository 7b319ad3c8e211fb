"""Neural Amp Modeler's `.nam` files: JSON, the weights one flat list.

The format is that of NeuralAmpModelerCore: for each layer of an LSTM the matrix [W_ih, W_hh] row by
row, the sum of both biases, and the hidden and cell state to start from; then the linear head.
"""

from collections import deque
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unrecur._check import CorruptFileError, InputError
from unrecur.interop.keras_config import parse_config
from unrecur.interop.recurrence import Found, Layers, Recurrence, add
from unrecur.interop.weights import make_cell

LARGEST_FILE = 2**28  # bytes
RECURRENT = ("LSTM", "CatLSTM")


def find_in_nam(path: Path) -> Found:
    """Find the recurrences of a `.nam` file; those of a Sequential are its LSTMs.

    Args:
        path: The file.

    Returns:
        The recurrences.

    Raises:
        CorruptFileError: It is truncated or damaged.
        InputError: It is a model without recurrence, of which the receptive field is told, or of
            an unknown architecture.
    """
    if path.stat().st_size > LARGEST_FILE:
        raise InputError(f"expected at most {LARGEST_FILE} bytes, got more.")
    model = parse_config(path.read_bytes())
    found: Found = {}
    field = 1
    waiting = deque([model])
    while waiting:
        part = waiting.popleft()
        architecture, config = _parts(part)
        if architecture == "Sequential":
            waiting.extend(_list(config, "models"))
        elif architecture in RECURRENT:
            add(found, "lstm", partial(_build, part, config))
        else:
            field += _receptive_field(architecture, config) - 1
            if isinstance(inner := config.get("condition_dsp"), dict):
                waiting.append(inner)
    if not found:
        raise InputError(
            f"expected an LSTM, got the architecture {_parts(model)[0]}, which is not recurrent: "
            f"its receptive field is {field} samples. There is no recurrence to take out."
        )
    return found


def _parts(model: Any) -> tuple[str, dict[str, Any]]:
    """Give the architecture and the config of a model."""
    if not isinstance(model, dict) or not isinstance(model.get("config"), dict):
        raise CorruptFileError(
            "expected a model with 'architecture', 'config' and 'weights', got something else. "
            "Download or export it again."
        )
    return str(model.get("architecture")), model["config"]


def _list(config: dict[str, Any], key: str) -> list[Any]:
    """Give a list of a config."""
    if not isinstance(value := config.get(key), list):
        raise CorruptFileError(f"expected a list '{key}' in the config, got {type(value)}.")
    return value


def _integer(config: dict[str, Any], key: str, default: int | None = None) -> int:
    """Give a size of a config."""
    return _size(config.get(key, default), key)


def _size(value: Any, key: str) -> int:
    """Check that a number of a config is a size."""
    if type(value) is not int or value < 1:
        raise CorruptFileError(f"expected sizes of at least 1 as '{key}', got {value!r:.50}.")
    return value


def _build(model: dict[str, Any], config: dict[str, Any]) -> Recurrence:
    """Cut the flat list of an LSTM into its layers."""
    layers, features = _integer(config, "num_layers"), _integer(config, "input_size")
    hidden, shown = _integer(config, "hidden_size"), _integer(config, "out_channels", 1)
    first, further = (4 * hidden * (width + hidden) + 6 * hidden for width in (features, hidden))
    head = shown * (hidden + 1)
    expected = first + (layers - 1) * further + head
    weights = _numbers(model.get("weights"))
    if len(weights) != expected:
        raise CorruptFileError(
            f"expected {expected} weights for {layers} layer(s) of {hidden} units, got "
            f"{len(weights)}. Download or export the file again."
        )
    cells: Layers = []
    initial = []
    *parts, _ = weights.split([first, *[further] * (layers - 1), head])
    for layer, part in enumerate(parts):
        width = hidden if layer else features
        matrix, bias, h, c = part.split([len(part) - 6 * hidden, 4 * hidden, hidden, hidden])
        w_ih, w_hh = matrix.view(4 * hidden, width + hidden).split([width, hidden], 1)
        cells.append([make_cell("lstm", w_ih, w_hh, bias)])
        initial.append([torch.cat([c, h])[None]])
    note = "the linear head behind the LSTM is not part of the recurrence."
    return Recurrence("", cells, notes=(note,), initial=initial)


def _numbers(weights: Any) -> Tensor:
    """Check that the weights are a list of numbers."""
    if not isinstance(weights, list) or not all(type(w) in (int, float) for w in weights):
        raise CorruptFileError("expected 'weights' as a list of numbers, got something else.")
    try:
        return torch.tensor(weights, dtype=torch.float32)
    except (OverflowError, RuntimeError) as error:
        raise CorruptFileError(f"expected weights that are floats, got {error}.") from error


def _receptive_field(architecture: str, config: dict[str, Any]) -> int:
    """Compute how many samples one output of a feed-forward model sees."""
    if architecture == "Linear":
        return _integer(config, "receptive_field")
    if architecture == "ConvNet":  # kernels of two taps
        return 1 + sum(_dilations(config))
    if architecture != "WaveNet":
        raise InputError(
            f"expected the architecture LSTM, WaveNet, ConvNet, Linear or Sequential, got "
            f"'{architecture}'."
        )
    field = 1
    for array in _list(config, "layers"):
        dilations = _dilations(array)
        if "kernel_sizes" in array:
            kernels = _sizes(array, "kernel_sizes")
        else:
            kernels = [_integer(array, "kernel_size")] * len(dilations)
        if len(kernels) != len(dilations):
            raise CorruptFileError("expected as many kernel sizes as dilations.")
        field += sum(d * (size - 1) for d, size in zip(dilations, kernels, strict=True))
        head = array.get("head")
        field += _integer(head, "kernel_size", 1) - 1 if isinstance(head, dict) else 0
    if isinstance(head := config.get("head"), dict):
        field += sum(size - 1 for size in _sizes(head, "kernel_sizes"))
    return field


def _dilations(config: Any) -> list[int]:
    """Give the dilations of a stack of convolutions."""
    if not isinstance(config, dict):
        raise CorruptFileError("expected a stack of convolutions as an object of JSON.")
    return _sizes(config, "dilations")


def _sizes(config: dict[str, Any], key: str) -> list[int]:
    """Give a list of sizes."""
    return [_size(value, key) for value in _list(config, key)]
