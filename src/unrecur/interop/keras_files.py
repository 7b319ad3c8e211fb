"""Keras models: `.keras` archives, whole models in HDF5, and bare weights in HDF5."""

import io
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unrecur._check import InputError
from unrecur.cells.gated import AbstractTorchCell
from unrecur.interop.hdf5 import datasets, open_hdf5, read
from unrecur.interop.keras_config import Layer, parse_config, settings_of
from unrecur.interop.recurrence import Found, Recurrence, add
from unrecur.interop.weights import kind_of, make_cell
from unrecur.interop.zips import open_zip, read_member

# A cell's weights: cell/vars/0 in Keras 3, lstm_cell/kernel:0 before.
CELL = r"[^/]*cell(?:_\d+)?"
PLACE = re.compile(
    rf"(?P<cell>(?:.*/)?{CELL})/vars/(?P<number>[012])"
    r"|(?P<layer>.*)/(?P<what>kernel|recurrent_kernel|bias)(?::0)?"
)
WHATS = ("kernel", "recurrent_kernel", "bias")
HALF = re.compile(r"(.*/)(forward|backward)_[^/]*")
ORDERS = {4: "ifgo", 3: "zrn", 1: "h"}  # Keras calls the LSTM's g c
UNSUPPORTED = "cannot be represented by our cells. Train or export a model without it."

Weights = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Part:
    """The weights of one cell.

    Attributes:
        path: The group that holds the cell's weights.
        legacy: Whether groups go by layers' names (Keras 2) or by their classes (Keras 3).
        weights: `kernel`, `recurrent_kernel` and, where there is one, `bias`.
        layer: What the config says about it; None without a config.
        gate: The activation of its gates where no config says so.
    """

    path: str
    legacy: bool
    weights: Weights
    layer: Layer | None = None
    gate: str = "sigmoid"

    @property
    def place(self) -> str:
        """The group of the layer that the cell is in."""
        return re.sub(rf"/?{CELL}$", "", self.path)


def find_in_keras(path: Path) -> Found:
    """Find the recurrent layers of a `.keras` archive.

    Args:
        path: The file.

    Returns:
        The recurrences by the names of their layers.

    Raises:
        CorruptFileError: The archive or a member is damaged.
        InputError: The archive is a bomb, or links to other files.
    """
    with open_zip(path) as archive:
        config = parse_config(read_member(archive, "config.json"))
        content = io.BytesIO(read_member(archive, "model.weights.h5"))
    with open_hdf5(content) as opened:
        return _find(_parts(opened), config)


def find_in_hdf5(path: Path) -> Found:
    """Find the recurrent layers of a model or of weights that Keras wrote as HDF5.

    Args:
        path: The file.

    Returns:
        The recurrences by the names of their layers, or the paths of their weights.

    Raises:
        CorruptFileError: The file is damaged.
        InputError: It links to other files.
    """
    with open_hdf5(path) as opened:
        config = opened.attrs.get("model_config")
        version = opened.attrs.get("keras_version", "")
        parts = _parts(opened)
    if config is None:
        parts = [replace(part, gate=_default_gate(version)) for part in parts]
    return _find(parts, None if config is None else parse_config(config))


def _default_gate(version: Any) -> str:
    """Give the gates' activation of a Keras that was not told which: another one before 2.3."""
    text = version.decode(errors="replace") if isinstance(version, bytes) else str(version)
    numbers = re.match(r"(\d+)\.(\d+)", text)
    old = numbers is not None and (int(numbers[1]), int(numbers[2])) < (2, 3)
    return "hard_sigmoid" if old else "sigmoid"


def _parts(opened: Any) -> list[Part]:
    """Read the weights of everything that has recurrent ones."""
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for path, dataset in datasets(opened).items():
        if match := PLACE.fullmatch(path):
            what = match["what"] or WHATS[int(match["number"])]
            key = (match["cell"] or match["layer"], match["what"] is not None)
            groups.setdefault(key, {})[what] = dataset
    return [
        Part(path, legacy, {what: read(dataset) for what, dataset in group.items()})
        for (path, legacy), group in groups.items()
        if "kernel" in group and "recurrent_kernel" in group
    ]


def _find(parts: list[Part], config: Any) -> Found:
    """Put each cell to its settings, and the two halves of a Bidirectional together."""
    by_path, by_name = settings_of(config)
    layers: dict[str, list[Part]] = {}
    for part in parts:
        # The settings are those of the cell that a plain RNN was given, or the layer's.
        if part.legacy:
            last = part.place.rpartition("/")[2]
            names = [_parts_of(part.path), _parts_of(part.place), [last]]
            layer = next((by_name[n] for n in map("/".join, names) if n in by_name), None)
        else:
            layer = by_path.get(part.path) or by_path.get(part.place)
        half = HALF.fullmatch(part.place)
        layers.setdefault(half[1] if half else part.path, []).append(replace(part, layer=layer))
    found: Found = {}
    for place, halves in layers.items():
        forward_first = sorted(halves, key=lambda part: "/backward_" in part.place)
        pair = [("/backward_" in part.place) for part in forward_first] == [False, True]
        for together in [forward_first] if pair else [[part] for part in halves]:
            layer = together[0].layer
            name = layer.name if layer and layer.name else _plain(place)
            add(found, name, partial(_build, together))
    return found


def _parts_of(path: str) -> list[str]:
    """Cut a path into its parts, without those that say nothing."""
    parts = [part for part in path.split("/") if part not in ("", "layers", "model_weights")]
    return [part for at, part in enumerate(parts) if at == 0 or part != parts[at - 1]]


def _plain(place: str) -> str:
    """Name a layer by the path of its weights."""
    parts = _parts_of(place)
    if len(parts) > 1 and re.fullmatch(CELL, parts[-1]) and parts[-2] != "cells":
        parts.pop()
    return "/".join(parts)


def _build(parts: list[Part]) -> Recurrence:
    """Make the recurrence of one layer, in one direction or both."""
    settings = [
        {"recurrent_activation": part.gate} if part.layer is None else part.layer.settings
        for part in parts
    ]
    cells = [_cell(part.weights, own) for part, own in zip(parts, settings, strict=True)]
    notes: list[str] = []
    if parts[0].layer is None:
        notes.append("the file has no config: Keras's default activations were assumed.")
        if "bias" not in parts[0].weights and cells[0].gates == 3:
            notes.append("a GRU without biases was assumed to reset after the product.")
    reverse = len(parts) == 1 and bool(settings[0].get("go_backwards"))
    if reverse:
        notes.append("Keras gives the outputs of this layer in the order read, last step first.")
    return Recurrence("", [[*cells]], notes=tuple(notes), reverse=reverse)


def _cell(weights: Weights, settings: dict[str, Any]) -> AbstractTorchCell:
    """Make a cell from Keras's weights: transposed, gates and biases in its own order."""
    w_ih, w_hh = (torch.from_numpy(weights[what]) for what in ("kernel", "recurrent_kernel"))
    if w_ih.dim() != 2 or w_hh.dim() != 2:
        raise InputError(f"a recurrence over kernels of shape {list(w_hh.shape)} {UNSUPPORTED}")
    kind = kind_of(w_hh.T)
    if _by_cudnn(kind, weights):
        weights = _from_cudnn(weights, w_hh.shape[1] // w_hh.shape[0])
        settings = {**settings, "recurrent_activation": "sigmoid"}  # it knows no other
        w_ih, w_hh = (torch.from_numpy(weights[what]) for what in ("kernel", "recurrent_kernel"))
    activation = _activation(kind, settings)
    bias = torch.from_numpy(weights["bias"]) if "bias" in weights else None
    b_ih, b_hh = bias, torch.zeros_like(bias) if bias is not None else None
    reset_after = settings.get("reset_after", bias is None or bias.dim() == 2)
    if kind == "gru" and bias is not None and (bias.dim() == 2) != bool(reset_after):
        raise InputError(f"expected a bias for reset_after={reset_after}, got {list(bias.shape)}.")
    if kind == "gru" and not reset_after:
        kind = "reset_first_gru"
    elif kind == "gru" and bias is not None:
        b_ih, b_hh = bias[0], bias[1:].flatten()  # one bias for each of the two products
    order = ORDERS[w_hh.shape[1] // w_hh.shape[0]]
    return make_cell(kind, w_ih.T, w_hh.T, b_ih, b_hh, activation, order=order)


def _by_cudnn(kind: str, weights: Weights) -> bool:
    """Say whether a layer of Keras 2 kept its weights as CuDNN does: with two biases in a row."""
    bias = weights.get("bias")
    if kind not in ("lstm", "gru") or bias is None or bias.ndim != 1:
        return False
    return len(bias) == 2 * weights["recurrent_kernel"].shape[1]


def _from_cudnn(weights: Weights, gates: int) -> Weights:
    """Lay the weights of CuDNNLSTM or CuDNNGRU out as those of LSTM or GRU.

    CuDNN keeps the matrix of each gate transposed; Keras stored it in the shape of the other.

    Args:
        weights: As they are stored.
        gates: The number of gates.

    Returns:
        The weights that LSTM, or GRU with `reset_after`, has.
    """
    kernels = np.split(weights["kernel"], gates, 1)
    hidden = np.split(weights["recurrent_kernel"], gates, 1)
    biases = weights["bias"].reshape(2, -1)
    return {
        "kernel": np.hstack([kernel.T.reshape(kernel.shape, order="F") for kernel in kernels]),
        "recurrent_kernel": np.hstack([matrix.T for matrix in hidden]),
        "bias": biases.sum(0) if gates == 4 else biases,
    }


def _activation(kind: str, settings: dict[str, Any]) -> str:
    """Check the activations; give that of an Elman network."""
    activation = settings.get("activation", "tanh")
    gate = settings.get("recurrent_activation", "sigmoid")
    known = ("tanh", "relu") if kind == "elman" else ("tanh",)
    if activation not in known or gate != "sigmoid":
        raise InputError(f"the activations {activation!r} and {gate!r} of {kind} {UNSUPPORTED}")
    return str(activation)
