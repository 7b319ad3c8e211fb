"""What a study compares, and how each is trained."""

from dataclasses import dataclass, field
from typing import Any, Literal

from unrecur.train.config import TrainConfig

Kind = Literal["recurrent", "feed-forward", "floor"]


@dataclass(frozen=True)
class Recipe:
    """A model as a study trains it, its width left open.

    Attributes:
        model: A name of `unrecur.models.MODELS`.
        kind: Which family it belongs to. A floor is fitted, not trained.
        options: What its builder takes beside the features and the width.
        training: How it is trained.
    """

    model: str
    kind: Kind
    options: dict[str, Any] = field(default_factory=dict)
    training: TrainConfig = field(default_factory=TrainConfig)


# Learning rates and dropout are the best of one grid for all, on the validation split of `chorales`
# (docs/decisions/0004).
RECIPES: dict[str, Recipe] = {
    "lstm": Recipe("lstm", "recurrent", {"dropout": 0.1}, TrainConfig(learning_rate=1e-2)),
    "gru": Recipe("gru", "recurrent", {"dropout": 0.1}, TrainConfig(learning_rate=2e-2)),
    "stable-lstm": Recipe(
        "lstm", "recurrent", {"dropout": 0.1}, TrainConfig(learning_rate=2e-2, rate=0.95)
    ),
    "tcn": Recipe(
        "tcn",
        "feed-forward",
        {"levels": 3, "kernel_size": 2, "dropout": 0.1},
        TrainConfig(learning_rate=2e-2),
    ),
    "frequencies": Recipe("frequencies", "floor"),
    "markov": Recipe("markov", "floor"),
}
