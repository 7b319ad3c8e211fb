"""Checks of what a user hands in: one small function per property, one clear error each.

Every message says what was expected, what came, and how to cure it.
"""

import difflib
import importlib
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class InputError(ValueError):
    """What the user gave cannot be used; the message says what to do about it."""


class CorruptFileError(InputError):
    """A file of ours is truncated, damaged, or of another kind than its place says."""


def known_name(name: str, known: Iterable[str], kind: str) -> str:
    """Check that a name is one of a table's, and suggest the nearest when it is not.

    Args:
        name: What the user wrote.
        known: The names of the table.
        kind: What the table holds, for the message ("model", "task").

    Returns:
        The name itself.

    Raises:
        InputError: The name is not in the table.
    """
    names = sorted(known)
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise InputError(f"unknown {kind} '{name}'.{hint} Known: {', '.join(names)}.")


def positive(value: float, name: str) -> None:
    """Check that a number is finite and above zero.

    Args:
        value: The number.
        name: What it is, for the message.

    Raises:
        InputError: It is zero, negative, infinite or NaN.
    """
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{name} must be a finite number above 0, got {value}.")


def positive_integer(value: int, name: str) -> None:
    """Check that a number is a whole number of at least 1.

    Args:
        value: The number.
        name: What it is, for the message.

    Raises:
        InputError: It is no integer, or below 1.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1, got {value!r}.")


def count(value: int, name: str) -> None:
    """Check that a number is a whole number of at least 0.

    Args:
        value: The number.
        name: What it is, for the message.

    Raises:
        InputError: It is no integer, or below 0.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError(f"{name} must be a whole number of at least 0, got {value!r}.")


def fraction(value: float, name: str) -> None:
    """Check that a number lies in [0, 1).

    Args:
        value: The number.
        name: What it is, for the message.

    Raises:
        InputError: It lies outside.
    """
    if not 0 <= value < 1:
        raise InputError(f"{name} must be at least 0 and below 1, got {value}.")


def finite(tensor: "Tensor", name: str) -> None:
    """Check that a tensor holds no NaN and no infinity.

    Args:
        tensor: Any real tensor.
        name: What it is, for the message.

    Raises:
        InputError: It holds one; the message counts them and gives the first place.
    """
    bad = ~tensor.isfinite()
    if bad.any():
        first = tuple(bad.nonzero()[0].tolist())
        raise InputError(
            f"{name} must be finite, got {int(bad.sum())} NaN or infinite values, the first at "
            f"{list(first)}. Clean or mask them first."
        )


def distributions(rows: "Tensor", name: str) -> None:
    """Check that numbers are at least 0 and sum to 1 over the last dimension.

    Args:
        rows: A distribution, or one a row.
        name: What they are, for the message.

    Raises:
        InputError: One is negative or NaN, or a sum is off by more than 1e-3, which leaves room
            for rounding.
    """
    off = (rows.double().sum(-1) - 1).abs().max()
    if not ((rows >= 0).all() and off <= 1e-3):
        raise InputError(
            f"{name} must be distributions, at least 0 and of sum 1, got {rows.min()} at least and "
            f"a sum {off} away from 1."
        )


def same_length(x: "Tensor", target: "Tensor") -> None:
    """Check that a sequence has one target for each input.

    Args:
        x: The inputs, time first.
        target: The targets, time first.

    Raises:
        InputError: There are more or fewer.
    """
    if len(x) != len(target):
        raise InputError(
            f"expected one target for each input of a sequence, got {len(x)} inputs and "
            f"{len(target)} targets."
        )


def block(x: "Tensor", features: int) -> None:
    """Check that x is a block of a sequence, [batch, time, features], of floats, not empty.

    Args:
        x: The input of a forward call.
        features: The number of features the model reads.

    Raises:
        InputError: The rank, the number of features or the length is wrong.
        TypeError: The tensor is not of floats.
    """
    if x.dim() != 3:
        cure = " Add the batch with x.unsqueeze(0)." if x.dim() == 2 else ""
        raise InputError(
            f"expected a block [batch, time, {features}], got {x.dim()} dimensions "
            f"{list(x.shape)}.{cure}"
        )
    _features(x, features)
    if x.shape[0] == 0 or x.shape[1] == 0:
        raise InputError(
            f"expected at least one row and one time step, got the empty block {list(x.shape)}."
        )


def frame(x_t: "Tensor", features: int) -> None:
    """Check that x_t is one time step, [batch, features], of floats.

    Args:
        x_t: The input of a step call.
        features: The number of features the model reads.

    Raises:
        InputError: The rank or the number of features is wrong.
        TypeError: The tensor is not of floats.
    """
    if x_t.dim() != 2:
        raise InputError(
            f"expected one time step [batch, {features}], got {x_t.dim()} dimensions "
            f"{list(x_t.shape)}. For a block of steps call the model itself."
        )
    _features(x_t, features)


def _features(x: "Tensor", features: int) -> None:
    if not x.is_floating_point():
        raise TypeError(f"expected a tensor of floats, got {x.dtype}. Convert with x.float().")
    if x.shape[-1] != features:
        raise InputError(
            f"expected {features} features in the last dimension, got {x.shape[-1]} "
            f"(shape {list(x.shape)})."
        )


def lengths(lengths: "Tensor", batch: int, time: int) -> None:
    """Check that lengths gives, for each row, how many of its steps are valid.

    Args:
        lengths: Whole numbers, shape [batch].
        batch: The number of rows.
        time: The length of the padded block.

    Raises:
        InputError: The shape is not [batch], or a length lies outside 1..time.
        TypeError: The lengths are not integers.
    """
    if lengths.is_floating_point() or lengths.is_complex():
        raise TypeError(f"expected lengths as integers, got {lengths.dtype}.")
    if list(lengths.shape) != [batch]:
        raise InputError(
            f"expected one length per row, shape [{batch}], got {list(lengths.shape)}."
        )
    if graph_is_captured():
        return
    if int(lengths.min()) < 1 or int(lengths.max()) > time:
        raise InputError(
            f"expected lengths between 1 and {time} (the padded length), got "
            f"{int(lengths.min())} to {int(lengths.max())}."
        )


def tokens(x: "Tensor", vocabulary: int, dimensions: int) -> None:
    """Check that x holds token ids of a vocabulary.

    Args:
        x: The ids, [batch, time] or, for one step, [batch].
        vocabulary: The number of tokens.
        dimensions: The expected number of dimensions.

    Raises:
        InputError: The rank is wrong, there are none, or an id is outside 0..vocabulary-1.
        TypeError: They are not integers.
    """
    if x.is_floating_point() or x.is_complex():
        raise TypeError(f"expected token ids as integers, got {x.dtype}. Convert with x.long().")
    if x.dim() != dimensions or x.numel() == 0:
        shape = "[batch, time]" if dimensions == 2 else "[batch]"
        raise InputError(f"expected token ids of shape {shape}, not empty; got {list(x.shape)}.")
    if graph_is_captured():
        return
    if int(x.min()) < 0 or int(x.max()) >= vocabulary:
        raise InputError(
            f"expected token ids from 0 to {vocabulary - 1}, got {int(x.min())} to {int(x.max())}."
        )


def graph_is_captured() -> bool:
    """Say whether torch is compiling or exporting, when no value of a tensor can be looked at.

    Returns:
        Whether checks of values have to be left out.
    """
    import torch

    return torch.compiler.is_compiling()


def extra(module: str, name: str) -> Any:
    """Import a module of an extra.

    Args:
        module: The module.
        name: The extra that brings it.

    Returns:
        The module.

    Raises:
        InputError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"this needs the package {module.partition('.')[0]}, which cannot be imported "
            f"({error}). Install it with: pip install 'unrecur[{name}]'"
        ) from error
