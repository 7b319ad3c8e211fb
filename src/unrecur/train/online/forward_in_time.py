"""The loop of all objectives that learn forward in time."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrecur import _check
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State
from unrecur.data.batches import Batch
from unrecur.data.task import Task
from unrecur.train.evaluate import summed_losses
from unrecur.train.given import with_gradients
from unrecur.train.objective import AbstractObjective, Part
from unrecur.train.online.taken_apart import Moment, TakenApart, take_apart

Gradients = Mapping[nn.Parameter, Tensor]


@dataclass(frozen=True)
class AbstractOnline(AbstractObjective):
    """Carry a trace of how the weights made the state, and learn from each step as it comes.

    The trace says what dh_t / d theta is, or an estimate of it. With it the gradient of the loss of
    step t is dL_t / dh_t times the trace, without a look back; what stands behind the cells gets
    its gradient from the step alone. Memory does not grow with the length of the sequence.

    Dropout is drawn once a step and is the same in values and derivatives. The cells are run one by
    one in the precision of the weights.

    Attributes:
        update_every: Give the optimizer a part after each so many inputs, 1 for learning online;
            None for one part a batch, the sum over the whole sequence. Between two parts the
            weights change and the trace stays: it is then that of the weights of its time
            (Williams and Zipser 1989, section 3), close for small steps.

    Raises:
        InputError: update_every is no whole number of at least 1.
    """

    reads_cells: ClassVar[bool] = True

    update_every: int | None = None

    def __post_init__(self) -> None:
        if self.update_every is not None:
            _check.positive_integer(self.update_every, "update_every")

    @property
    def one_step(self) -> bool:
        """Whether a batch is one part."""
        return self.update_every is None

    @abstractmethod
    def start(self, apart: TakenApart, rows: int) -> State:
        """Make the trace before the first input.

        Args:
            apart: The model.
            rows: The number of rows.

        Returns:
            A tree of tensors, batch first in each.

        Raises:
            InputError: The model does not fit.
        """

    @abstractmethod
    def follow(self, apart: TakenApart, moment: Moment, trace: State) -> State:
        """Take the trace through one step.

        Args:
            apart: The model.
            moment: The step.
            trace: The trace before it.

        Returns:
            The trace after it.
        """

    @abstractmethod
    def gradients(
        self, apart: TakenApart, moment: Moment, signal: Float[Tensor, "B S"], trace: State
    ) -> Gradients:
        """Give the gradient of a step's loss through the state.

        Args:
            apart: The model.
            moment: The step.
            signal: dL_t / dh_t of the top cell.
            trace: The trace after the step.

        Returns:
            The gradient of each parameter that acts through the state.
        """

    def init_state(self, model: AbstractSequenceModel, rows: int) -> State:
        """Make the states of the cells and the trace; see `AbstractObjective.init_state`."""
        apart = take_apart(model)
        states = tuple(link.cell.init_state(rows) for link in apart.links)
        return states, self.start(apart, rows)

    def check(self, model: AbstractSequenceModel, task: Task) -> None:
        """Refuse models that do not come apart; see `AbstractObjective.check`."""
        self.init_state(model, 1)

    def parts(
        self, model: AbstractSequenceModel, task: Task, batch: Batch, state: State | None
    ) -> Iterator[Part]:
        """Give a part after each `update_every` inputs; see `AbstractObjective.parts`."""
        if model.takes_tokens:
            _check.tokens(batch.x, model.in_features, 2)
        else:
            _check.block(batch.x, model.in_features)
        apart = take_apart(model)
        rows, time = batch.x.shape[:2]
        states, trace = self.init_state(model, rows) if state is None else state
        every = self.update_every or time
        for start in range(0, time, every):
            sums = _Sums()
            for t in range(start, min(start + every, time)):
                moment = apart.step(batch.x[:, t], states)
                states, trace = moment.after, self.follow(apart, moment, trace)
                signal, gradients = sums.learn(apart, task, batch, t, states[-1])
                sums.add(gradients)
                sums.add(self.gradients(apart, moment, signal, trace))
            yield sums.part((states, trace))


def split(apart: TakenApart, flat: Float[Tensor, " P"]) -> Gradients:
    """Cut a flat gradient into those of the parameters that act through the states.

    Args:
        apart: The model.
        flat: Their gradients, link by link.

    Returns:
        The gradient of each.
    """
    parameters = [value for link in apart.links for value in link.parameters]
    pieces = flat.split([value.numel() for value in parameters])
    found: dict[nn.Parameter, Tensor] = {}
    for parameter, piece in zip(parameters, pieces, strict=True):
        found[parameter] = found.get(parameter, 0) + piece.view_as(parameter)  # may come twice
    return found


class _Sums:
    """The sums over the steps of a part."""

    def __init__(self) -> None:
        self.loss: Any = 0.0
        self.steps: Any = 0
        self.gradients: dict[nn.Parameter, Tensor] = {}

    def learn(
        self, apart: TakenApart, task: Task, batch: Batch, t: int, top: Tensor
    ) -> tuple[Tensor, Gradients]:
        """Add a step's loss; give its gradients at the top state and at what stands behind it."""
        behind = [value for value in apart.behind.parameters() if value.requires_grad]
        with torch.enable_grad():
            top = top.detach().requires_grad_()
            y = apart.behind(top)[:, None]
            left = (batch.lengths - t).clamp(min=0)
            losses, counts = summed_losses(task, y, batch.target[:, t : t + 1], left)
            loss = losses.sum()
        signal, *gradients = torch.autograd.grad(
            loss, [top, *behind], allow_unused=True, materialize_grads=True
        )
        self.loss, self.steps = self.loss + loss.detach(), self.steps + counts.sum()
        return signal, dict(zip(behind, gradients, strict=True))

    def add(self, gradients: Gradients) -> None:
        """Add a step's gradients."""
        for parameter, gradient in gradients.items():
            known = self.gradients.get(parameter)
            self.gradients[parameter] = gradient if known is None else known + gradient

    def part(self, state: State) -> Part:
        """Make the part."""
        loss = with_gradients(self.loss, list(self.gradients), list(self.gradients.values()))
        return Part(loss, int(self.steps), state)
