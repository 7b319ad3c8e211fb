"""The architectures, one a file, and the table of them.

A builder takes keyword arguments only, all of them JSON values: they are the model's config, and
`Spec` keeps them beside the weights.
"""

from functools import partial

from unrecur.models.architecture import Architecture, Family
from unrecur.models.floor import Frequencies, Markov, frequencies_parameters, markov_parameters
from unrecur.models.recurrent import recurrent, recurrent_parameters
from unrecur.models.tcn import tcn, tcn_parameters

_FRAMES = {"in_features": 88, "out_features": 88}
_RECURRENT = _FRAMES | {"hidden": 128}


def _cell(name: str, family: Family, year: int, source: str) -> Architecture:
    """Describe a stack of cells."""
    build, count = partial(recurrent, name), partial(recurrent_parameters, name)
    return Architecture(build, count, family, year, source, _RECURRENT)


MODELS: dict[str, Architecture] = {
    "elman": _cell("elman", "recurrent", 1990, "Elman, Finding Structure in Time"),
    "lstm": _cell("lstm", "recurrent", 1997, "Hochreiter, Schmidhuber; Gers et al. 2000"),
    "gru": _cell("gru", "recurrent", 2014, "Cho et al., arXiv 1406.1078"),
    "mgu": _cell("mgu", "recurrent", 2016, "Zhou et al., arXiv 1603.09420"),
    "qrnn": _cell("qrnn", "linear recurrence", 2016, "Bradbury et al., arXiv 1611.01576"),
    "lru": _cell("lru", "linear recurrence", 2023, "Orvieto et al., arXiv 2303.06349"),
    "min_gru": _cell("min_gru", "linear recurrence", 2024, "Feng et al., arXiv 2410.01201"),
    "min_lstm": _cell("min_lstm", "linear recurrence", 2024, "Feng et al., arXiv 2410.01201"),
    "tcn": Architecture(
        tcn,
        tcn_parameters,
        "convolution",
        2018,
        "Bai, Kolter, Koltun, arXiv 1803.01271",
        _FRAMES | {"hidden": 64, "levels": 4, "kernel_size": 3},
    ),
    "frequencies": Architecture(
        Frequencies, frequencies_parameters, "floor", 1814, "Laplace, the rule of succession",
        {"in_features": 88},
    ),
    "markov": Architecture(
        Markov, markov_parameters, "floor", 1913, "Markov, a chain for each feature",
        {"in_features": 88},
    ),
}
