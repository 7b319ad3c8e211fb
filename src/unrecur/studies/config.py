"""The settings of a study."""

from dataclasses import dataclass
from typing import Literal, get_args

from unrecur import _check
from unrecur._check import InputError

Match = Literal["latency", "time"]


@dataclass(frozen=True)
class StudyConfig:
    """The settings of a study.

    Attributes:
        seeds: Each model is trained so many times, with seeds 0, 1, ...
        parameters: Every trained model has this many parameters, within 2 %; None for the number
            that the task suggests.
        epochs: The largest number of epochs; None for each recipe's own.
        budget_seconds: The longest time a model may train; None for no limit.
        tolerance: How much of its metric a model may lose when it is truncated, relative.
        margin: A difference of the metric up to this, relative, is none in practice.
        confidence: Of the intervals that decide.
        device: Where everything runs: "cpu", "cuda", ...
        trials: Each family tries so many settings before the final trials, dealt equally over its
            recipes; 0 takes those of the recipes.
        prune: End a draw early whose validation metric is behind that of others of its recipe at
            the same epoch. Which ones that hits depends on what else has finished by then.
        match: What else than the number of parameters is made equal, in trials of its own:
            "latency", that of a streaming step, "time", that of training.
        max_trials: Run no more trials than this in all, the first of the plan; None for no limit.
        max_seconds: Stop after so many seconds, as if killed, and conclude with what there is; the
            next call goes on. None for no limit.

    Raises:
        InputError: A number is out of range, or two contradict each other.
    """

    seeds: int = 3
    parameters: int | None = None
    epochs: int | None = None
    budget_seconds: float | None = None
    tolerance: float = 0.01
    margin: float = 0.02
    confidence: float = 0.95
    device: str = "cpu"
    trials: int = 0
    prune: bool = False
    match: tuple[Match, ...] = ()
    max_trials: int | None = None
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        _check.positive_integer(self.seeds, "seeds")
        _check.count(self.trials, "trials")
        for name in ("parameters", "epochs", "max_trials"):
            if getattr(self, name) is not None:
                _check.positive_integer(getattr(self, name), name)
        for name in ("budget_seconds", "max_seconds"):
            if getattr(self, name) is not None:
                _check.positive(getattr(self, name), name)
        for name in ("tolerance", "margin", "confidence"):
            _check.positive(getattr(self, name), name)
            _check.fraction(getattr(self, name), name)
        if (self.max_seconds or 0) < (self.budget_seconds or 0) and self.max_seconds is not None:
            raise InputError(
                f"budget_seconds={self.budget_seconds:g} gives one model more time to train than "
                f"max_seconds={self.max_seconds:g} gives the whole study. Lower the one or raise "
                "the other."
            )
        for kind in self.match:
            _check.known_name(kind, get_args(Match), "match")
        if "time" in self.match and self.budget_seconds is not None:
            raise InputError(
                "budget_seconds limits the time of training, which match 'time' makes equal. Give "
                "one of the two."
            )
        if self.prune and not self.trials:
            raise InputError(
                "prune ends draws of settings early, and there are none. Ask for some with "
                "trials=20 (--trials 20), or leave prune out."
            )


@dataclass(frozen=True)
class Workplace:
    """Where a study's trials run and are kept; it changes no result.

    Attributes:
        storage: The database, as sqlite:///study.db or postgresql://user:password@host/database;
            None for a SQLite file in the study's folder.
        ray: Run the trials on this Ray cluster: its address, or "auto" for that of this machine.
            None runs them in this process.
        cpus_per_trial: Of the cluster; also how many threads a trial has there.
        gpus_per_trial: Of the cluster.
        tensorboard: Write the metrics of each epoch for TensorBoard.

    Raises:
        InputError: A number is out of range.
    """

    storage: str | None = None
    ray: str | None = None
    cpus_per_trial: float = 1.0
    gpus_per_trial: float = 0.0
    tensorboard: bool = False

    def __post_init__(self) -> None:
        _check.positive(self.cpus_per_trial, "cpus_per_trial")
        if not 0 <= self.gpus_per_trial < float("inf"):
            raise InputError(f"gpus_per_trial must be at least 0, got {self.gpus_per_trial}.")


SMOKE = StudyConfig(seeds=2, parameters=20_000, epochs=2)
"""A study of seconds that shows that everything runs; its verdict means nothing."""
