"""How a block is best cut: from what the cell forgets and what its steps cost."""

import math
from dataclasses import dataclass

import torch

from unrecur.solvers.agreement import FOLLOWED, PART_OF_TOLERANCE, agree
from unrecur.solvers.costs import OVERHEAD, Cost
from unrecur.solvers.cut import advance
from unrecur.solvers.solution import Problem

PLACES, LEAD, LOOK = 4, 32, 16  # of a probe: where, how long before, how often it is looked at
LONGEST_PROBE = 1024
MOST_ROWS = 16  # of a probe
PART_OF_BLOCK = 16  # a probe takes no more than this part of the block
ROOM = 1.25  # a burn-in is so much longer than the probe found it to be enough
LEAST_GAIN = 1.25  # by which the plan must be faster than the sequential run
LEAST_GAIN_BACKWARD = 1.75  # where it will be computed again for gradients


@dataclass(frozen=True)
class Plan:
    """A cut and what it is expected to gain.

    Attributes:
        burn_in: Inputs given to each piece before its first.
        length: Steps of a piece.
        gain: The time of the sequential run over that of this one, as predicted.
    """

    burn_in: int
    length: int
    gain: float


def plan(problem: Problem, burn_in: int, cost: Cost, passes: int = 1) -> Plan:
    """Choose the length of the pieces for a burn-in.

    N pieces of C steps after k more take (k + C) t(N B) seconds, for p passes (k + p C) t(N B),
    and FOLLOWED of them once more C t(FOLLOWED), for t the seconds of a step by the rows run side
    by side; and OVERHEAD.

    Args:
        problem: What is to be run.
        burn_in: k.
        cost: t.
        passes: p.

    Returns:
        The best plan.
    """
    batch, time = problem.x.shape[:2]
    whole = time * cost.of(batch)
    best = Plan(burn_in, time, 1.0)
    length = max(burn_in, 8)
    while length <= time // 2:
        pieces = -(-time // length)
        run = (burn_in + passes * length) * cost.of(pieces * batch)
        rest = time % length * cost.of(batch)
        gain = whole / (run + rest + length * cost.of(FOLLOWED) + OVERHEAD)
        if gain > best.gain:
            best = Plan(burn_in, length, gain)
        length = max(length + 1, int(length * 1.03))
    return best


@torch.no_grad()
def forgetting_steps(problem: Problem) -> int | None:
    """Measure in how many steps the cell forgets where it started, at some places of the block.

    At each place a run from zero is compared with one that started LEAD inputs earlier, until both
    agree to the share of the tolerance that a boundary may leave.

    Args:
        problem: The cell and its inputs.

    Returns:
        The steps, with some room; None where it did not forget within the longest probe.
    """
    cell, time = problem.cell, problem.x.shape[1]
    longest = min(LONGEST_PROBE, time // PART_OF_BLOCK)
    if longest < LOOK:
        return None
    places = min(PLACES, max(1, time // (longest + LEAD)))
    room = time - longest - LEAD
    first = [round(n * room / max(1, places - 1)) for n in range(places)]
    x = torch.cat([problem.x[:, at : at + LEAD + longest] for at in first])
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:MOST_ROWS]]
    zero = problem.h.new_zeros(len(x), problem.h.shape[1])
    h = torch.cat([zero, advance(cell, x[:, :LEAD], zero)[1]])
    share = problem.tol / PART_OF_TOLERANCE
    for begin in range(0, longest, LOOK):
        part = x[:, LEAD + begin : LEAD + begin + LOOK]
        h = advance(cell, part.repeat(2, 1, 1), h)[1]
        one, two = h.chunk(2)
        if bool(agree(one, two, share).all()):
            return math.ceil(ROOM * (begin + LOOK))
    return None
