"""The sequences of a split: pairs of inputs and targets, checked before they are used."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from unrecur import _check
from unrecur._check import InputError
from unrecur.data.losses import IGNORED, counted

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
NAMES: dict[Split, tuple[str, ...]] = {  # what people call them
    "train": ("train",),
    "valid": ("valid", "val", "dev", "validation"),
    "test": ("test",),
}
Pair = tuple[Tensor, Tensor]


@runtime_checkable
class Sequences(Protocol):
    """The sequences of a split; a list of pairs is one.

    Others are read when they are needed, from a disk for example. They may have `lengths`, the
    number of steps of each; else each is read once to count them.
    """

    def __len__(self) -> int:
        """Count the sequences."""

    def __getitem__(self, index: int, /) -> Pair:
        """Give the inputs and the targets of a sequence, of the same length.

        Args:
            index: Which one, from 0.
        """


@dataclass(frozen=True)
class Some:
    """Some sequences of a split.

    Attributes:
        whole: All of them.
        all_lengths: Their lengths.
        index: Which are taken.
    """

    whole: Sequences
    all_lengths: np.ndarray
    index: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """The lengths of those taken."""
        return self.all_lengths[self.index]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, number: int) -> Pair:
        return self.whole[int(self.index[number])]


def known_steps(target: Tensor) -> Tensor:
    """Mark the steps of one sequence at which something is to be predicted.

    Args:
        target: The targets of the sequence.

    Returns:
        One truth value a step.
    """
    return counted(target[None], torch.tensor([len(target)]))[0]


def check_pair(
    pair: Pair,
    name: str,
    in_features: int,
    out_features: int,
    tokens: bool,
    box: tuple[float, float] | None,
) -> None:
    """Check one sequence; see `Task`.

    Args:
        pair: Its inputs and its targets.
        name: What an error calls it.
        in_features: The number of its features, or of token ids.
        out_features: The number of classes, where targets are classes.
        tokens: Whether the inputs are token ids.
        box: The least and the largest value of an input; None for any.

    Raises:
        InputError: It is malformed.
    """
    x, target = pair
    if tokens:
        _check_tokens(x, name, in_features)
    else:
        _check_floats(x, name, in_features, box)
    if len(target) != len(x):
        raise InputError(f"{name}: {len(x)} inputs but {len(target)} targets.")
    if target.is_floating_point():
        _check.finite(torch.where(target.isnan(), 0, target), f"targets of {name}")
    elif target.dim() == 1:
        classes = target[target != IGNORED]
        if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < out_features:
            raise InputError(
                f"{name}: expected classes from 0 to {out_features - 1} (or {IGNORED}), got "
                f"{int(classes.min())} to {int(classes.max())}."
            )


def _check_tokens(x: Tensor, name: str, size: int) -> None:
    """Check the inputs of a sequence of token ids."""
    if x.dim() != 1 or len(x) == 0 or x.dtype is not torch.int64:
        raise InputError(
            f"{name}: expected token ids [time >= 1] of int64, got {list(x.shape)} of {x.dtype}."
        )
    if not 0 <= int(x.min()) <= int(x.max()) < size:
        raise InputError(
            f"{name}: expected token ids from 0 to {size - 1}, got {int(x.min())} to "
            f"{int(x.max())}."
        )


def _check_floats(x: Tensor, name: str, features: int, box: tuple[float, float] | None) -> None:
    """Check the inputs of a sequence of features."""
    if x.dim() != 2 or len(x) == 0 or x.shape[1] != features:
        raise InputError(f"{name}: expected inputs [time >= 1, {features}], got {list(x.shape)}.")
    if x.dtype is not torch.float32:
        raise InputError(
            f"{name}: expected inputs of float32, got {x.dtype}. Convert with x.float()."
        )
    _check.finite(x, f"inputs of {name}")
    if box is not None and not box[0] <= float(x.min()) <= float(x.max()) <= box[1]:
        raise InputError(
            f"{name} has inputs from {float(x.min()):g} to {float(x.max()):g}, outside input_box "
            f"{box}, for which proofs would hold. Widen the box."
        )
