"""What is audited: a recurrence, what goes into it, and what a model makes of its outputs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from unrecur._check import InputError
from unrecur.audits.blocks import Reference, Sequences
from unrecur.interop.recurrence import Layers, Recurrence

# From the recurrence's outputs to the model's, one tensor a sequence.
Finish = Callable[[Reference], list[Tensor]]
# From a model's outputs to what is decided by them.
Decision = Literal["argmax"] | float | Callable[[Tensor], Tensor]
# From a model's outputs (a block, or a list where lengths differ) to one number.
Metric = Callable[[Tensor], float] | Callable[[list[Tensor]], float]


@dataclass(frozen=True, eq=False)
class Subject:
    """A recurrence in its model.

    Attributes:
        recurrence: The recurrence.
        sequences: Its inputs, in the order in which it reads them.
        finish: What the model makes of its outputs.
        per_step: Whether the model gives one output for each step, [T, ...] a sequence.
        initial: The states that it starts each sequence from, [Q, S]; zeros where None.
        notes: What could not be seen or kept of the model around it.
        bare: Whether its own outputs are the model's: there is nothing around it.
        stretches: Whether its sequences were cut out of longer ones.
    """

    recurrence: Recurrence
    sequences: Sequences
    finish: Finish
    per_step: bool = True
    initial: list[list[Tensor]] | None = None
    notes: tuple[str, ...] = ()
    bare: bool = False
    stretches: bool = False

    @property
    def layers(self) -> Layers:
        """The cells."""
        return self.recurrence.cells

    @property
    def fresh(self) -> list[list[Tensor]] | None:
        """The states, [1, S], that a truncated run starts from; zeros where None.

        They are the model's own where it starts all sequences alike, as from learned states.
        """
        if self.initial is None:
            return None
        alike = all(bool((h == h[:1]).all()) for cells in self.initial for h in cells)
        return [[h[:1] for h in cells] for cells in self.initial] if alike else None

    @property
    def two_sided(self) -> bool:
        """Whether it also reads from the end."""
        return any(len(cells) == 2 for cells in self.layers)


def sequences_of(parts: list[Tensor], features: int, reverse: bool = False) -> Sequences:
    """Check sequences and lay them end to end.

    Args:
        parts: The sequences, [T, D] each.
        features: The D that the recurrence reads.
        reverse: Whether it reads them from their ends.

    Returns:
        The sequences.

    Raises:
        InputError: There is none, one is empty or of one step only or of another shape, a number is
            not finite, or nothing in them changes.
    """
    if not parts:
        raise InputError("expected at least one sequence, got none.")
    for place, part in enumerate(parts):
        if part.dim() != 2 or part.shape[1] != features:
            raise InputError(
                f"expected sequences of {features} features, [time, {features}] each, got "
                f"{list(part.shape)} (sequence {place}). Check the order of the axes and which "
                "features the recurrence itself reads."
            )
        if bad := int((~part.isfinite()).sum()):
            raise InputError(
                f"expected finite inputs, got {bad} NaN or infinite values in sequence {place}. "
                "Clean them first: a recurrence carries one NaN to all later steps."
            )
    longest = max(len(part) for part in parts)
    if longest < 2:
        raise InputError(
            f"expected sequences of 2 steps or more, got {longest} at most: there is no past in "
            "them to forget. For one long sequence give a block [1, time, features]."
        )
    parts = [part for part in parts if len(part)]
    flat = torch.cat([part.flip(0) if reverse else part for part in parts])
    lengths = torch.tensor([len(part) for part in parts], device=flat.device)
    return Sequences(flat, lengths)


def unless_zero(states: list[list[Tensor]] | None) -> list[list[Tensor]] | None:
    """Give states to start from, or None where they are zeros.

    Args:
        states: The states.

    Returns:
        The states, or None.
    """
    if states is None or not any(bool(h.any()) for cells in states for h in cells):
        return None
    return states


def outputs_of(recurrence: Recurrence) -> Finish:
    """Take the recurrence's outputs themselves as the model's.

    Args:
        recurrence: The recurrence.

    Returns:
        The outputs of each sequence, in the order of time.
    """

    def finish(run: Reference) -> list[Tensor]:
        lengths = run.lengths.tolist()
        parts = run.y.split(lengths)
        return [part.flip(0) if recurrence.reverse else part for part in parts]

    return finish
