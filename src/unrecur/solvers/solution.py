"""What a solver is given, and what it gives back."""

from dataclasses import dataclass
from enum import StrEnum

from jaxtyping import Float, Integer
from torch import Tensor

from unrecur.core.cell import AbstractCell


class Result(StrEnum):
    """How a run over time ended.

    Attributes:
        CONVERGED: The solver's own criterion holds.
        FELL_BACK: It did not come to hold; what disagreed was run in sequence.
        REFUSED: No gain was to be expected, so everything was run in sequence from the start.
    """

    CONVERGED = "converged"
    FELL_BACK = "fell back"
    REFUSED = "refused"


@dataclass(frozen=True)
class Problem:
    """A cell to be run over a block.

    Attributes:
        cell: The recurrence.
        x: The inputs; zeros in the padding.
        h: The state before the first input.
        tol: The largest difference from the sequential run allowed in any output.
        lengths: How many steps of each row are valid; None when all are.
        backward: Whether gradients will be wanted, for which a run in pieces is computed again.
    """

    cell: AbstractCell
    x: Float[Tensor, "B T D"]
    h: Float[Tensor, "B S"]
    tol: float = 1e-5
    lengths: Integer[Tensor, " B"] | None = None
    backward: bool = False


@dataclass(frozen=True)
class Stats:
    """What a run over time did.

    Attributes:
        solver: The name of the solver whose answer was taken.
        iterations: How many sweeps of corrections, or steps of Newton's iteration, it took.
        residual: The largest difference left between the state a piece of the block starts from and
            the state its left neighbour ends in; for Newton and Picard, in any step.
        carried: The largest change of any output when the worst of these residuals was followed
            to the end of its piece; 0 where none was left to follow.
        work: Steps of the cell that were computed, over those of the sequential run.
        depth: Steps that had to be computed one after the other, over those of the sequential run.
        burn_in: How many inputs each piece was given before its first; 0 where that has no meaning.
        length: The steps of a piece; 0 where there are none.
        reason: Why it fell back or refused; empty where it converged.
    """

    solver: str
    iterations: int = 0
    residual: float = 0.0
    carried: float = 0.0
    work: float = 1.0
    depth: float = 1.0
    burn_in: int = 0
    length: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Solution:
    """A cell's outputs over a block.

    Attributes:
        y: The outputs after each step; zeros in the padding.
        last: The state of each row after its last valid step.
        result: How it ended.
        stats: What it took.
    """

    y: Float[Tensor, "B T H"]
    last: Float[Tensor, "B S"]
    result: Result
    stats: Stats
