"""Backpropagation through time, in parallel over time."""

from collections.abc import Iterator
from dataclasses import dataclass

from unrecur import _check
from unrecur._check import InputError
from unrecur.core.compose import Serial, in_series
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State
from unrecur.data.batches import Batch
from unrecur.data.task import Task
from unrecur.layers.recurrent import Recurrent
from unrecur.parallelism.engine import Engine
from unrecur.parallelism.recurrence import ParallelRecurrent
from unrecur.solvers.chunked import Chunked
from unrecur.train.objective import AbstractObjective, Part, whole_batch


@dataclass(frozen=True)
class InParallel(AbstractObjective):
    """Full backpropagation, with recurrent layers run in pieces side by side: see `parallel`.

    Outputs are within `tol` of those of the run in sequence, and so is the gradient's own
    recurrence. The pieces are given, not chosen by measurement: two runs of one training must be
    cut alike to be alike.

    Attributes:
        burn_in: Inputs given to each piece before its first: what the model forgets in
            (`unrecur.audit` finds it).
        length: Steps of a piece, at least as many; four times the burn-in where left out.
        tol: The largest difference allowed in any output.

    Raises:
        InputError: One is out of range.
    """

    burn_in: int = 64
    length: int | None = None
    tol: float = 1e-5

    def __post_init__(self) -> None:
        self._pieces()
        _check.positive(self.tol, "tol")

    def _pieces(self) -> Chunked:
        """Give the solver."""
        return Chunked(self.burn_in, 4 * self.burn_in if self.length is None else self.length)

    @property
    def in_float32(self) -> bool:
        """Yes: a tolerance below the rounding of half precision means nothing."""
        return True

    def form(self, model: AbstractSequenceModel) -> AbstractSequenceModel:
        """Put parallel layers in the place of recurrent ones; see `AbstractObjective.form`."""
        return Serial(*(self._parallel(part) for part in in_series(model)))

    def _parallel(self, part: AbstractSequenceModel) -> AbstractSequenceModel:
        if not isinstance(part, Recurrent):
            return part
        return ParallelRecurrent(part, Engine(self.tol, self._pieces()))

    def init_state(self, model: AbstractSequenceModel, rows: int) -> State:
        """Make the zero state of the form; see `AbstractObjective.init_state`."""
        return self.form(model).init_state(rows)

    def check(self, model: AbstractSequenceModel, task: Task) -> None:
        """Refuse models without recurrent layers; see `AbstractObjective.check`."""
        if not any(isinstance(part, Recurrent) for part in in_series(model)):
            raise InputError(
                f"a {type(model).__name__} has no recurrent layer to run in parallel over time. "
                "Take Full()."
            )

    def parts(
        self, model: AbstractSequenceModel, task: Task, batch: Batch, state: State | None
    ) -> Iterator[Part]:
        """Give the batch as one part; see `AbstractObjective.parts`."""
        yield whole_batch(model, task, batch, state)
