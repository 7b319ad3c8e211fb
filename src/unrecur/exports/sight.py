"""What a truncated file is judged by: a recurrence on its inputs, and its error in every window."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unrecur._check import InputError
from unrecur.audits.blocks import Reference, run_all
from unrecur.audits.budget import fit_budget, weights_of
from unrecur.audits.curve import FINER, Curve, measure_curve, rounding_floor, windows_to
from unrecur.audits.from_file import GRAPH_NOTE, from_cut, from_file, sequences_given
from unrecur.audits.levels import measure_level
from unrecur.audits.outputs import Outputs, see_outputs
from unrecur.audits.subject import Subject
from unrecur.audits.tiers import Stack
from unrecur.certificates.chain import read_chain
from unrecur.exports.source import Source
from unrecur.interop.recurrence import Recurrence

ROWS, BEYOND = 8, 64  # random sequences, and how much longer than the window


@dataclass(frozen=True, eq=False)
class Sight:
    """A recurrence on its inputs.

    Attributes:
        subject: The recurrence in what is known of its model.
        budget: How many multiplications a measurement may take.
        drawn: Whether the inputs were drawn at random, for want of data.
    """

    subject: Subject
    budget: float
    drawn: bool = False

    @cached_property
    def reference(self) -> Reference:
        """The run on all inputs."""
        return run_all(self.subject.layers, self.subject.sequences, self.subject.initial)

    @cached_property
    def outputs(self) -> Outputs:
        """The outputs that errors are counted in."""
        return see_outputs(self.subject, self.reference)

    @cached_property
    def curve(self) -> Curve:
        """The memory curve of the audit."""
        levels = len(windows_to(self.longest))
        steps = len(self.subject.sequences.x) * (3 + FINER) * levels
        fine = steps * weights_of(self.subject.layers) <= self.budget
        return measure_curve(self.subject, self.reference, self.outputs, fine)

    @cached_property
    def rounding(self) -> float:
        """What two runs that agree may differ by."""
        return rounding_floor(self.reference, self.outputs)

    @property
    def longest(self) -> int:
        """The length of the longest sequence."""
        return int(self.subject.sequences.lengths.max())

    def error(self, k: int) -> float:
        """Measure the largest error of any output, every window of exactly k inputs.

        Args:
            k: The length of the window.

        Returns:
            The error, with what rounding in another runtime may add.
        """
        level = measure_level(self.subject, self.reference, self.outputs, k, 1)
        return float(level.output.max()) + self.rounding


def see(
    source: Source,
    output: Callable[[Any], Tensor] | None,
    budget: float,
) -> Sight:
    """Take a recurrence with the data it is judged on.

    Args:
        source: The recurrence in its file, with its data.
        output: Makes the model's outputs of the recurrence's, or None.
        budget: How many multiplications may be spent.

    Returns:
        The recurrence on its inputs.

    Raises:
        InputError: The data do not fit.
    """
    if source.cut is not None and source.form == "graph":
        return Sight(from_cut(source.cut, source.data), budget)
    recurrence = source.recurrence
    data, notes = fit_budget(sequences_given(source.data), recurrence.cells, budget)
    subject = from_file(recurrence, source.path, data, output)
    # Whether the graph around it is kept is decided, and said, elsewhere.
    around = tuple(note for note in subject.notes if note != GRAPH_NOTE)
    subject = replace(subject, stretches=bool(notes), notes=(*around, *notes))
    return Sight(subject, budget)


def draw(recurrence: Recurrence, path: Path, input_box: Any, k: int, budget: float) -> Sight:
    """Take a recurrence with inputs drawn evenly from the box that it is proved for.

    Args:
        recurrence: The recurrence.
        path: Its file.
        input_box: The box, as for `unrecur.certify`.
        k: The length of the window.
        budget: How many multiplications may be spent.

    Returns:
        The recurrence on these inputs.

    Raises:
        InputError: The box does not fit.
    """
    low, high = read_chain(Stack(recurrence.cells)).inputs(input_box).ends
    random = torch.Generator().manual_seed(0)
    size = (ROWS * (k + BEYOND),)
    rows = torch.randint(len(low), size, generator=random)
    part = torch.rand((*size, low.shape[1]), generator=random, dtype=low.dtype)
    x = low[rows] + part * (high - low)[rows]
    if bool((x == x[0]).all()):
        raise InputError("the box holds one point only: the inputs of a model change.")
    subject = from_file(recurrence, path, list(x.view(ROWS, -1, x.shape[-1])), None)
    return Sight(subject, budget, drawn=True)
