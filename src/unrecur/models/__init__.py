"""The architectures, one a file, and the table of their builders.

A builder takes keyword arguments only, all of them JSON values: they are the model's config, and
`Spec` keeps them beside the weights.
"""

from collections.abc import Callable
from functools import partial

from unrecur.core.model import AbstractSequenceModel
from unrecur.models.floor import Frequencies, Markov
from unrecur.models.recurrent import recurrent
from unrecur.models.tcn import tcn

MODELS: dict[str, Callable[..., AbstractSequenceModel]] = {
    "elman": partial(recurrent, "elman"),
    "gru": partial(recurrent, "gru"),
    "lstm": partial(recurrent, "lstm"),
    "mgu": partial(recurrent, "mgu"),
    "tcn": tcn,
    "frequencies": Frequencies,
    "markov": Markov,
}
