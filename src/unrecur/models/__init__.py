"""The architectures, one a file, and the table of them.

A builder takes keyword arguments only, all of them JSON values: they are the model's config, and
`Spec` keeps them beside the weights.
"""

from functools import partial

from unrecur.models.architecture import Architecture, Family
from unrecur.models.autoregression import Autoregression, autoregression_parameters
from unrecur.models.bidirectional import bidirectional, bidirectional_parameters
from unrecur.models.constant import Constant, constant_parameters
from unrecur.models.convs2s import convs2s, convs2s_parameters
from unrecur.models.dgcnn import dgcnn, dgcnn_parameters
from unrecur.models.floor import Frequencies, Markov, frequencies_parameters, markov_parameters
from unrecur.models.gated_convolution import gated_convolution, gated_convolution_parameters
from unrecur.models.hidden_markov import HiddenMarkovModel, hidden_markov_parameters
from unrecur.models.hierarchical_attention import (
    hierarchical_attention,
    hierarchical_attention_parameters,
)
from unrecur.models.ngram import NGram, ngram_parameters
from unrecur.models.persistence import Persistence, persistence_parameters
from unrecur.models.recurrent import recurrent, recurrent_parameters
from unrecur.models.seq2seq import seq2seq, seq2seq_parameters
from unrecur.models.tcn import tcn, tcn_parameters
from unrecur.models.transformer import transformer, transformer_parameters
from unrecur.models.transformer_encoder import (
    transformer_encoder,
    transformer_encoder_parameters,
)
from unrecur.models.transformer_pair import transformer_pair, transformer_pair_parameters
from unrecur.models.wavenet import wavenet, wavenet_parameters

_FRAMES = {"in_features": 88, "out_features": 88}
_RECURRENT = _FRAMES | {"hidden": 128}
_TRANSLATION = {"in_features": 1000, "out_features": 1000, "hidden": 128}


def _cell(name: str, family: Family, year: int, source: str, **options: int) -> Architecture:
    """Describe a stack of cells."""
    build, count = partial(recurrent, name), partial(recurrent_parameters, name)
    return Architecture(build, count, family, year, source, _RECURRENT | options)


def _both_ways(name: str, year: int, source: str) -> Architecture:
    """Describe a bidirectional stack of cells."""
    build, count = partial(bidirectional, name), partial(bidirectional_parameters, name)
    return Architecture(build, count, "recurrent", year, source, _RECURRENT)


MODELS: dict[str, Architecture] = {
    "elman": _cell("elman", "recurrent", 1990, "Elman, Finding Structure in Time"),
    "lstm": _cell("lstm", "recurrent", 1997, "Hochreiter, Schmidhuber; Gers et al. 2000"),
    "peephole_lstm": _cell("peephole_lstm", "recurrent", 2000, "Gers, Schmidhuber"),
    "projected_lstm": _cell(
        "projected_lstm", "recurrent", 2014, "Sak et al., arXiv 1402.1128", projection=64
    ),
    "gru": _cell("gru", "recurrent", 2014, "Cho et al., arXiv 1406.1078"),
    "reset_first_gru": _cell("reset_first_gru", "recurrent", 2014, "Cho et al., arXiv 1406.1078"),
    "mgu": _cell("mgu", "recurrent", 2016, "Zhou et al., arXiv 1603.09420"),
    "qrnn": _cell("qrnn", "linear recurrence", 2016, "Bradbury et al., arXiv 1611.01576"),
    "diagonal_ssm": _cell(
        "diagonal_ssm", "linear recurrence", 2022, "Gu et al., arXiv 2206.11893", modes=16
    ),
    "lru": _cell("lru", "linear recurrence", 2023, "Orvieto et al., arXiv 2303.06349"),
    "min_gru": _cell("min_gru", "linear recurrence", 2024, "Feng et al., arXiv 2410.01201"),
    "min_lstm": _cell("min_lstm", "linear recurrence", 2024, "Feng et al., arXiv 2410.01201"),
    "tcn": Architecture(
        tcn,
        tcn_parameters,
        "convolution",
        2018,
        "Bai, Kolter, Koltun, arXiv 1803.01271",
        _FRAMES | {"hidden": 93, "levels": 3, "kernel_size": 2},
    ),
    "wavenet": Architecture(
        wavenet,
        wavenet_parameters,
        "convolution",
        2016,
        "van den Oord et al., arXiv 1609.03499",
        {"in_features": 1, "out_features": 256, "hidden": 64, "stacks": 3},
    ),
    "gated_convolution": Architecture(
        gated_convolution,
        gated_convolution_parameters,
        "convolution",
        2016,
        "Dauphin et al., arXiv 1612.08083",
        _FRAMES | {"hidden": 64, "layers": 8},
    ),
    "dgcnn": Architecture(
        dgcnn,
        dgcnn_parameters,
        "reading",
        2019,
        "Su, kexue.fm/archives/6906",
        {"in_features": 1000, "hidden": 128},
    ),
    "transformer": Architecture(
        transformer,
        transformer_parameters,
        "attention",
        2019,
        "Radford et al., Language Models are Unsupervised Multitask Learners (GPT-2)",
        _FRAMES | {"hidden": 64, "layers": 2, "heads": 4, "context": 64, "positions": "rotary"},
        filler="inner",
    ),
    "transformer_encoder": Architecture(
        transformer_encoder,
        transformer_encoder_parameters,
        "attention",
        2017,
        "Vaswani et al., arXiv 1706.03762, section 3.1",
        _FRAMES | {"hidden": 64, "layers": 2, "heads": 4},
        filler="inner",
    ),
    "hierarchical_attention": Architecture(
        hierarchical_attention,
        hierarchical_attention_parameters,
        "attention",
        2018,
        "Culurciello, The fall of RNN / LSTM",
        _FRAMES | {"hidden": 64, "heads": 4},
        filler="inner",
    ),
    "transformer_pair": Architecture(
        transformer_pair,
        transformer_pair_parameters,
        "encoder-decoder",
        2017,
        "Vaswani et al., arXiv 1706.03762",
        {
            "in_features": 1000,
            "out_features": 1000,
            "hidden": 64,
            "layers": 2,
            "heads": 4,
            "context": 64,
        },
        filler="inner",
    ),
    "bidirectional_lstm": _both_ways("lstm", 2005, "Graves, Schmidhuber; Schuster, Paliwal 1997"),
    "bidirectional_gru": _both_ways("gru", 2014, "Bahdanau et al., arXiv 1409.0473"),
    "seq2seq": Architecture(
        seq2seq,
        seq2seq_parameters,
        "encoder-decoder",
        2014,
        "Bahdanau et al., arXiv 1409.0473; Luong et al., arXiv 1508.04025",
        _TRANSLATION,
    ),
    "convs2s": Architecture(
        convs2s,
        convs2s_parameters,
        "encoder-decoder",
        2017,
        "Gehring et al., arXiv 1705.03122",
        _TRANSLATION | {"layers": 4},
    ),
    "frequencies": Architecture(
        Frequencies,
        frequencies_parameters,
        "floor",
        1814,
        "Laplace, the rule of succession",
        {"in_features": 88},
    ),
    "constant": Architecture(
        Constant,
        constant_parameters,
        "floor",
        1814,
        "Laplace, the rule of succession; the median, the mean",
        {"in_features": 88, "out_features": 88},
    ),
    "autoregression": Architecture(
        Autoregression,
        autoregression_parameters,
        "floor",
        1927,
        "Yule, on periodicities in disturbed series",
        _FRAMES | {"order": 8},
    ),
    "persistence": Architecture(
        Persistence,
        persistence_parameters,
        "floor",
        2006,
        "Hyndman, Koehler, the naive and the seasonal naive forecast",
        {"in_features": 7, "out_features": 24, "season": 24},
    ),
    "ngram": Architecture(
        NGram,
        ngram_parameters,
        "floor",
        1995,
        "Kneser, Ney; Chen, Goodman 1999",
        {"in_features": 256, "order": 5},
    ),
    "hidden_markov": Architecture(
        HiddenMarkovModel,
        hidden_markov_parameters,
        "floor",
        1966,
        "Baum, Petrie; Rabiner 1989",
        {"in_features": 256, "hidden": 32},
    ),
    "markov": Architecture(
        Markov,
        markov_parameters,
        "floor",
        1913,
        "Markov, a chain for each feature",
        {"in_features": 88},
    ),
}
