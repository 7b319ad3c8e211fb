"""All states of a recurrence over blocks of sequences: what every measurement of an audit reads."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from unrecur.core.cell import AbstractCell
from unrecur.interop.recurrence import Layers
from unrecur.solvers.cut import advance
from unrecur.solvers.sequential import sequential

BLOCK = 64  # steps of a piece that is replayed beside the others
NUMBERS = 2**25  # numbers of state held while a batch of rows is run


@dataclass(frozen=True, eq=False)
class Run:
    """What a recurrence did on a block.

    Attributes:
        states: The states after each step, shaped as the layers, [B, T, S] each; those of a
            backward cell after it has read the step, coming from the end.
        y: The outputs of the top layer, [B, T, E].
    """

    states: list[list[Tensor]]
    y: Float[Tensor, "B T E"]


@torch.no_grad()
def run_block(
    layers: Layers,
    x: Float[Tensor, "B T D"],
    lengths: Integer[Tensor, " B"],
    initial: list[list[Tensor]] | None = None,
) -> Run:
    """Run layers of cells over a block and keep all states.

    Args:
        layers: The cells, one or a forward and a backward one a layer.
        x: The inputs.
        lengths: How many steps of each row are valid; what is kept behind them means nothing.
        initial: The states that the cells start from, [B, S] each; zeros where left out.

    Returns:
        The states and the outputs.
    """
    states: list[list[Tensor]] = []
    for depth, cells in enumerate(layers):
        found, shown = [], []
        for direction, cell in enumerate(cells):
            h = cell.init_state(len(x)) if initial is None else initial[depth][direction]
            turned = x if direction == 0 else reversed_rows(x, lengths)
            trajectory = all_states(cell, turned, h)
            if direction == 1:
                trajectory = reversed_rows(trajectory, lengths)
            found.append(trajectory)
            shown.append(cell.readout(trajectory))
        states.append(found)
        x = torch.cat(shown, -1)
    return Run(states, x)


def all_states(
    cell: AbstractCell, x: Float[Tensor, "B T D"], h: Float[Tensor, "B S"]
) -> Float[Tensor, "B T S"]:
    """Give the state after each step.

    Few long rows go through torch's fused kernel, which keeps only the states at the ends of short
    pieces; the pieces are then replayed side by side. Many rows, or short ones, are run by the
    plain loop, whose overhead they share.

    Args:
        cell: The recurrence.
        x: The inputs.
        h: The states before them.

    Returns:
        The states.
    """
    batch, time = x.shape[:2]
    if batch >= BLOCK or time <= 4 * BLOCK or cell.fused(x[:, :1], h) is None:
        return sequential(cell, x, h)
    pieces = -(-time // BLOCK)
    starts = []
    for piece in x.split(BLOCK, 1):
        starts.append(h)
        _, h = advance(cell, piece, h)
    whole = torch.cat([x, x.new_zeros(batch, pieces * BLOCK - time, x.shape[2])], 1)
    rows = whole.unflatten(1, (pieces, BLOCK)).flatten(0, 1)
    states = sequential(cell, rows, torch.stack(starts, 1).flatten(0, 1))
    return states.unflatten(0, (batch, pieces)).flatten(1, 2)[:, :time]


def reversed_rows(x: Tensor, lengths: Tensor) -> Tensor:
    """Turn the valid part of each row around; what is behind it stays.

    Args:
        x: A block, [B, T, ...].
        lengths: How many steps of each row are valid.

    Returns:
        The block, each row read from its own end.
    """
    steps = torch.arange(x.shape[1], device=x.device)
    index = lengths[:, None] - 1 - steps
    index = torch.where(index >= 0, index, steps)
    return x[torch.arange(len(x), device=x.device)[:, None], index]


@dataclass(frozen=True, eq=False)
class Sequences:
    """Sequences laid end to end.

    Attributes:
        x: All inputs, [N, D].
        lengths: The length of each sequence, [Q].
    """

    x: Float[Tensor, "N D"]
    lengths: Integer[Tensor, " Q"]

    @property
    def starts(self) -> Integer[Tensor, " Q"]:
        """Where each sequence begins."""
        return self.lengths.cumsum(0) - self.lengths

    def rows(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Cut the sequences into batches that fit in memory, those of like lengths together.

        Args:
            size: How many numbers one step of a row takes.

        Yields:
            The numbers of the sequences, and the places of their steps, [rows, time]; those
            behind a row's end repeat its last.
        """
        order = self.lengths.argsort()
        while len(order):
            longest = int(self.lengths[order[-1]])
            count = max(1, NUMBERS // (longest * size))
            rows = order[-count:]
            yield rows, places(self.starts[rows], self.lengths[rows])
            order = order[:-count]

    def split(self, flat: Tensor) -> list[Tensor]:
        """Cut what is laid end to end into sequences.

        Args:
            flat: One row for each step, [N, ...].

        Returns:
            One tensor a sequence.
        """
        return list(flat.split(self.lengths.tolist()))


def places(starts: Tensor, lengths: Tensor) -> Tensor:
    """List the places of pieces in a flat tensor, the last one repeated behind a piece's end.

    Args:
        starts: Where each piece begins.
        lengths: How long it is.

    Returns:
        The places, [pieces, longest].
    """
    steps = torch.arange(int(lengths.max()), device=starts.device)
    return starts[:, None] + torch.minimum(steps, lengths[:, None] - 1)


@dataclass(frozen=True, eq=False)
class Reference:
    """The model's own run over all of every sequence.

    Attributes:
        states: The state of each cell after each step, [N, S] each, shaped as the layers.
        y: The outputs, [N, E].
        last: The last state of each cell, [Q, S]; a backward cell's is that at the first step.
        lengths: The length of each sequence, [Q].
    """

    states: list[list[Tensor]]
    y: Tensor
    last: list[list[Tensor]]
    lengths: Tensor


def state_numbers(layers: Layers) -> int:
    """Count the numbers of all states.

    Args:
        layers: The cells.

    Returns:
        How many there are.
    """
    return sum(cell.state_size for cells in layers for cell in cells)


@torch.no_grad()
def run_all(
    layers: Layers, sequences: Sequences, initial: list[list[Tensor]] | None = None
) -> Reference:
    """Run a recurrence over all sequences, from their beginnings.

    Args:
        layers: The cells.
        sequences: The sequences.
        initial: The states that the cells start from, [Q, S] each; zeros where left out.

    Returns:
        All states and outputs.
    """
    x, count = sequences.x, len(sequences.lengths)
    states = [[x.new_empty(len(x), cell.state_size) for cell in cells] for cells in layers]
    last = [[x.new_empty(count, cell.state_size) for cell in cells] for cells in layers]
    y = x.new_empty(len(x), sum(cell.hidden_size for cell in layers[-1]))
    for rows, index in sequences.rows(2 * state_numbers(layers)):
        lengths = sequences.lengths[rows]
        starts = initial and [[h[rows] for h in cells] for cells in initial]
        run = run_block(layers, x[index], lengths, starts or None)
        valid = torch.arange(index.shape[1], device=x.device) < lengths[:, None]
        y[index[valid]] = run.y[valid]
        for kept, ends, found in zip(states, last, run.states, strict=True):
            for direction, trajectory in enumerate(found):
                kept[direction][index[valid]] = trajectory[valid]
                end = lengths - 1 if direction == 0 else torch.zeros_like(lengths)
                ends[direction][rows] = trajectory[torch.arange(len(rows)), end]
    return Reference(states, y, last, sequences.lengths)
