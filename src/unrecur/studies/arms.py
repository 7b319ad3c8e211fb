"""A comparison: a question, and arms that are trained alike but for what is asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from unrecur._check import InputError
from unrecur.data.sequences import SPLITS
from unrecur.data.task import Task
from unrecur.train.config import TrainConfig

SMOKE_SEQUENCES, SMOKE_EPOCHS, SMOKE_PARAMETERS = 48, 2, 3000


@dataclass(frozen=True)
class Arm:
    """One of the things that are compared.

    Attributes:
        model: A name of `unrecur.models.MODELS`.
        options: What its builder takes beside the features and the width.
        training: What differs from the training of the comparison.
    """

    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """A question, and the models whose training answers it.

    All arms have the same number of parameters, within 2 %, and meet the same batches in the same
    order, seed by seed.

    Attributes:
        name: Its name on the command line.
        title: What is compared, in words.
        question: The question.
        task: Loads the task; it needs no files.
        arms: What is compared, by name.
        reference: The arm that each other one is compared with.
        level: The validation metric that counts as reached, in the task's unit.
        training: How the arms are trained.
        parameters: About how many each arm has.
        race: Whether the question is who reaches the level first, too.

    Raises:
        InputError: There are fewer than two arms, the reference is none of them, or an arm's
            batches or epochs are not those of the others.
    """

    name: str
    title: str
    question: str
    task: Callable[[], Task]
    arms: Mapping[str, Arm]
    reference: str
    level: float
    training: TrainConfig
    parameters: int
    race: bool = False

    def __post_init__(self) -> None:
        if len(self.arms) < 2 or self.reference not in self.arms:
            raise InputError(
                f"comparison '{self.name}': expected two arms or more, the reference among them, "
                f"got {', '.join(self.arms) or 'none'} and the reference '{self.reference}'."
            )
        for name, arm in self.arms.items():
            if shared := {"epochs", "batch_size", "patience"} & set(arm.training):
                raise InputError(
                    f"comparison '{self.name}': the arm '{name}' has its own "
                    f"{', '.join(sorted(shared))}, which all arms must share."
                )

    def training_of(self, arm: str) -> TrainConfig:
        """Give the training of an arm.

        Args:
            arm: Its name.

        Returns:
            The settings.
        """
        return replace(self.training, **self.arms[arm].training)


def smoke(comparison: Comparison) -> Comparison:
    """Make a comparison of seconds that shows that everything runs; its answer means nothing.

    Args:
        comparison: The comparison.

    Returns:
        One with few sequences, two epochs and small models.
    """

    def task() -> Task:
        found = comparison.task()
        for split in SPLITS:
            share = min(1.0, SMOKE_SEQUENCES / len(found.splits[split]))
            found = found.part(split, int(share * found.steps(split)))
        return found

    training = replace(comparison.training, epochs=SMOKE_EPOCHS, patience=SMOKE_EPOCHS)
    return replace(comparison, task=task, training=training, parameters=SMOKE_PARAMETERS)
