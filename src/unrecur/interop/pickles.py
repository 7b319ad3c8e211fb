"""The pickles inside TorchScript archives, interpreted by a machine that knows only data.

No Python object of the file's choosing is ever made and nothing is imported: a class becomes a
`Record` with a name, a tensor a `TensorRef`, and every other callable is refused.
"""

import pickletools
from collections.abc import Callable
from typing import Any

from unrecur._check import CorruptFileError, InputError
from unrecur.interop.pickle_data import CALLS, NEEDS_CODE, Global, Record, exactly, refer

LARGEST_PICKLE = 2**26  # bytes
MOST_OPCODES = 500_000
_MARK = object()


def read_pickle(content: bytes) -> Any:
    """Interpret a pickle of tensors, records, numbers, text, lists, tuples and dictionaries.

    Args:
        content: The pickle.

    Returns:
        What it describes.

    Raises:
        InputError: It refers to a function or class that tensors do not need, or is too large.
        CorruptFileError: It is truncated or malformed.
    """
    if len(content) > LARGEST_PICKLE:
        raise InputError(f"expected a pickle of at most {LARGEST_PICKLE} bytes, got more.")
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if count > MOST_OPCODES:
                raise InputError(f"expected a pickle of at most {MOST_OPCODES} steps, got more.")
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.do(opcode.name, argument)
    except InputError:
        raise
    except Exception as error:  # a malformed pickle can trip the machine over anything
        raise CorruptFileError(
            f"expected a whole pickle of tensors, got a truncated or malformed one "
            f"({type(error).__name__}: {error}). Download or save the file again."
        ) from error
    raise CorruptFileError("expected a whole pickle, got one without an end.")


class _Machine:
    """The stack and the memo; one method for each kind of step."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def do(self, name: str, argument: Any) -> None:
        """Take one step."""
        if name in _PUSH:
            self.stack.append(_PUSH[name](argument))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            self.stack[-int(name[-1]) :] = [tuple(self.stack[-int(name[-1]) :])]
        elif name == "TUPLE":
            self.stack.append(tuple(self.to_mark()))
        elif name in ("APPEND", "APPENDS"):
            items = self.to_mark() if name[-1] == "S" else [self.stack.pop()]
            exactly(list, self.stack[-1]).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self.to_mark() if name[-1] == "S" else [self.stack.pop(-2), self.stack.pop()]
            _fill(exactly(dict, self.stack[-1]), items[::2], items[1::2])
        elif name in ("REDUCE", "NEWOBJ", "BUILD", "BINPERSID"):
            getattr(self, name.lower())()
        elif name != "PROTO":
            raise CorruptFileError(
                f"expected a pickle of tensors, got one with the step {name}, which those of "
                "TorchScript do not have."
            )

    def to_mark(self) -> list[Any]:
        """Take what lies above the last mark, and the mark."""
        items: list[Any] = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def binpersid(self) -> None:
        """A storage: ("storage", type, key, device, size)."""
        what, kind, key, *_ = self.stack.pop()
        if what != "storage":
            raise ValueError("a persistent id that is no storage")
        self.stack.append((exactly(Global, kind).name.removeprefix("torch."), exactly(str, key)))

    def newobj(self) -> None:
        """An object of a class of the model's own."""
        self.stack.pop()
        kind = exactly(Global, self.stack.pop()).name
        if not kind.startswith("__torch__."):
            raise InputError(NEEDS_CODE.format(kind))
        self.stack.append(Record(kind.removeprefix("__torch__.")))

    def build(self) -> None:
        """The state of an object."""
        state = self.stack.pop()
        exactly(Record, self.stack[-1]).state = state

    def reduce(self) -> None:
        """A call, of one of the few that describe data."""
        arguments = exactly(tuple, self.stack.pop())
        name = exactly(Global, self.stack.pop()).name
        if name not in CALLS:
            raise InputError(NEEDS_CODE.format(name))
        self.stack.append(CALLS[name](*arguments))


def _fill(target: dict[Any, Any], keys: list[Any], values: list[Any]) -> None:
    """Enter items; keys are text or numbers, since a hash of anything deeper may overflow."""
    for key, value in zip(keys, values, strict=True):
        if not isinstance(key, (str, int, float)):
            raise TypeError(f"a key of type {type(key).__name__}")
        target[key] = value


_PUSH: dict[str, Callable[[Any], Any]] = {
    "MARK": lambda _: _MARK,
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_LIST": lambda _: [],
    "EMPTY_DICT": lambda _: {},
    "EMPTY_TUPLE": lambda _: (),
    "GLOBAL": refer,
    **dict.fromkeys(
        ["BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"],
        lambda value: value,
    ),
}
