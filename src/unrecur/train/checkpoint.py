"""Checkpoints: all that a training run needs to go on exactly, in one safetensors file.

Tensors are named `model.*`, `best.*`, `optimizer.<number>.*`, `state.*` and `random.*`; everything
else is JSON in the file's metadata. One file, replaced in one move: it is whole or it is the last
one.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from unrecur._check import CorruptFileError, InputError
from unrecur._files import write_atomic
from unrecur.train.whole import load_whole_, parted_as, whole, whole_state


@dataclass
class Progress:
    """How far a training run has come.

    Attributes:
        epoch: The epoch under way, from 0.
        batch: How many of its batches are done.
        loss: The sum of the step losses of these batches.
        steps: The number of their steps.
        seconds: The time trained so far.
        history: One entry for each finished epoch: epoch (from 1), train, valid, seconds.
        best: The best validation metric; None before the first epoch has ended.
        best_epoch: The epoch (from 1) that reached it.
        guard: What `check_loss` remembers.
        measured: The last measurements of gradients, as JSON values, if they are watched.
        warnings: What was found in them, one entry a layer and kind.
        scale: The state of the loss scale, of mixed precision in 16 bits.
        left_out: How many steps it has left out in a row.
    """

    epoch: int = 0
    batch: int = 0
    loss: float = 0.0
    steps: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best: float | None = None
    best_epoch: int = 0
    guard: list[float] = field(default_factory=list)
    measured: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    scale: dict[str, float] = field(default_factory=dict)
    left_out: int = 0


def save_checkpoint(
    path: Path | None,
    identity: dict[str, Any],
    progress: Progress,
    model: nn.Module,
    best: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    state: list[Tensor],
) -> None:
    """Write a checkpoint.

    Args:
        path: Where to; None in a process that writes nothing and hands in its part of the weights.
        identity: What the run is; only the same run may go on from here.
        progress: How far it has come.
        model: The model.
        best: The weights of the best epoch so far; empty before the first has ended.
        optimizer: The optimizer.
        state: What the model carries to the next batch of a stream.

    Raises:
        OSError: The file cannot be written; the last checkpoint stays.
    """
    tensors = {f"model.{name}": value for name, value in whole_state(model).items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for number, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": whole(value) for name, value in values.items()}
    if path is None:
        return
    tensors |= {f"state.{number}": leaf for number, leaf in enumerate(state)}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    # Copies, as safetensors refuses tensors that share memory (the best weights may be today's).
    tensors = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    metadata = {"identity": json.dumps(identity), "progress": json.dumps(asdict(progress))}
    write_atomic(path, safetensors.torch.save(tensors, metadata))


def load_checkpoint(
    path: Path, identity: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[Progress, dict[str, Tensor], list[Tensor]]:
    """Read a checkpoint into a model and an optimizer, and set torch's random state.

    Args:
        path: The file.
        identity: What this run is.
        model: Takes the weights.
        optimizer: Takes its state.

    Returns:
        How far the run has come, the weights of its best epoch, and what the model carries on.

    Raises:
        CorruptFileError: The file is truncated or damaged.
        InputError: It belongs to another run.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            written, progress = json.loads(metadata["identity"]), json.loads(metadata["progress"])
            # Copies: a tensor within the file may lie off the boundaries of 64 bytes on which torch
            # puts its own, and then a matrix product rounds differently.
            parts = _parts({name: file.get_tensor(name).clone() for name in file.keys()})  # noqa: SIM118
        if written == json.loads(json.dumps(identity)):
            load_whole_(model, parts["model"])
            _load_optimizer(optimizer, parts.get("optimizer", {}))
            torch.set_rng_state(parts["random"]["cpu"])
            if "cuda" in parts["random"] and torch.cuda.is_available():
                torch.cuda.set_rng_state(parts["random"]["cuda"])
            carried = parts.get("state", {})
            state = [carried[str(number)] for number in range(len(carried))]
            return Progress(**progress), parts.get("best", {}), state
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CorruptFileError(
            f"the checkpoint {path} is truncated or damaged ({error}). Delete it to start this "
            "training run from the beginning; nothing else depends on it."
        ) from error
    raise InputError(
        f"the checkpoint {path} belongs to another run ({_difference(written, identity)}). Choose "
        "another place, or delete it."
    )


def _parts(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Sort tensors by the first part of their names."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = value
    return parts


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put the optimizer's tensors back in their places."""
    state: dict[int, dict[str, Tensor]] = {}
    parameters = [value for group in optimizer.param_groups for value in group["params"]]
    for name, value in tensors.items():
        number, _, entry = name.partition(".")
        of = parameters[int(number)]
        state.setdefault(int(number), {})[entry] = parted_as(value, of)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _difference(written: Any, expected: dict[str, Any]) -> str:
    """Say in which entries two identities differ."""
    if not isinstance(written, dict):
        return "no identity"
    keys = [key for key in expected if written.get(key) != expected[key]]
    return ", ".join(f"{key}: {written.get(key)!r} there, {expected[key]!r} here" for key in keys)
