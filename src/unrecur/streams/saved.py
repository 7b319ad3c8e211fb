"""The state of a stream in a safetensors file, for exactly the model it is of."""

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor
from torch.utils import _pytree

from unrecur._check import CorruptFileError, InputError
from unrecur._files import write_atomic
from unrecur.core.state import State, leaves
from unrecur.streams.machine import AbstractMachine


def save_state(path: Path, machine: AbstractMachine, state: State, come: int) -> None:
    """Write the state of a stream, atomically.

    Args:
        path: Where to.
        machine: What is streamed; its identity is kept.
        state: The state.
        come: How many inputs have come.

    Raises:
        OSError: The file cannot be written; what was there before stays.
    """
    tensors = {str(place): leaf.detach().clone() for place, leaf in enumerate(leaves(state))}
    kept = {"model": machine.identity, "come": come}
    write_atomic(path, safetensors.torch.save(tensors, {"unrecur_stream": json.dumps(kept)}))


def load_state(path: Path, machine: AbstractMachine, batch: int) -> tuple[State, int]:
    """Read what `save_state` wrote. Nothing in the file is run.

    Args:
        path: The file.
        machine: What is streamed.
        batch: The number of rows.

    Returns:
        The state, and how many inputs have come.

    Raises:
        FileNotFoundError: There is no such file.
        CorruptFileError: It is no whole file of a stream's state.
        InputError: It is the state of another model, or of another number of rows.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            kept = json.loads((file.metadata() or {})["unrecur_stream"])
            # Copies, on torch's own boundaries; see `load_checkpoint`.
            found = [file.get_tensor(str(n)).clone() for n in range(len(file.keys()))]
        model, come = str(kept["model"]), int(kept["come"])
    except FileNotFoundError:
        raise
    except (safetensors.SafetensorError, ValueError, LookupError, TypeError) as error:
        raise CorruptFileError(
            f"{path} is no whole state of a stream ({error}). Begin the stream anew, or save its "
            "state again."
        ) from error
    if model != machine.identity:
        raise InputError(
            f"{path} is the state of a stream of another model, or of other weights. Give the "
            "model that it was saved with."
        )
    rows = len(found[0]) if found else batch
    if rows != batch:
        raise InputError(f"{path} is the state of {rows} rows, got a stream of {batch}.")
    return _as(machine, found, batch, path), _count(come, path)


def _as(machine: AbstractMachine, found: list[Tensor], batch: int, path: Path) -> State:
    """Put leaves into the tree of a machine's state, and hold them to its shapes and types."""
    wanted, tree = _pytree.tree_flatten(machine.init_state(batch))
    if [_kind(leaf) for leaf in found] != [_kind(leaf) for leaf in wanted]:
        raise CorruptFileError(f"{path} is a damaged state: its shapes are not the model's.")
    placed = [leaf.to(like.device) for leaf, like in zip(found, wanted, strict=True)]
    return _pytree.tree_unflatten(placed, tree)


def _kind(leaf: Tensor) -> tuple[Any, ...]:
    """Give what all states of a model have alike."""
    return leaf.dtype, *leaf.shape


def _count(come: int, path: Path) -> int:
    """Refuse a count that no stream comes to."""
    if come < 0:
        raise CorruptFileError(f"{path} is a damaged state: {come} inputs have come.")
    return come
