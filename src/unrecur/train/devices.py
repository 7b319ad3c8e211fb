"""Where training runs: a device, a precision, one process or several."""

import math
import os
from dataclasses import replace
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard

from unrecur._check import InputError
from unrecur.data.batches import Batch
from unrecur.data.losses import IGNORED
from unrecur.train.config import Precision

Strategy = Literal["ddp", "fsdp"]


def fabric_on(device: str, precision: Precision = "32-true", strategy: Strategy = "ddp") -> Fabric:
    """Make the fabric that runs on a device.

    Started by `torchrun`, it spans all processes: each has a copy of the model and exchanges
    gradients ("ddp"), or each keeps a part of the weights, gradients and moments ("fsdp").

    Args:
        device: "cpu", "cuda", "cuda:1", ...
        precision: See `TrainConfig`.
        strategy: What several processes share.

    Returns:
        The fabric.

    Raises:
        InputError: There is no such device, or it does not have the precision.
    """
    if precision == "16-mixed" and torch.device(device).type == "cpu":
        raise InputError("precision '16-mixed' needs a CUDA device. On a CPU take 'bf16-mixed'.")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
        if processes() > 1:
            return _spanning(place, precision, strategy)
        devices: Any = 1 if place.type == "cpu" or place.index is None else [place.index]
        return Fabric(accelerator=place.type, devices=devices, precision=precision)
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"there is no device '{device}' here ({reason}). Use --device cpu."
        ) from error


def processes() -> int:
    """Count the processes that `torchrun` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _spanning(place: torch.device, precision: Precision, strategy: Strategy) -> Fabric:
    """Make the fabric of all processes that were started, and join them."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    sharding: Any = strategy
    if strategy == "fsdp":
        sharding = ModelParallelStrategy(_shard, processes(), 1)
    fabric = Fabric(
        accelerator=place.type,
        devices=here,
        num_nodes=processes() // here,
        strategy=sharding,
        precision=precision,
    )
    fabric.launch()
    return fabric


def _shard(model: nn.Module, mesh: Any) -> nn.Module:
    """Let each process keep its part of every weight."""
    fully_shard(model, mesh=mesh["data_parallel"])
    return model


def share(batch: Batch, rank: int, world: int) -> Batch:
    """Take one process's rows of a batch: every `world`-th, from `rank` on.

    All shares are padded to the length of the whole batch, so that the processes take as many
    steps. One without rows of its own runs the first row with targets that do not count.

    Args:
        batch: The batch.
        rank: The number of the process.
        world: How many there are.

    Returns:
        Its rows.

    Example:
        >>> import torch
        >>> x, target = torch.randn(3, 2, 1), torch.ones(3, 2, dtype=torch.long)
        >>> batch = Batch(x, target, torch.tensor([2, 2, 2]), torch.arange(3))
        >>> share(batch, 1, 2).index, share(batch, 3, 4).target
        (tensor([1]), tensor([[-100, -100]]))
    """
    if world == 1:
        return batch
    idle = rank >= len(batch.x)
    rows = slice(0, 1) if idle else slice(rank, None, world)
    target = batch.target[rows]
    if idle:
        blank = math.nan if target.is_floating_point() else IGNORED
        target = torch.full_like(target, blank)

    def taken(part: Tensor | None) -> Tensor | None:
        return None if part is None else part[rows]

    return replace(
        batch,
        x=batch.x[rows],
        target=target,
        lengths=batch.lengths[rows],
        index=batch.index[rows],
        source=taken(batch.source),
        source_lengths=taken(batch.source_lengths),
    )
