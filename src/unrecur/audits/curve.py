"""The memory curve of a recurrence: what is left of it in a window, for every k."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from unrecur import _check
from unrecur.audits.blocks import Reference
from unrecur.audits.levels import Level, measure_level
from unrecur.audits.memory import windows_of
from unrecur.audits.outputs import Outputs
from unrecur.audits.subject import Subject

FINER = 8  # cores of k / 8 steps: a window of k has seen at most an eighth more
ROUNDING = 64  # times the type's epsilon: what two runs that agree may differ by, and ...
MOST_ROUNDING = 1e-4  # ... no more than this, whatever the type


@dataclass(frozen=True, eq=False)
class Worst:
    """The largest of a quantity over all windows of k or more inputs.

    Attributes:
        k: The lengths of windows that were seen, rising.
        value: The largest value at k.
        onward: The largest value at k and above.
        limit: The longest window that is believed: half of the longest sequence. Of longer ones
            too few were seen, and too near the sequences' beginnings.
        met: Whether nothing is left behind the last k, to rounding.
    """

    k: Integer[Tensor, " K"]
    value: Float[Tensor, " K"]
    onward: Float[Tensor, " K"]
    limit: int
    met: bool

    def least(self, eps: float) -> int | None:
        """Find the least window from which on the value stays at eps or below.

        Args:
            eps: The value allowed, at least 0.

        Returns:
            The least k; None where it is beyond the longest that is believed.
        """
        found = (self.onward <= eps).nonzero()
        if not len(found):
            return None
        k = int(self.k[int(found[0])])
        return k if k <= self.limit else None


def worst_of(k: Tensor, value: Tensor, limit: int, met: bool) -> Worst:
    """Gather values by k.

    Args:
        k: The window of each value.
        value: The values.
        limit: The longest window that is believed.
        met: Whether nothing is left behind the last k.

    Returns:
        The largest value for each k, and for all from it on.
    """
    seen, place = k.unique(return_inverse=True)
    most = value.new_zeros(len(seen)).scatter_reduce(0, place, value, "amax")
    onward = most.flip(0).cummax(0).values.flip(0)
    return Worst(seen.cpu(), most.cpu(), onward.cpu(), limit, met)


@dataclass(frozen=True, eq=False)
class Curve:
    """What a model keeps of its state, outputs and decisions in windows of its last inputs.

    Attributes:
        levels: The windows 1, 2, 4, ..., up to where nothing is left to rounding, or to the
            longest sequence.
        state: The largest difference in the state, at every k.
        hidden: The largest difference of what the recurrence shows of its state, at every k.
        output: The largest difference of the outputs: at every k where an output is made of one
            step of the recurrence, else at the windows of the levels.
        changed: The share of changed decisions at the windows of the levels; None without.
        met: Whether the truncated state came to the true one, to rounding.
    """

    levels: list[Level]
    state: Worst
    hidden: Worst
    output: Worst
    changed: Worst | None
    met: bool


def windows_to(longest: int) -> list[int]:
    """List the windows that truncate a sequence.

    Args:
        longest: The length of the longest sequence.

    Returns:
        1, 2, 4, ..., below it.
    """
    return windows_of(longest)[:-1]


def measure_curve(
    subject: Subject,
    reference: Reference,
    outputs: Outputs,
    fine: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Curve:
    """Measure the memory of a recurrence in its model.

    Args:
        subject: The model.
        reference: Its run on all inputs.
        outputs: Its outputs.
        fine: Whether each window is also measured close to its k; 9 steps for each step more.
        progress: Is told each window that is done.

    Returns:
        The curve.
    """
    longest = int(subject.sequences.lengths.max())
    levels, contexts = [], []
    met = False
    for k in windows_to(longest):
        wide = measure_level(subject, reference, outputs, k, k)
        core = max(1, k // FINER)
        near = wide
        if fine and core < k:
            near = measure_level(subject, reference, outputs, k, core)
            contexts.append(near)
        contexts.append(wide)
        levels.append(near)
        if progress is not None:
            progress(k)
        met = max(wide.worst, near.worst) <= rounding_floor(reference, outputs)
        if met:
            break
    limit = longest // 2
    grid = torch.tensor([level.k for level in levels])
    state = _by_context(contexts, "state_error", limit, met)
    hidden = _by_context(contexts, "hidden_error", limit, met)
    if outputs.pointwise:
        output = _by_context(contexts, "output_error", limit, met)
    else:
        most = torch.stack([level.output.amax().cpu() for level in levels])
        output = worst_of(grid, most, limit, met)
    changed = None
    if outputs.decided is not None:
        shares = torch.tensor([share_changed(subject, level) for level in levels])
        changed = worst_of(grid, shares.double(), limit, met)
    return Curve(levels, state, hidden, output, changed, met)


def share_changed(subject: Subject, level: Level) -> float:
    """Give the share of decisions that a window changes, over all that it truncates.

    Args:
        subject: The model.
        level: The window.

    Returns:
        The share.
    """
    if len(level.changed_at):
        return float(level.changed_at.mean())
    cut = subject.sequences.lengths > level.k
    assert level.changed is not None
    return float(level.changed[cut].mean())


def _by_context(levels: list[Level], name: str, limit: int, met: bool) -> Worst:
    """Gather an error of all levels by the number of inputs that were seen."""
    k = torch.cat([level.context for level in levels])
    value = torch.cat([getattr(level, name) for level in levels])
    return worst_of(k, value, limit, met)


def rounding_floor(reference: Reference, outputs: Outputs) -> float:
    """Give what two runs that agree may differ by, through rounding.

    Args:
        reference: The model's run on all inputs.
        outputs: Its outputs.

    Returns:
        The largest difference that is put down to rounding.
    """
    sizes = [h.abs().amax() for cells in reference.states for h in cells]
    sizes += [y.abs().amax() for y in outputs.full]
    size = max(1.0, *(float(value) for value in sizes))
    _check.positive(size, "the size of the states")
    return min(ROUNDING * torch.finfo(reference.y.dtype).eps, MOST_ROUNDING) * size
