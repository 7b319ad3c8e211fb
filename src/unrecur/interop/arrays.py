"""Bare `.npz` arrays, with a small JSON file beside them that says which is what.

`weights.npz` is explained by `weights.json`:

    {"recurrences": [{"name": "encoder", "kind": "lstm", "gates": "ifgo", "transposed": true,
                      "layers": [[{"weight_ih": "W", "weight_hh": "U", "bias_ih": "b"}]]}]}

`layers` lists, from the bottom up, one cell or a forward and a backward one. `gates` is the order
in which the arrays stack their gates, one letter each (i, f, g, o; r, z, n), torch's if left out;
`transposed` says that matrices are [D, G H] and [H, G H]; `activation` is that of an Elman network.
Arrays that have the names of a torch state dict need no such file.
"""

import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrecur import _check
from unrecur._check import CorruptFileError, InputError
from unrecur.interop.keras_config import parse_config
from unrecur.interop.recurrence import Found, Layers, Recurrence, add
from unrecur.interop.state_dicts import find_in_tensors
from unrecur.interop.weights import GATES, TORCH_ORDER, make_cell
from unrecur.interop.zips import open_zip, read_member

MATRICES, VECTORS = ("weight_ih", "weight_hh"), ("bias_ih", "bias_hh")
OPTIONS = {"name", "kind", "gates", "transposed", "activation", "layers"}


def find_in_npz(path: Path) -> Found:
    """Find the recurrences of an `.npz` file.

    Args:
        path: The file; its mapping is the file of the same name that ends in `.json`.

    Returns:
        The recurrences by the names that the mapping gives.

    Raises:
        CorruptFileError: The archive, an array or the mapping is damaged.
        InputError: There is no mapping, or it does not fit the arrays.
    """
    arrays = _read_arrays(path)
    mapping = path.with_suffix(".json")
    if not mapping.exists():
        found = find_in_tensors(arrays)
        if not found:
            raise InputError(
                f"expected arrays named as in a torch state dict, or the mapping {mapping.name} "
                f"beside the file, got the arrays {', '.join(sorted(arrays))[:300]}. "
                'Write {"recurrences": [{"name": ..., "kind": "lstm", "layers": '
                '[[{"weight_ih": ..., "weight_hh": ...}]]}]} there.'
            )
        return found
    found = {}
    for entry in _entries(parse_config(mapping.read_bytes())):
        add(found, str(entry.get("name", "recurrence")), partial(_build, entry, arrays))
    return found


def _read_arrays(path: Path) -> dict[str, Tensor]:
    """Read the arrays; numpy never unpickles here."""
    arrays = {}
    with open_zip(path) as archive:
        for member in archive.namelist():
            content = read_member(archive, member)
            try:
                array = _array(content)
            except Exception as error:  # numpy parses the header in several ways
                raise CorruptFileError(
                    f"expected numbers in '{member}', got a damaged array or Python objects "
                    f"({error}). Save plain arrays with numpy.savez."
                ) from error
            arrays[member.removesuffix(".npy")] = array
    return arrays


def _array(content: bytes) -> Tensor:
    """Read one array, after a look at what its header claims."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0
    shape, _, dtype = (header if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if dtype.hasobject or dtype.kind not in "fiub" or size != len(content) - file.tell():
        raise ValueError(f"{size} bytes of {dtype} claimed, {len(content) - file.tell()} there")
    array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    if dtype.kind == "u" and dtype.itemsize > 1:
        array = array.astype(np.int64)
    return torch.from_numpy(np.ascontiguousarray(array, array.dtype.newbyteorder("=")))


def _entries(mapping: Any) -> list[dict[str, Any]]:
    """Check the outline of a mapping."""
    entries = mapping.get("recurrences") if isinstance(mapping, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError('expected a mapping {"recurrences": [{...}, ...]}, got something else.')
    return entries


def _build(entry: dict[str, Any], arrays: dict[str, Tensor]) -> Recurrence:
    """Make one recurrence of a mapping."""
    for key in entry:
        _check.known_name(key, OPTIONS, "key of a mapping")
    kind = _check.known_name(str(entry.get("kind")), GATES.keys() - {"peephole_lstm"}, "kind")
    order = entry.get("gates", TORCH_ORDER[GATES[kind]])
    if not isinstance(order, str) or sorted(order) != sorted(TORCH_ORDER[GATES[kind]]):
        raise InputError(f"expected gates in an order of {TORCH_ORDER[GATES[kind]]}, got {order}.")
    cells: Layers = []
    for layer in _listed(entry.get("layers"), "layers"):
        cells.append([])
        for names in _listed(layer, "a layer's cells"):
            weights = _weights(names, arrays, bool(entry.get("transposed")))
            activation = str(entry.get("activation", "tanh"))
            cells[-1].append(make_cell(kind, *weights, activation, order=order))
    return Recurrence("", cells)


def _listed(value: Any, what: str) -> list[Any]:
    """Check that a part of the mapping is a list with something in it."""
    if not isinstance(value, list) or not value:
        raise InputError(f"expected {what} as a list, got {json.dumps(value)[:100]}.")
    return value


def _weights(
    names: Any, arrays: dict[str, Tensor], transposed: bool
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Find the arrays of one cell, in torch's layout."""
    if not isinstance(names, dict):
        raise InputError('expected a cell as {"weight_ih": ..., "weight_hh": ...}.')
    for key in names:
        _check.known_name(key, [*MATRICES, *VECTORS], "weight")
    named = {key: name for key, name in names.items() if key in MATRICES or name is not None}
    found = {
        key: arrays[_check.known_name(str(named.get(key)), arrays, "array")]
        for key in (*MATRICES, *named)
    }
    w_ih, w_hh = (found[key].T if transposed else found[key] for key in MATRICES)
    return w_ih, w_hh, found.get("bias_ih"), found.get("bias_hh")
