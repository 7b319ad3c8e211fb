"""From an item of somebody's data set to the inputs and targets of a sequence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrecur._check import InputError
from unrecur.data.losses import IGNORED
from unrecur.data.segmentation import segment
from unrecur.data.sequences import Pair
from unrecur.data.vocabulary import Vocabulary


@dataclass(frozen=True)
class Numbered:
    """A data set that gives its items by number; one that cannot be had is named.

    Attributes:
        items: The data set.
        name: What it is, for messages.
    """

    items: Any
    name: str

    def __len__(self) -> int:
        try:
            return len(self.items)
        except TypeError as error:
            kind = type(self.items).__name__
            raise InputError(
                f"{self.name}: expected items (x, target), got {kind} ({error})."
            ) from error

    def __getitem__(self, number: int) -> Any:
        try:
            return self.items[number]
        except LookupError as error:
            raise InputError(
                f"{self.name} item {number}: expected an item at each number below the length, "
                f"{len(self)}, got {type(error).__name__} ({error}). Mend the data set's __len__ "
                "or __getitem__, or give a list."
            ) from error


@dataclass(frozen=True)
class ItemReader:
    """Reads items.

    Attributes:
        inputs: Where the inputs are: a number for a pair, a name for a row with columns.
        target: Where the target is.
        vocabulary: The ids of words, where inputs are text.
        labels: The labels by their numbers, where targets are text.
    """

    inputs: int | str
    target: int | str
    vocabulary: Vocabulary | None = None
    labels: tuple[str, ...] = ()

    def __call__(self, item: Any, where: str) -> Pair:
        """Read an item.

        Args:
            item: The item.
            where: Names it, for messages.

        Returns:
            The inputs, token ids [time] or numbers [time, features], and the targets: classes
            [time] or numbers [time, features]; a target of the whole stands at the last step.

        Raises:
            InputError: It has no such parts, or they are of other types or shapes.
        """
        x = self._inputs(part(item, self.inputs, where), where)
        return x, self._target(part(item, self.target, where), len(x), where)

    def _inputs(self, value: Any, where: str) -> Tensor:
        """Read inputs."""
        words = words_of(value)
        _check_kind(value, words is not None, self.vocabulary is not None, f"{where}, inputs")
        if words is not None and self.vocabulary is not None:
            value = self.vocabulary.ids(words)
        x = _tensor(value, f"{where}, inputs")
        if x.dim() not in (1, 2) or len(x) == 0:
            raise InputError(
                f"{where}: expected inputs [time, features], or [time] of token ids or of one "
                f"feature, got {list(x.shape)}. Time comes first, and is not empty."
            )
        if x.dim() == 1 and not x.is_floating_point():
            return x
        return x.float().reshape(len(x), -1)

    def _target(self, value: Any, steps: int, where: str) -> Tensor:
        """Read a target: of each step, or of the whole."""
        words = [value] if isinstance(value, str) else words_of(value)
        _check_kind(value, words is not None, bool(self.labels), f"{where}, target")
        if words is not None:
            numbers = [self.labels.index(word) for word in words]
            value = numbers[0] if isinstance(value, str) else numbers
        target = _tensor(value, f"{where}, target")
        if target.dim() == 0:
            return _at_the_end(target, steps)
        if target.dim() > 2 or len(target) != steps:
            raise InputError(
                f"{where}: expected a target for each of the {steps} steps, or a single class or "
                f"number for all, got {list(target.shape)}."
            )
        if target.dim() == 1 and not target.is_floating_point():
            return target
        return target.float().reshape(steps, -1)


def part(item: Any, key: int | str, where: str) -> Any:
    """Take a part of an item.

    Args:
        item: The item.
        key: Which part.
        where: Names the item.

    Returns:
        The part.

    Raises:
        InputError: It has none.
    """
    try:
        if isinstance(item, Mapping):
            return item[key]
        if isinstance(item, tuple | list) and isinstance(key, int):
            return item[key]
    except (KeyError, IndexError):
        pass
    columns = f"the columns {list(item)}" if isinstance(item, Mapping) else type(item).__name__
    raise InputError(
        f"{where}: expected {'a column' if isinstance(key, str) else 'part'} {key!r} of a pair (x, "
        f"target) or a row, got {columns}. Say where they are with inputs= and target=; arrays of "
        "all sequences go into torch.utils.data.TensorDataset(x, target)."
    )


def taken(item: Any, keys: Iterable[int | str], where: str) -> dict[int | str, Any]:
    """Copy parts of an item, so that they stay when its arrays are used again for the next one.

    Args:
        item: The item.
        keys: Which parts.
        where: Names the item.

    Returns:
        The parts.

    Raises:
        InputError: It has not all of them.
    """
    return {key: _copy(part(item, key, where)) for key in keys}


def _copy(value: Any) -> Any:
    """Copy what can change."""
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, list | tuple):
        return [_copy(one) for one in value]
    array = np.array(value)
    return array if array.ndim or isinstance(value, np.ndarray) else value


def words_of(value: Any) -> list[str] | None:
    """Give the words of a text.

    Args:
        value: A text, a list of words, or something else.

    Returns:
        The words; of something else None.
    """
    if isinstance(value, str):
        return [token.text for token in segment(value)]
    is_list = isinstance(value, Sequence) or (isinstance(value, np.ndarray) and value.ndim > 0)
    words = is_list and len(value) > 0 and all(isinstance(word, str) for word in value)
    return [str(word) for word in value] if words else None


def _check_kind(value: Any, is_text: bool, wanted: bool, where: str) -> None:
    """Check that a part is text where text is wanted, and only there."""
    if is_text != wanted:
        raise InputError(
            f"{where}: expected {'text' if wanted else 'numbers'}, as the first item of the "
            f"training split has, got {type(value).__name__}, {'text' if is_text else 'no text'}. "
            "Give all items as text (a text or a list of words), or all as numbers."
        )


def _tensor(value: Any, where: str) -> Tensor:
    """Read numbers: whole ones as int64, others as float32."""
    try:
        array = value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
        array = array.detach().cpu()
        array = array if array.layout is torch.strided else array.to_dense()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{where}: expected numbers, or text, got {type(value).__name__} ({error})."
        ) from error
    if array.is_complex():
        raise InputError(f"{where}: expected real numbers, got {array.dtype}.")
    return array.float() if array.is_floating_point() else array.long()


def _at_the_end(value: Tensor, steps: int) -> Tensor:
    """Put the target of a whole sequence at its last step."""
    if value.is_floating_point():
        target = torch.full((steps, 1), torch.nan)
    else:
        target = torch.full((steps,), IGNORED)
    target[-1] = value
    return target
