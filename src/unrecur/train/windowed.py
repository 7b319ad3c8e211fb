"""Windowed training: each output from the last k inputs alone, from zero."""

from collections.abc import Iterator
from dataclasses import dataclass

from unrecur import _check
from unrecur._check import InputError
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State
from unrecur.data.batches import Batch
from unrecur.data.task import Task
from unrecur.train.objective import AbstractObjective, Part, whole_batch
from unrecur.truncation.window import Window


@dataclass(frozen=True)
class Windowed(AbstractObjective):
    """Train the feed-forward form of a model: y^k_t made of the last k inputs, from the zero state.

    It is what Miller and Hardt 2019, section 3, compare with training the recurrent model: the
    gradient is the exact one of the truncated model `unrecur.truncate(model, k)`, which is also
    what is scored. It costs k steps of the model for each output.

    Attributes:
        k: The number of inputs, at least 1.

    Raises:
        InputError: k is no whole number of at least 1.
    """

    k: int

    def __post_init__(self) -> None:
        _check.positive_integer(self.k, "k")

    def form(self, model: AbstractSequenceModel) -> AbstractSequenceModel:
        """Give the truncated model; see `AbstractObjective.form`."""
        return Window(model, self.k)

    def init_state(self, model: AbstractSequenceModel, rows: int) -> State:
        """Make an empty window; see `AbstractObjective.init_state`."""
        return self.form(model).init_state(rows)

    def check(self, model: AbstractSequenceModel, task: Task) -> None:
        """Refuse windows longer than all sequences; see `AbstractObjective.check`."""
        longest = int(task.lengths("train").max())
        if self.k > longest and not task.continuous:
            raise InputError(
                f"k is {self.k}, and the longest training sequence has {longest} steps. Take a "
                "smaller one, or Full() for the whole sequence."
            )

    def parts(
        self, model: AbstractSequenceModel, task: Task, batch: Batch, state: State | None
    ) -> Iterator[Part]:
        """Give the batch as one part; see `AbstractObjective.parts`."""
        yield whole_batch(model, task, batch, state)
