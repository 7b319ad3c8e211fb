"""The architectures, one a file, and the table of their builders.

A builder takes keyword arguments only, all of them JSON values: they are the model's config, and
`Spec` keeps them beside the weights.
"""

from collections.abc import Callable
from functools import partial

from unrecur.cells import CELLS
from unrecur.core.model import AbstractSequenceModel
from unrecur.models.floor import Frequencies, Markov
from unrecur.models.recurrent import recurrent
from unrecur.models.tcn import tcn

MODELS: dict[str, Callable[..., AbstractSequenceModel]] = {
    **{cell: partial(recurrent, cell) for cell in CELLS},
    "tcn": tcn,
    "frequencies": Frequencies,
    "markov": Markov,
}
