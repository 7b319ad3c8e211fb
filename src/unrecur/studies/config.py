"""The settings of a study."""

from dataclasses import dataclass

from unrecur import _check


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

    Raises:
        InputError: A number is out of range.
    """

    seeds: int = 3
    parameters: int | None = None
    epochs: int | None = None
    budget_seconds: float | None = None
    tolerance: float = 0.01
    margin: float = 0.02
    confidence: float = 0.95
    device: str = "cpu"

    def __post_init__(self) -> None:
        _check.positive_integer(self.seeds, "seeds")
        for name in ("parameters", "epochs"):
            if getattr(self, name) is not None:
                _check.positive_integer(getattr(self, name), name)
        if self.budget_seconds is not None:
            _check.positive(self.budget_seconds, "budget_seconds")
        for name in ("tolerance", "margin", "confidence"):
            _check.positive(getattr(self, name), name)
            _check.fraction(getattr(self, name), name)


SMOKE = StudyConfig(seeds=2, parameters=20_000, epochs=2)
"""A study of seconds that shows that everything runs; its verdict means nothing."""
