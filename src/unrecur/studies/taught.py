"""A task whose targets are what a teacher says: the same inputs, its outputs at the same steps."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, map_state
from unrecur.data.hashing import split_hash
from unrecur.data.losses import bernoulli_nll, categorical_bits, categorical_nll, squared_error
from unrecur.data.running import predictions
from unrecur.data.sequences import SPLITS, Pair, Split, known_steps
from unrecur.data.task import Task

HELD = 2**26  # outputs of a teacher that are kept; of more, each sequence is run when it is read
LOOKED_AT = 64  # sequences that the chance level is found from
CATEGORICAL, BERNOULLI = (categorical_nll, categorical_bits), (bernoulli_nll,)


def categorical_divergence(
    scores: Float[Tensor, "*B E"], target: Float[Tensor, "*B E"]
) -> Float[Tensor, "*B"]:
    """Give KL(p || q) of classes, p of the teacher's scores, q of the student's, in nats.

    Args:
        scores: The student's unnormalised log-probabilities.
        target: The teacher's; NaN where it is not asked.

    Returns:
        The divergence of each step, 0 where it is not asked.
    """
    log_p = functional.log_softmax(torch.where(target.isnan(), 0, target), -1)
    divergence = (log_p.exp() * (log_p - functional.log_softmax(scores, -1))).sum(-1)
    return torch.where(target.isnan().any(-1), 0, divergence)


def bernoulli_divergence(
    scores: Float[Tensor, "*B E"], target: Float[Tensor, "*B E"]
) -> Float[Tensor, "*B"]:
    """Give KL(p || q) of independent zeros and ones, p of the teacher's log-odds, in nats.

    Args:
        scores: The student's log-odds.
        target: The teacher's; NaN where it is not asked.

    Returns:
        The sum over the features of each step, 0 where it is not asked.
    """
    p = torch.sigmoid(target)
    return bernoulli_nll(scores, p) - bernoulli_nll(target, p)


def taught(teacher: AbstractSequenceModel, task: Task) -> Task:
    """Put a teacher's outputs in the place of a task's targets.

    The loss is that of the task's kind: the divergence from the teacher's probabilities where the
    task's are classes or zeros and ones (Hinton, Vinyals, Dean 2015, arXiv 1503.02531, section 2,
    at temperature 1), else the squared difference of the outputs. Steps that do not count in the
    task do not count. The outputs are kept where they are few; else each sequence is run when it is
    read, from the teacher's state before it where sequences go on.

    Args:
        teacher: A causal model that fits the task; put into evaluation mode.
        task: The task.

    Returns:
        The task; its metric is 0 for one who says what the teacher says.
    """
    loss, metric, unit = squared_error, "squared difference from the teacher", "squared units"
    if task.step_loss in CATEGORICAL + BERNOULLI:
        loss = categorical_divergence if task.step_loss in CATEGORICAL else bernoulli_divergence
        metric, unit = "divergence from the teacher", "nats"
    teacher.eval()
    weights = split_hash([value.cpu().numpy() for value in teacher.state_dict().values()])
    few = sum(task.steps(split) for split in SPLITS) * task.out_features <= HELD
    sequences = {split: Taught(teacher, task, split) for split in SPLITS}
    found = replace(
        task,
        name=f"{task.name}-taught",
        title=f"{task.title}, as the teacher says it",
        metric=metric,
        unit=unit,
        step_loss=loss,
        splits={split: found.kept() if few else found for split, found in sequences.items()},
        hashes={
            split: sha256(f"{task.hashes[split]} {weights}".encode()).hexdigest()
            for split in SPLITS
        },
        floors=(),
        scores={},
        published=(),
    )
    return replace(found, chance_level=_of_nothing(found))


def _of_nothing(task: Task) -> float:
    """Give the metric of a model whose scores are all 0, on some sequences."""
    loss, steps = 0.0, 0
    for number in range(min(LOOKED_AT, len(task.splits["train"]))):
        _, target = task.pair("train", number)
        counts = known_steps(target)
        losses = task.step_loss(torch.zeros(len(target), task.out_features), target)
        loss, steps = loss + float(losses[counts].sum()), steps + int(counts.sum())
    return loss / max(steps, 1)


@dataclass(frozen=True)
class Taught:
    """The sequences of a split with a teacher's outputs as targets.

    Attributes:
        teacher: The teacher.
        task: The task.
        split: The split.
        states: The teacher's state before each sequence, where they go on; found once.
    """

    teacher: AbstractSequenceModel
    task: Task
    split: Split
    states: list[State] = field(default_factory=list)

    @property
    def lengths(self) -> np.ndarray:
        """The number of steps of each sequence."""
        return self.task.lengths(self.split)

    def __len__(self) -> int:
        return len(self.task.splits[self.split])

    def __getitem__(self, number: int) -> Pair:
        x, target = self.task.pair(self.split, number)
        if self.task.continuous and not self.states:
            self.states.extend(self._states())
        state = self.states[number] if self.task.continuous else None
        return x, _asked(self._run(x, state)[0], target)

    def kept(self) -> list[Pair]:
        """Run the teacher over all of them once.

        Returns:
            The sequences.
        """
        outputs = dict(predictions(self.teacher, self.task, self.split, streams=1))
        pairs = (self.task.pair(self.split, number) for number in range(len(self)))
        return [(x, _asked(outputs[number], target)) for number, (x, target) in enumerate(pairs)]

    def _states(self) -> Iterator[State]:
        """Give the state before each sequence: copies, as the outputs would stay with views."""
        state = self.teacher.init_state(1)
        for number in range(len(self)):
            yield state
            _, after = self._run(self.task.pair(self.split, number)[0], state)
            state = map_state(torch.clone, after)

    @torch.no_grad()
    def _run(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Run the teacher over a sequence."""
        y, after = self.teacher(x[None].to(next(self.teacher.parameters()).device), state)
        return y[0].cpu(), after


def _asked(outputs: Tensor, target: Tensor) -> Tensor:
    """Leave outputs out at steps at which nothing is asked."""
    return torch.where(known_steps(target)[:, None], outputs.float(), torch.nan)
