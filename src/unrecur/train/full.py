"""Backpropagation through the whole of each sequence."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor
from torch.utils.checkpoint import checkpoint

from unrecur import _check
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, detach
from unrecur.data.batches import Batch
from unrecur.data.task import Task
from unrecur.train.evaluate import summed_losses
from unrecur.train.objective import AbstractObjective, Part, block_loss


@dataclass(frozen=True)
class Full(AbstractObjective):
    """Backpropagation through time (Werbos 1990), through all steps of a batch.

    A continuous task carries the state from piece to piece without its history: there this is
    truncated backpropagation, and the piece says how far it reaches.

    Attributes:
        segment: Keep only the states at the ends of segments of so many steps, and run each segment
            again when its gradient is due (Chen et al. 2016, arXiv 1604.06174, section 4): memory
            for T / segment + segment steps in place of T, for one run more. 0 takes the square
            root of T; None keeps everything.

    Raises:
        InputError: segment is no whole number of at least 0.
    """

    segment: int | None = None

    def __post_init__(self) -> None:
        if self.segment is not None:
            _check.count(self.segment, "segment")

    def check(self, model: AbstractSequenceModel, task: Task) -> None:
        """Refuse segments for models that see the inputs to come; see `AbstractObjective.check`."""
        if self.segment is not None and not model.receptive_field.causal:
            raise _check.InputError(
                "a model that sees the inputs to come cannot be run segment by segment. Leave "
                "segment out."
            )

    def parts(
        self, model: AbstractSequenceModel, task: Task, batch: Batch, state: State | None
    ) -> Iterator[Part]:
        """Give the batch as one part; see `AbstractObjective.parts`."""
        if self.segment is None:
            yield block_loss(model, task, batch, slice(None), state)
        else:
            yield self._in_segments(model, task, batch, state)

    def _in_segments(
        self, model: AbstractSequenceModel, task: Task, batch: Batch, state: State | None
    ) -> Part:
        """Run a batch, keeping the states between its segments."""
        rows, time = batch.x.shape[:2]
        state = model.init_state(rows) if state is None else state
        length = self.segment or math.isqrt(time - 1) + 1
        total, steps = batch.x.new_zeros((), dtype=next(model.parameters()).dtype), 0
        for start in range(0, time, length):
            part = slice(start, start + length)
            loss, count, state = checkpoint(
                _segment, model, task, batch, part, state, use_reentrant=False
            )
            total, steps = total + loss, steps + count
        return Part(total, steps, detach(state))


def _segment(
    model: AbstractSequenceModel, task: Task, batch: Batch, part: slice, state: State
) -> tuple[Tensor, int, State]:
    """Run a segment, with the history of the state: loss, steps, state after."""
    y, after = model(batch.x[:, part], state)
    left = (batch.lengths - part.start).clamp(min=0)
    losses, counts = summed_losses(task, y, batch.target[:, part], left)
    return losses.sum(), int(counts.sum()), after
