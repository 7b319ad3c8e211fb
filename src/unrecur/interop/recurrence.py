"""A recurrence read out of somebody's model, and how it runs over a block."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur._check import InputError
from unrecur.cells import CELLS
from unrecur.core.cell import AbstractCell
from unrecur.layers.recurrent import Recurrent

Layers = list[list[AbstractCell]]

KINDS = {cell: name for name, cell in CELLS.items()}


@dataclass(frozen=True, eq=False)
class Recurrence:
    """A stack of cells read out of a model, with what the model says about how it is run.

    Attributes:
        name: Its place in the model, or its kind where it is the whole model.
        cells: The layers from the bottom up, each one cell, or a forward and a backward one whose
            outputs are put side by side.
        source: The file, or the type of the module.
        notes: What could not be seen in the source, and what was assumed.
        reverse: Whether the only direction reads each sequence from its end.
        initial: The flat states that the cells start from, shaped as `cells`, each [B, S] with one
            row or as many as the batch; None for zeros.
    """

    name: str
    cells: Layers
    source: str = ""
    notes: tuple[str, ...] = ()
    reverse: bool = False
    initial: list[list[Tensor]] | None = None

    @property
    def kind(self) -> str:
        """What the cells are: "lstm", "gru", "elman", ...; several are joined by "+"."""
        cells = [cell for layer in self.cells for cell in layer]
        return "+".join(dict.fromkeys(KINDS.get(type(cell), type(cell).__name__) for cell in cells))


# What a reader finds: each recurrence is built when asked for, so that one that cannot be
# represented does not hide the others.
Found = dict[str, Callable[[], Recurrence]]


def add(found: Found, name: str, build: Callable[[], Recurrence]) -> None:
    """Enter a recurrence under its name, or under "name#2" where that is taken.

    Args:
        found: The table, changed in place.
        name: The name wished for.
        build: What makes the recurrence; its name is put right.
    """
    count = 2
    unique = name
    while unique in found:
        unique, count = f"{name}#{count}", count + 1
    found[unique] = build


def run(
    recurrence: Recurrence,
    x: Float[Tensor, "B T D"],
    initial: list[list[Tensor]] | None = None,
) -> tuple[Float[Tensor, "B T E"], list[list[Tensor]]]:
    """Run a recurrence over a block, from the states it starts from.

    Args:
        recurrence: The recurrence.
        x: The inputs.
        initial: The states to start from instead, shaped as `cells`, each [B, S].

    Returns:
        The outputs of the top layer, in the order of time in both directions, and the last state
        of each cell, [B, S]; that of a backward cell is the one at the first step.

    Raises:
        InputError: The inputs do not fit the cells, or the states to start from not the batch.

    Example:
        >>> from unrecur.interop.read import read_recurrences
        >>> [recurrence] = read_recurrences(torch.nn.LSTM(3, 4, bidirectional=True))
        >>> run(recurrence, torch.randn(2, 7, 3))[0].shape
        torch.Size([2, 7, 8])
    """
    starts = recurrence.initial if initial is None else initial
    last: list[list[Tensor]] = []
    for depth, layer in enumerate(recurrence.cells):
        outputs, states = [], []
        for direction, cell in enumerate(layer):
            backward = direction == 1 or recurrence.reverse
            start = cell.init_state(len(x)) if starts is None else starts[depth][direction]
            if start.shape[0] not in (1, len(x)):
                raise InputError(
                    f"expected states to start from for {len(x)} rows, got {start.shape[0]}. Pass "
                    "a batch of as many rows, or `initial`."
                )
            start = start.to(x.device).expand(len(x), -1)
            y, (state,) = Recurrent([cell])(x.flip(1) if backward else x, (start,))
            outputs.append(y.flip(1) if backward else y)
            states.append(state)
        x = torch.cat(outputs, -1)
        last.append(states)
    return x, last
