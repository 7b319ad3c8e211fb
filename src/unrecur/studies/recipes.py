"""What a study compares, and how each is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from unrecur.data.running import LARGEST_OUTPUT
from unrecur.data.task import Task
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

# Those below have the best of one grid of learning rates for all, over several tasks of their kind,
# or the one beside it where the best is the largest (docs/decisions/0004).
_RATE = TrainConfig(learning_rate=1e-2)
_SLOWER = TrainConfig(learning_rate=5e-3)
_PLAIN: dict[str, Any] = {"dropout": 0.1}
_ATTENTION: dict[str, Any] = {"layers": 2, "heads": 2, "dropout": 0.1}
LARGEST_TOKEN_RATE = 5e-3  # in streams: embeddings and large softmaxes take smaller steps

# Where the whole sequence is given: models may look ahead.
WHOLE: dict[str, Recipe] = {
    "bilstm": Recipe("bidirectional_lstm", "recurrent", _PLAIN, _RATE),
    "bigru": Recipe("bidirectional_gru", "recurrent", _PLAIN, _RATE),
    "lstm": Recipe("lstm", "recurrent", _PLAIN, _RATE),
    "transformer-encoder": Recipe("transformer_encoder", "feed-forward", _ATTENTION, _SLOWER),
    "tcn": Recipe("tcn", "feed-forward", {"kernel_size": 2, **_PLAIN}, _RATE),
}

# Where sequences start from a source.
PAIRS: dict[str, Recipe] = {
    "lstm-seq2seq": Recipe(
        "seq2seq", "recurrent", {"cell": "lstm", "input_feeding": False, **_PLAIN}, _RATE
    ),
    "gru-seq2seq": Recipe(
        "seq2seq", "recurrent", {"cell": "gru", "input_feeding": False, **_PLAIN}, _RATE
    ),
    "transformer": Recipe("transformer_pair", "feed-forward", _ATTENTION, _SLOWER),
    "convs2s": Recipe("convs2s", "feed-forward", {"layers": 3, **_PLAIN}, _RATE),
}

BATCHES = 500  # in an epoch, at the most, as far as batches of 64 do it
LARGEST_BATCH, LEAST_BATCH = 64, 4
FARTHEST_REACH = 1023  # inputs that a TCN sees, where the task does not say


def recipes_for(task: Task) -> dict[str, Recipe]:
    """Choose what a study of a task compares: both families, and the floors that fit it.

    Args:
        task: The task.

    Returns:
        The recipes by name.
    """
    table = PAIRS if task.sources else WHOLE if task.whole else RECIPES
    chosen = {
        name: _fitted(recipe, task) for name, recipe in table.items() if recipe.kind != "floor"
    }
    floors = task.floors if isinstance(task.floors, Mapping) else {key: {} for key in task.floors}
    return chosen | {name: Recipe(name, "floor", dict(options)) for name, options in floors.items()}


def _fitted(recipe: Recipe, task: Task) -> Recipe:
    """Fit a recipe to the inputs, the lengths and the number of the sequences of a task."""
    options, training = dict(recipe.options), recipe.training
    if task.sources:
        options["in_features"] = task.source_features
    elif task.tokens:
        options["tokens"] = True
        if not task.whole:  # the rates of the chorales are too large for a long stream
            rate = min(training.learning_rate, LARGEST_TOKEN_RATE)
            training = replace(training, learning_rate=rate)
    longest = int(task.lengths("train").max())
    if recipe.model == "tcn":
        back = task.longest_dependency
        reach = task.reach or (longest if back is None else back + 1)
        options["levels"] = levels_for(min(reach, FARTHEST_REACH))
    if recipe.model == "transformer_pair":
        options["context"] = task.longest
    size = min(max(-(-len(task.splits["train"]) // BATCHES), LEAST_BATCH), LARGEST_BATCH)
    fitting = max(1, LARGEST_OUTPUT // (longest * task.out_features))
    return replace(
        recipe, options=options, training=replace(training, batch_size=min(size, fitting))
    )


def levels_for(inputs: int) -> int:
    """Count the levels of a TCN of two taps that sees at least so many inputs.

    L levels see 2^(L + 1) - 1.

    Args:
        inputs: How many it shall see.

    Returns:
        The levels.

    Example:
        >>> levels_for(1), levels_for(3), levels_for(4), levels_for(31), levels_for(32)
        (1, 1, 2, 4, 5)
    """
    return max(1, inputs.bit_length() - 1)
