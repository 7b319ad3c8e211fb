"""The objective: how a gradient through time is made of a batch."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, detach
from unrecur.data.batches import Batch
from unrecur.data.running import lengths_for
from unrecur.data.task import Task
from unrecur.train.evaluate import counted_losses


@dataclass(frozen=True)
class Part:
    """What one step of the optimizer learns from.

    Attributes:
        loss: The sum of its step losses; the gradient of this is the objective's.
        steps: How many there are.
        state: What is carried on from it, without history.
    """

    loss: Float[Tensor, ""]
    steps: int
    state: State


class AbstractObjective(ABC):
    """How a gradient through time is made. Objectives are frozen dataclasses of plain values.

    Attributes:
        reads_cells: Whether the parts run the cells of the model one by one, and not the model as a
            whole, around which Fabric puts mixed precision and the exchange between processes.
    """

    reads_cells: ClassVar[bool] = False

    @property
    def in_float32(self) -> bool:
        """Whether mixed precision is out of the question."""
        return self.reads_cells

    @property
    def one_step(self) -> bool:
        """Whether a batch is one part, so that the gradients of several can be added up."""
        return True

    def describe(self) -> dict[str, Any]:
        """Give the objective as JSON values."""
        return {"name": type(self).__name__, **asdict(self)}  # type: ignore[call-overload]

    def form(self, model: AbstractSequenceModel) -> AbstractSequenceModel:
        """Give the model as it is trained and scored.

        Args:
            model: The model.

        Returns:
            A model with the same weights: itself, if the objective does not say otherwise.
        """
        return model

    def init_state(self, model: AbstractSequenceModel, rows: int) -> State:
        """Make what is carried before the first input.

        Args:
            model: The model.
            rows: The number of rows of the batch.

        Returns:
            A tree of tensors, batch first in each: the model's state, if not said otherwise.
        """
        return model.init_state(rows)

    def check(self, model: AbstractSequenceModel, task: Task) -> None:  # noqa: B027 (all fits)
        """Refuse what cannot be trained so.

        Args:
            model: The model.
            task: The task.

        Raises:
            InputError: The model or the task does not fit.
        """

    @abstractmethod
    def parts(
        self, model: AbstractSequenceModel, task: Task, batch: Batch, state: State | None
    ) -> Iterator[Part]:
        """Run a batch, giving what each step of the optimizer learns from.

        The optimizer steps between two parts: later ones meet the new weights.

        Args:
            model: The model as `form` gave it.
            task: The task.
            batch: The batch, on the model's device.
            state: What is carried into it; None for the state before the first input.

        Yields:
            Each part.
        """


def whole_batch(
    model: AbstractSequenceModel, task: Task, batch: Batch, state: State | None
) -> Part:
    """Run a model over all steps of a batch.

    Args:
        model: The model.
        task: The task.
        batch: The batch, on the model's device.
        state: The state before them.

    Returns:
        The loss with its graph, and the state after the steps without it.
    """
    y, after = model(batch.x, state, lengths_for(model, batch))
    return scored(task, batch, slice(0, batch.x.shape[1]), y, after)


def scored(task: Task, batch: Batch, steps: slice, y: Tensor, after: State) -> Part:
    """Sum the losses of some steps of a batch that count.

    Args:
        task: The task.
        batch: The batch.
        steps: Which steps, with a start.
        y: The scores at these steps.
        after: The state after them.

    Returns:
        The loss with its graph, and the state without it.
    """
    left = (batch.lengths - steps.start).clamp(min=0)
    losses, counts = counted_losses(task, y, batch.target[:, steps], left)
    return Part(losses.sum(dtype=torch.float64), int(counts.sum()), detach(after))
