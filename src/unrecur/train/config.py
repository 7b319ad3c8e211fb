"""How a model is trained."""

from dataclasses import dataclass
from typing import Literal, get_args

from unrecur import _check

Schedule = Literal["cosine", "inverse"]


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training run.

    Attributes:
        epochs: The largest number of passes over the training split.
        batch_size: The number of sequences in a batch.
        learning_rate: Adam's step size at the start.
        schedule: How it falls: "cosine", to zero along half a cosine over `epochs` (Loshchilov and
            Hutter 2017), or "inverse", as alpha / t with t = 1 + epochs done, as for projected
            gradient descent (Miller and Hardt 2019, section 3).
        clip: The largest global norm of a gradient; longer ones are scaled to it.
        patience: Stop after so many epochs without a better validation metric.
        rate: Keep the model stable: after each step, project it to this contraction. None trains
            it freely.
        workers: The number of processes that read the data; 0 reads between the steps.

    Raises:
        InputError: A number is out of range.
    """

    epochs: int = 12
    batch_size: int = 4
    learning_rate: float = 1e-2
    clip: float = 1.0
    patience: int = 5
    rate: float | None = None
    schedule: Schedule = "cosine"
    workers: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            _check.positive_integer(getattr(self, name), name)
        for name in ("learning_rate", "clip"):
            _check.positive(getattr(self, name), name)
        _check.count(self.workers, "workers")
        _check.known_name(self.schedule, get_args(Schedule), "schedule")
        if self.rate is not None:
            _check.fraction(self.rate, "rate")
