"""What the pickles inside TorchScript archives may hold: data, and no name is ever looked up."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from unrecur._check import InputError

NEEDS_CODE = (
    "expected a pickle of tensors only, got one that needs code: {}. Nothing of it was run. Save "
    "model.state_dict() or safetensors instead."
)


@dataclass(frozen=True)
class Global:
    """A name that a pickle refers to: a class or a function."""

    name: str


@dataclass(eq=False)
class Record:
    """An object of a pickle: its class's name and its state."""

    kind: str
    state: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class TensorRef:
    """A tensor as a pickle describes it; its numbers are another member of the archive.

    Attributes:
        storage_type: The name of the storage's type, "FloatStorage" and the like.
        key: The storage's member.
        offset: The place of the first number in the storage.
        shape: The sizes.
        strides: The steps between numbers.
    """

    storage_type: str
    key: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def refer(argument: str) -> Global:
    """Refer to a class or a function, if it is one that the tensors of a model need.

    Args:
        argument: Its module and its name, with a space between them.

    Returns:
        The reference.

    Raises:
        InputError: It is any other.
    """
    name = argument.replace(" ", ".")
    module, _, last = name.rpartition(".")
    storage = module == "torch" and last.endswith("Storage")
    if not (name in CALLS or storage or name.startswith("__torch__.")):
        raise InputError(NEEDS_CODE.format(name))
    return Global(name)


def exactly(kind: type, value: Any) -> Any:
    """Check the type of a part of a pickle.

    Args:
        kind: The type.
        value: The part.

    Returns:
        The part.

    Raises:
        TypeError: It is of another type.
    """
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, {type(value).__name__} there")
    return value


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> TensorRef:
    """Describe a tensor."""
    kind, key = exactly(tuple, storage)
    numbers = (offset, *exactly(tuple, shape), *exactly(tuple, strides))
    if any(type(number) is not int or number < 0 for number in numbers):
        raise ValueError("a shape that is no shape")
    return TensorRef(kind, key, offset, shape, strides)


def _first(value: Any, *_: Any) -> Any:
    """Keep the value of a call that only says how it is typed."""
    return value


# The calls that describe data, and what is made of each.
CALLS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch.jit._pickle.restore_type_tag": _first,
    "torch.jit._pickle.build_intlist": _first,
    "torch.jit._pickle.build_doublelist": _first,
    "torch.jit._pickle.build_boollist": _first,
    "torch.jit._pickle.build_tensorlist": _first,
    "collections.OrderedDict": lambda *_: {},
    "torch.device": lambda *_: None,
}
