"""A block cut along time into pieces of equal length, which are run side by side as rows."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur.core.cell import AbstractCell
from unrecur.core.state import valid_steps
from unrecur.solvers.sequential import sequential


@dataclass(frozen=True)
class Cut:
    """The pieces of a block; row j B + b holds piece j of row b.

    Attributes:
        x: The inputs, [N B, C, D], laid out with time first, as the kernels want them; zeros behind
            the end of the block.
        pieces: N.
        batch: B.
        ends: How many steps of each row of the block are valid, [B].
    """

    x: Float[Tensor, "R C D"]
    pieces: int
    batch: int
    ends: Tensor

    @property
    def length(self) -> int:
        """C, the steps of a piece."""
        return self.x.shape[1]

    @property
    def final(self) -> tuple[Tensor, Tensor]:
        """The piece in which each row ends, and how many of its steps are valid, at least 1."""
        piece = (self.ends - 1).clamp(min=0) // self.length
        return piece, self.ends - piece * self.length

    def joined(self, y: Float[Tensor, "R C H"], time: int) -> Float[Tensor, "B T H"]:
        """Lay the pieces' outputs end to end.

        Args:
            y: What the pieces gave.
            time: T, the length of the block.

        Returns:
            The block, its padding included.
        """
        by_piece = y.unflatten(0, (self.pieces, self.batch))
        return by_piece.transpose(0, 1).flatten(1, 2)[:, :time]

    def split(self, y: Float[Tensor, "B T H"]) -> Float[Tensor, "R C H"]:
        """Cut another block in the same way; zeros behind its end.

        Args:
            y: A block as long as x was.

        Returns:
            Its pieces.
        """
        return _split(y, self.pieces, self.length)


def cut(x: Float[Tensor, "B T D"], length: int, lengths: Tensor | None = None) -> Cut:
    """Cut a block.

    Args:
        x: The inputs; zeros in the padding.
        length: C.
        lengths: How many steps of each row are valid; None when all are.

    Returns:
        The pieces.
    """
    batch, time = x.shape[:2]
    pieces = -(-time // length)
    ends = torch.full((batch,), time, device=x.device) if lengths is None else lengths.to(x.device)
    return Cut(_split(x, pieces, length), pieces, batch, ends)


def _split(x: Tensor, pieces: int, length: int) -> Tensor:
    """Cut a block into rows, in memory with time first."""
    batch, time, features = x.shape
    if time < pieces * length:
        x = torch.cat([x, x.new_zeros(batch, pieces * length - time, features)], 1)
    by_time = x.view(batch, pieces, length, features).permute(2, 1, 0, 3)
    return by_time.reshape(length, pieces * batch, features).transpose(0, 1)


def advance(
    cell: AbstractCell, x: Float[Tensor, "R C D"], h: Float[Tensor, "R S"]
) -> tuple[Float[Tensor, "R C H"], Float[Tensor, "R S"]]:
    """Run rows side by side: by the fused kernel if there is one, else step by step.

    Args:
        cell: The recurrence.
        x: The inputs of each row.
        h: The states before them.

    Returns:
        The outputs and the last states.
    """
    result = cell.fused(x, h)
    if result is not None:
        return result
    states = sequential(cell, x, h)
    return cell.readout(states), states[:, -1]


def advance_to_ends(
    cell: AbstractCell,
    x: Float[Tensor, "R C D"],
    h: Float[Tensor, "R S"],
    steps: Tensor,
) -> Float[Tensor, "R S"]:
    """Run rows of different lengths and give each one's state at its own end.

    Args:
        cell: The recurrence.
        x: The inputs of each row.
        h: The states before them.
        steps: How many steps of each row are valid, [R].

    Returns:
        The last states.
    """
    last = torch.zeros_like(h)
    # Few lengths differ: a run for each costs less than a kernel for packed rows.
    for count in steps.unique().tolist():
        rows = steps == count
        after = advance(cell, x[rows, :count], h[rows])[1] if count else h[rows]
        last = last.index_put((rows,), after)
    return last


def clean(y: Tensor, lengths: Tensor | None) -> Tensor:
    """Put zeros into the padding of the outputs."""
    if lengths is None:
        return y
    valid = valid_steps(lengths.to(y.device), y.shape[1])
    return torch.where(valid[..., None], y, 0)
