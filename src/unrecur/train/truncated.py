"""Truncated backpropagation through time: often, and not far back."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from unrecur import _check
from unrecur._check import InputError
from unrecur.core.model import AbstractConditionalModel, AbstractSequenceModel
from unrecur.core.state import State, detach
from unrecur.data.batches import Batch
from unrecur.data.task import Task
from unrecur.train.objective import AbstractObjective, Part, scored


@dataclass(frozen=True)
class Truncated(AbstractObjective):
    """Truncated backpropagation, TBPTT(k1, k2), with the state carried (Williams and Peng 1990).

    Two numbers go by the name of k. `update_every` (k1) says how often there is a step of the
    optimizer: after each k1 inputs, from the losses of these. `look_back` (k2) says how far its
    gradient goes back: through the last k2 inputs. The loss at the first of the k1 inputs reaches
    k2 - k1 + 1 inputs, that at the last k2. So with k1 = k2, the usual way, the sequence is cut
    in pieces, and the loss at the beginning of a piece reaches nothing before it; with k1 = 1 each
    loss reaches exactly k2 inputs, as in training on windows, but from a state that is carried and
    not from zero (`Windowed`).

    The time is that of k2 / k1 full runs; the memory is that of k2 steps, however long the
    sequence. A carried state was computed with the weights of its time. A window never goes back
    beyond the sequence, nor beyond the piece of a continuous task.

    Attributes:
        update_every: k1, at least 1.
        look_back: k2, at least k1; k1 where left out.

    Raises:
        InputError: They are no such numbers.
    """

    update_every: int
    look_back: int | None = None

    def __post_init__(self) -> None:
        _check.positive_integer(self.update_every, "update_every")
        if self.look_back is not None:
            _check.positive_integer(self.look_back, "look_back")
        if self.reach < self.update_every:
            raise InputError(
                f"look_back must be at least update_every={self.update_every}, got "
                f"{self.look_back}: the inputs between would reach no loss."
            )

    @property
    def reach(self) -> int:
        """How many inputs a gradient goes back: k2."""
        return self.update_every if self.look_back is None else self.look_back

    @property
    def one_step(self) -> bool:
        """No: a step of the optimizer follows each k1 inputs."""
        return False

    def check(self, model: AbstractSequenceModel, task: Task) -> None:
        """Refuse windows longer than all sequences; see `AbstractObjective.check`."""
        longest = int(task.lengths("train").max())
        if self.reach > longest:
            name = "update_every" if self.look_back is None else "look_back"
            raise InputError(
                f"{name} is {self.reach}, and the longest training sequence has {longest} steps. "
                "Take a smaller one, or Full() for the whole sequence."
            )
        if isinstance(model, AbstractConditionalModel) or not model.receptive_field.causal:
            raise InputError(
                "truncated backpropagation is for causal models that start from nothing, and a "
                f"{type(model).__name__} is none. Take Full()."
            )

    def parts(
        self, model: AbstractSequenceModel, task: Task, batch: Batch, state: State | None
    ) -> Iterator[Part]:
        """Give a part after each k1 inputs; see `AbstractObjective.parts`."""
        rows, time = batch.x.shape[:2]
        state = model.init_state(rows) if state is None else state  # before the window
        window, begin = 0, 0  # where it starts, and the first of its losses
        while begin < time:
            end = min(begin + self.update_every, time)
            following = max(0, end + self.update_every - self.reach)  # where the next one starts
            cut = min(max(following, window), end)
            after, outputs = state, []
            for piece in (slice(window, cut), slice(cut, end)):
                if piece.start < piece.stop:
                    y, after = model(batch.x[:, piece], after)
                    outputs.append(y)
                if piece.stop == cut:
                    state = detach(after)
            y = torch.cat(outputs, 1)[:, begin - window :]
            yield scored(task, batch, slice(begin, end), y, after)
            window, begin = cut, end
