"""Many streams through one model, each in its own time, run together."""

from collections.abc import Hashable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur._check import InputError
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, map_state
from unrecur.streams.blocks import refuse_values, shaped
from unrecur.streams.saved import load_state, save_state
from unrecur.streams.stream import opened

Id = Hashable
Rows = slice | Tensor  # of the state: the first ones, or some by their numbers


class StreamBatch:
    """Streams that join and leave at any time, and are fed together or apart.

    Each gets the answer that it would get alone, up to the rounding of a product with more rows.
    Those that are fed as many steps, and stand at the same place where the model has a rate or
    looks ahead, are run as one batch. See `Stream` for what a stream does.

    Args:
        model: A model or a file of one; see `unrecur.stream`.

    Raises:
        InputError: The model cannot be streamed.

    Example:
        >>> import torch, unrecur
        >>> model = unrecur.build("gru", in_features=3, out_features=2, hidden=8).eval()
        >>> streams = unrecur.StreamBatch(model)
        >>> streams.join("anna")
        >>> streams.join("ben")
        >>> y = streams.feed({"anna": torch.randn(1, 3), "ben": torch.randn(20, 3)})
        >>> y["ben"].shape, streams.leave("anna").shape, len(streams)
        (torch.Size([20, 2]), torch.Size([0, 2]), 1)
    """

    def __init__(self, model: AbstractSequenceModel | str | Path) -> None:
        self._machine = opened(model)
        # The streams' rows are the first ones, without gaps; those behind are free.
        self._state = self._machine.init_state(1)
        self._room = 1
        self._row: dict[Id, int] = {}
        self._come: dict[Id, int] = {}

    def __len__(self) -> int:
        return len(self._row)

    def __contains__(self, name: Id) -> bool:
        return name in self._row

    @property
    def latency(self) -> int:
        """How many inputs after its own place an output comes."""
        return self._machine.latency

    def join(self, name: Id, path: str | Path | None = None) -> None:
        """Let a stream begin, or go on from where it was saved.

        Args:
            name: What it is called from now on.
            path: A file that `save`, here or of a `Stream`, wrote; None for a new stream.

        Raises:
            FileNotFoundError: There is no such file.
            InputError: There is a stream of this name, or the file is damaged or of another model.
        """
        if name in self._row:
            raise InputError(f"there is a stream {name!r} already. Let it leave first.")
        if path is None:
            state, come = self._machine.init_state(1), 0
        else:
            state, come = load_state(Path(path), self._machine, 1)
        row = len(self._row)
        if row == self._room:
            more = self._machine.init_state(self._room)
            self._state = map_state(lambda a, b: torch.cat([a, b]), self._state, more)
            self._room *= 2
        self._write(torch.tensor([row]), state)
        self._row[name], self._come[name] = row, come

    def leave(self, name: Id) -> Float[Tensor, "N E"]:
        """End a stream.

        Args:
            name: Which.

        Returns:
            The outputs that waited for more inputs.

        Raises:
            InputError: There is no such stream.
        """
        state = self._of(name)
        with torch.no_grad():
            y = self._machine.end(self._machine.no_inputs(1), state)[0]
        row, last = self._row[name], len(self._row) - 1
        moved = next(other for other, place in self._row.items() if place == last)
        self._write(torch.tensor([row]), self._read(torch.tensor([last])))
        self._row[moved] = row
        del self._row[name], self._come[name]
        return y

    def feed(self, blocks: Mapping[Id, Any]) -> dict[Id, Float[Tensor, "N E"]]:
        """Feed some of the streams. All blocks are checked before the first is run.

        Args:
            blocks: For each stream that is fed a block [time, features], of any length; token ids
                [time].

        Returns:
            For each of them the outputs that exist by now.

        Raises:
            InputError: There is no such stream, or a block does not fit or is not finite.
        """
        groups: dict[Hashable, list[tuple[int, Id, Tensor]]] = {}
        for name, x in blocks.items():
            row, block = self._known(name), self._shaped(name, x)
            place = self._machine.place(self._come[name])
            groups.setdefault((block.shape[0], place), []).append((row, name, block))
        batches = []
        for members in groups.values():
            members.sort(key=lambda member: member[0])
            batches.append(torch.stack([block for _, _, block in members]))
            self._refuse_values(batches[-1], members)
        ran = [
            self._run([row for row, _, _ in members], x)
            for members, x in zip(groups.values(), batches, strict=True)
        ]
        outputs: dict[Id, Tensor] = {}
        for members, (y, here, after) in zip(groups.values(), ran, strict=True):
            self._write(here, after)
            for (_, name, block), own in zip(members, y.unbind(), strict=True):
                outputs[name] = own
                self._come[name] += block.shape[0]
        return {name: outputs[name] for name in blocks}

    def save(self, name: Id, path: str | Path) -> None:
        """Write the state of a stream to a file, from which `join` or a `Stream` goes on.

        Args:
            name: Which.
            path: Where to.

        Raises:
            InputError: There is no such stream.
            OSError: The file cannot be written; what was there before stays.
        """
        save_state(Path(path), self._machine, self._of(name), self._come[name])

    def _run(self, rows: list[int], x: Tensor) -> tuple[Tensor, Rows, State]:
        """Run some rows, in their order, which stand at one place; nothing is written yet."""
        # All streams' rows are read as they lie, and others copied together.
        here: Rows = slice(len(rows)) if len(rows) == len(self._row) else torch.tensor(rows)
        before = self._read(here)
        if not x.shape[1]:
            return self._machine.no_outputs(len(x)), here, before
        with torch.no_grad():
            y, after = self._machine.feed(x, before)
        return y, here, after

    def _of(self, name: Id) -> State:
        """Give the state of one stream."""
        return self._read(torch.tensor([self._known(name)]))

    def _read(self, rows: Rows) -> State:
        """Give rows of the state."""
        return map_state(lambda leaf: leaf[rows], self._state)

    def _write(self, rows: Rows, state: State) -> None:
        """Put rows into the state."""
        map_state(partial(_put, rows), self._state, state)

    def _known(self, name: Id) -> int:
        """Find the row of a stream."""
        if name not in self._row:
            raise InputError(f"there is no stream {name!r}. Begin it with join({name!r}).")
        return self._row[name]

    def _shaped(self, name: Id, x: Any) -> Tensor:
        """Check the shape of a block, and say whose it is."""
        try:
            return shaped(self._machine, x, None)
        except InputError as error:
            raise InputError(f"stream {name!r}: {error}") from error

    def _refuse_values(self, x: Tensor, members: Iterable[tuple[int, Id, Tensor]]) -> None:
        """Check the values of a group of blocks, and say whose are wrong."""
        try:
            refuse_values(self._machine, x)
        except InputError:
            for _, name, block in members:
                try:
                    refuse_values(self._machine, block)
                except InputError as error:
                    raise InputError(f"stream {name!r}: {error}") from error


def _put(rows: Rows, leaf: Tensor, new: Tensor) -> Tensor:
    """Write into some rows of a leaf."""
    leaf[rows] = new
    return leaf
