"""The table of comparisons, one function each."""

from collections.abc import Callable
from functools import partial
from typing import Any

from unrecur.data.music import chorales
from unrecur.data.recall import delayed_recall
from unrecur.data.sums import adding
from unrecur.studies.arms import Arm, Comparison
from unrecur.train.config import TrainConfig

RECALL = partial(delayed_recall, length=60, delay=10)
UNCLIPPED = 1e12  # a limit that no finite gradient of these models reaches


def _training(epochs: int, **settings: Any) -> TrainConfig:
    """Train all epochs: a curve cut short would not be compared with a whole one."""
    return TrainConfig(epochs=epochs, patience=epochs, **settings)


def initialization() -> Comparison:
    """Ask what the first recurrent weights of an Elman network decide.

    Returns:
        The comparison.
    """
    starts = ("default", "orthogonal", "identity")
    return Comparison(
        name="initialization",
        title="How the recurrent weights start",
        question="Does it matter how the recurrent weights of an Elman network start?",
        task=RECALL,
        arms={start: Arm("elman", {"initialization": start}) for start in starts},
        reference="default",
        level=1.0,
        training=_training(20, batch_size=32, learning_rate=3e-3),
        parameters=10_000,
    )


def activation() -> Comparison:
    """Ask which activation lets an Elman network learn.

    Returns:
        The comparison.
    """
    names = ("tanh", "relu", "leaky_relu")
    return Comparison(
        name="activation",
        title="The activation of an Elman network",
        question="Which activation lets an Elman network that starts orthogonal learn best?",
        task=RECALL,
        arms={
            name: Arm("elman", {"activation": name, "initialization": "orthogonal"})
            for name in names
        },
        reference="tanh",
        level=1.0,
        training=_training(20, batch_size=32, learning_rate=3e-3),
        parameters=10_000,
    )


def clipping() -> Comparison:
    """Ask whether an Elman network that keeps its state needs its gradients clipped.

    Returns:
        The comparison.
    """
    keeping = {"activation": "relu", "initialization": "identity"}
    return Comparison(
        name="clipping",
        title="Clipping the norm of the gradient",
        question="Does an Elman network that starts by keeping its state need clipped gradients?",
        task=partial(adding, length=50),
        arms={
            "clipped": Arm("elman", keeping),
            "unclipped": Arm("elman", keeping, {"clip": UNCLIPPED}),
        },
        reference="clipped",
        level=0.05,
        training=_training(30, batch_size=32, learning_rate=3e-3),
        parameters=10_000,
    )


def long_memory() -> Comparison:
    """Ask whether an LSTM remembers better than an Elman network: two numbers, over 50 steps.

    Returns:
        The comparison.
    """
    return Comparison(
        name="long-memory",
        title="LSTM against RNN on the adding problem",
        question="Does an LSTM keep two numbers longer than a plain RNN of the same size?",
        task=partial(adding, length=50),
        arms={"rnn": Arm("elman"), "lstm": Arm("lstm")},
        reference="rnn",
        level=0.05,
        training=_training(40, batch_size=16),
        parameters=10_000,
    )


def exact_memory() -> Comparison:
    """Ask whether an LSTM remembers better than an Elman network: each of the last 11 symbols.

    Returns:
        The comparison.
    """
    return Comparison(
        name="exact-memory",
        title="LSTM against RNN on delayed recall",
        question="Does an LSTM keep the last symbols better than a plain RNN of the same size?",
        task=RECALL,
        arms={
            "rnn": Arm("elman", {}, {"learning_rate": 3e-3}),
            "lstm": Arm("lstm", {}, {"learning_rate": 1e-2}),
        },
        reference="rnn",
        level=1.0,
        training=_training(20, batch_size=32),
        parameters=10_000,
    )


def small_data() -> Comparison:
    """Ask which converges first on little data: an LSTM or a Transformer.

    Returns:
        The comparison.
    """
    attention = {"layers": 2, "heads": 4, "context": 64, "positions": "rotary", "dropout": 0.1}
    return Comparison(
        name="small-data",
        title="LSTM against Transformer on small data",
        question="On 229 chorales, which is better and converges first: LSTM or Transformer?",
        task=chorales,
        arms={
            "lstm": Arm("lstm", {"dropout": 0.1}, {"learning_rate": 1e-2}),
            "transformer": Arm("transformer", attention, {"learning_rate": 3e-3}),
        },
        reference="lstm",
        level=9.5,
        training=_training(12),
        parameters=60_000,
        race=True,
    )


def stability() -> Comparison:
    """Ask what a model loses that is kept stable while it is trained.

    Returns:
        The comparison.
    """
    return Comparison(
        name="stability",
        title="Stable against free",
        question="What does an LSTM lose that is kept stable (rate 0.95) while it is trained?",
        task=chorales,
        arms={
            "free": Arm("lstm", {"dropout": 0.1}),
            "stable": Arm("lstm", {"dropout": 0.1}, {"rate": 0.95}),
        },
        reference="free",
        level=9.5,
        training=_training(12, learning_rate=2e-2),
        parameters=60_000,
    )


COMPARISONS: dict[str, Callable[[], Comparison]] = {
    "initialization": initialization,
    "activation": activation,
    "clipping": clipping,
    "long-memory": long_memory,
    "exact-memory": exact_memory,
    "small-data": small_data,
    "stability": stability,
}
