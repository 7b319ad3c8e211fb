"""Every cell, layer and model, small: what the laws are tried on."""

from functools import partial

from torch import nn

from unrecur.cells import (
    GRU,
    LRU,
    LSTM,
    MGU,
    QRNN,
    DiagonalSSM,
    Elman,
    MinGRU,
    MinLSTM,
    PeepholeLSTM,
    ProjectedLSTM,
    ResetFirstGRU,
)
from unrecur.core.compose import Parallel, Pointwise, Residual, Serial
from unrecur.core.lagged import Lagged
from unrecur.layers.attention import CausalAttention, FullAttention
from unrecur.layers.convolution import CausalConvolution, Convolution, separable
from unrecur.layers.embedding import Embedding, readout
from unrecur.layers.hierarchical_attention import HierarchicalAttention
from unrecur.layers.recurrent import Recurrent
from unrecur.layers.transposed import TransposedConvolution
from unrecur.models.spec import Spec
from unrecur.truncation.window import Window

FEATURES = 3


def peephole(*sizes, **options):
    """A cell whose peepholes are not the zeros they start at."""
    cell = PeepholeLSTM(*sizes, **options)
    nn.init.normal_(cell.weight_peephole_l0, std=0.5)
    return cell


CELLS = {
    "elman": Elman,
    "elman-relu": partial(Elman, activation="relu"),
    "elman-leaky": partial(Elman, activation="leaky_relu"),
    "lstm": LSTM,
    "peephole_lstm": peephole,
    "gru": GRU,
    "reset_first_gru": ResetFirstGRU,
    "mgu": MGU,
    "min_gru": MinGRU,
    "min_gru-positive": partial(MinGRU, activation="positive"),
    "min_lstm": MinLSTM,
    "min_lstm-positive": partial(MinLSTM, activation="positive"),
    "qrnn": QRNN,
    "lru": LRU,
    "diagonal_ssm": partial(DiagonalSSM, modes=2),
}

LAYERS = {
    **{name: lambda make=make: Recurrent([make(FEATURES, 4)]) for name, make in CELLS.items()},
    "lstm-without-bias": lambda: Recurrent([LSTM(FEATURES, 4, bias=False)]),
    "reset_first_gru-without-bias": lambda: Recurrent([ResetFirstGRU(FEATURES, 4, bias=False)]),
    "projected_lstm": lambda: Recurrent([ProjectedLSTM(FEATURES, 5, projection=2)]),
    "projected_lstm-without-bias": lambda: Recurrent([ProjectedLSTM(FEATURES, 5, 2, bias=False)]),
    "mgu-without-bias": lambda: Recurrent([MGU(FEATURES, 4, bias=False)]),
    "min_lstm-without-bias": lambda: Recurrent([MinLSTM(FEATURES, 4, bias=False)]),
    "stack": lambda: Recurrent([LSTM(FEATURES, 5), GRU(5, 4), MGU(4, 2)], dropout=0.5),
    "stack-of-projected": lambda: Recurrent(
        [ProjectedLSTM(FEATURES, 5, 2), ProjectedLSTM(2, 4, 3)]
    ),
    "stack-of-affine": lambda: Recurrent([LRU(FEATURES, 5), QRNN(5, 4), MinGRU(4, 2)]),
    "convolution": lambda: CausalConvolution(FEATURES, 4, kernel_size=3, dilation=2),
    "convolution-of-one-tap": lambda: CausalConvolution(FEATURES, 4, kernel_size=1),
    "convolution-normalized": lambda: CausalConvolution(FEATURES, 4, 2, 5, normalize=True),
    "convolution-grouped": lambda: CausalConvolution(FEATURES, 6, 3, 2, groups=FEATURES),
    "convolution-separable": lambda: separable(FEATURES, 4, 3, 2),
    "convolution-ahead": lambda: Convolution(FEATURES, 4, 4, 2),
    "convolution-block-causal": lambda: Convolution(FEATURES, 4, 3, 2, padding="causal"),
    "convolution-full": lambda: Convolution(FEATURES, 4, 3, padding="full"),
    "convolution-strided": lambda: Convolution(FEATURES, 4, 3, stride=2),
    "transposed": lambda: TransposedConvolution(FEATURES, 4, kernel_size=5, stride=2),
    "transposed-short": lambda: TransposedConvolution(FEATURES, 4, kernel_size=2, stride=3),
    "down-and-up": lambda: Serial(
        Convolution(FEATURES, 4, 4, stride=2), TransposedConvolution(4, 2, kernel_size=3, stride=2)
    ),
    "convolution-lagged": lambda: Lagged(
        Serial(Convolution(FEATURES, 4, 4, 2), Convolution(4, 2, 3))
    ),
    "residual-ahead": lambda: Residual(Convolution(FEATURES, FEATURES, 5)),
    "pointwise": lambda: Pointwise(nn.Tanh(), FEATURES),
    "residual": lambda: Residual(CausalConvolution(FEATURES, FEATURES, 2)),
    "residual-shortcut": lambda: Residual(CausalConvolution(FEATURES, 5, 2), readout(FEATURES, 5)),
    "parallel": lambda: Parallel(
        Recurrent([GRU(FEATURES, 2)]), CausalConvolution(FEATURES, 3, 4, 2)
    ),
    "window": lambda: Window(Recurrent([LSTM(FEATURES, 4)]), 3),
    "window-of-affine": lambda: Window(Recurrent([QRNN(FEATURES, 4), LRU(4, 2)]), 3),
    "window-of-one": lambda: Window(Recurrent([GRU(FEATURES, 4)]), 1),
    "window-of-a-stack": lambda: Window(
        Serial(Recurrent([LSTM(FEATURES, 4), GRU(4, 3)]), readout(3, 2)), 6
    ),
    "attention": lambda: CausalAttention(FEATURES, heads=3, window=4),
    "attention-to-itself": lambda: CausalAttention(FEATURES, heads=1, window=1),
    "attention-relative": lambda: CausalAttention(FEATURES, 3, window=5, positions="relative"),
    "attention-rotary": lambda: Serial(
        readout(FEATURES, 4), CausalAttention(4, 2, window=3, positions="rotary")
    ),
    "attention-full": lambda: FullAttention(FEATURES, heads=3),
    "attention-in-groups": lambda: HierarchicalAttention(FEATURES, heads=3, group=2),
    "attention-in-wide-groups": lambda: HierarchicalAttention(FEATURES, heads=1, group=5),
    "serial": lambda: Serial(
        CausalConvolution(FEATURES, 4, 3), CausalConvolution(4, 4, 2, 4), readout(4, 2)
    ),
}

TOKEN_LAYERS = {
    "embedding": lambda: Embedding(6, 4),
    "window-on-tokens": lambda: Window(Serial(Embedding(6, 4), Recurrent([LSTM(4, 3)])), 4),
    "embedding-lstm": lambda: Serial(Embedding(6, 4), Recurrent([LSTM(4, 3)])),
}

TRANSFORMER = {
    "in_features": FEATURES,
    "out_features": 2,
    "hidden": 4,
    "layers": 2,
    "heads": 2,
    "inner": 5,
    "dropout": 0.2,
}

WAVENET = {"in_features": FEATURES, "out_features": 2, "hidden": 4, "layers": 2, "stacks": 2}
GATED = {"in_features": FEATURES, "out_features": 2, "hidden": 4, "layers": 2, "kernel_size": 3}

SPECS = {
    **{
        name: Spec(name, {"in_features": FEATURES, "out_features": 2, "hidden": 4, "layers": 2})
        for name in (
            "elman",
            "lstm",
            "peephole_lstm",
            "gru",
            "reset_first_gru",
            "mgu",
            "min_gru",
            "min_lstm",
            "qrnn",
            "lru",
        )
    },
    "projected_lstm": Spec(
        "projected_lstm",
        {"in_features": FEATURES, "out_features": 2, "hidden": 4, "layers": 2, "projection": 3},
    ),
    "diagonal_ssm": Spec(
        "diagonal_ssm",
        {"in_features": FEATURES, "out_features": 2, "hidden": 4, "layers": 2, "modes": 2},
    ),
    "tcn": Spec(
        "tcn",
        {
            "in_features": FEATURES,
            "out_features": 2,
            "hidden": 4,
            "levels": 3,
            "kernel_size": 3,
            "dropout": 0.2,
        },
    ),
    **{
        f"transformer-{positions}-{norm}": Spec("transformer", TRANSFORMER | options)
        for positions, norm in (("rotary", "pre"), ("relative", "post"), ("sinusoidal", "post"))
        for options in [{"context": 4, "positions": positions, "norm": norm}]
    },
    "wavenet": Spec("wavenet", WAVENET | {"dropout": 0.2}),
    "wavenet-conditioned": Spec(
        "wavenet", WAVENET | {"conditions": 2, "skip": 5, "kernel_size": 3, "stacks": 1}
    ),
    "wavenet-mixture": Spec("wavenet", WAVENET | {"out_features": 6, "output": "mixture"}),
    "gated_convolution": Spec("gated_convolution", GATED | {"dropout": 0.2}),
    "gated_convolution-bottleneck": Spec(
        "gated_convolution", GATED | {"layers": 3, "kernel_size": 2, "bottleneck": 3}
    ),
    "gated_convolution-adaptive": Spec(
        "gated_convolution", GATED | {"hidden": 16, "out_features": 9, "cutoffs": [3, 5]}
    ),
    "autoregression": Spec(
        "autoregression", {"in_features": FEATURES, "out_features": 2, "order": 4}
    ),
    "constant": Spec("constant", {"in_features": FEATURES, "out_features": 2}),
    "persistence": Spec("persistence", {"in_features": FEATURES, "out_features": 2}),
    "persistence-seasonal": Spec(
        "persistence",
        {"in_features": FEATURES, "out_features": 6, "season": 4, "targets": 2, "leads": [1, 3, 7]},
    ),
    "frequencies": Spec("frequencies", {"in_features": FEATURES}),
    "markov": Spec("markov", {"in_features": FEATURES}),
}

# Models that look ahead, and have the block form alone.
BLOCK_SPECS = {
    **{
        name: Spec(name, {"in_features": FEATURES, "out_features": 2, "hidden": 4, "layers": 2})
        for name in ("bidirectional_lstm", "bidirectional_gru")
    },
    "transformer_encoder": Spec("transformer_encoder", TRANSFORMER),
    "transformer_encoder-learned": Spec(
        "transformer_encoder", TRANSFORMER | {"positions": "learned", "norm": "pre", "context": 17}
    ),
    "hierarchical_attention": Spec("hierarchical_attention", TRANSFORMER | {"group": 3}),
}

# Models from source tokens below SOURCE_TOKENS to target tokens below TARGET_TOKENS.
SOURCE_TOKENS, TARGET_TOKENS = 7, 5
_TRANSLATION = {"in_features": SOURCE_TOKENS, "out_features": TARGET_TOKENS, "hidden": 4}
TRANSLATION_SPECS = {
    "seq2seq": Spec("seq2seq", _TRANSLATION | {"dropout": 0.2}),
    "seq2seq-forward": Spec(
        "seq2seq", _TRANSLATION | {"layers": 2, "stack": "forward", "attention": "dot"}
    ),
    "seq2seq-in-parallel": Spec(
        "seq2seq", _TRANSLATION | {"layers": 2, "cell": "gru", "input_feeding": False}
    ),
    "seq2seq-gnmt": Spec("seq2seq", _TRANSLATION | {"layers": 3, "stack": "gnmt"}),
    "convs2s": Spec("convs2s", _TRANSLATION | {"layers": 2, "context": 20, "dropout": 0.2}),
    "transformer_pair": Spec("transformer_pair", TRANSFORMER | _TRANSLATION | {"context": 4}),
    "transformer_pair-shared": Spec(
        "transformer_pair",
        TRANSFORMER
        | {"in_features": SOURCE_TOKENS, "out_features": SOURCE_TOKENS, "shared": True}
        | {"positions": "learned", "norm": "pre", "context": 19, "layers": 1},
    ),
    "convs2s-not-normalized": Spec(
        "convs2s",
        _TRANSLATION | {"layers": 3, "kernel_size": 2, "context": 19, "normalize": False},
    ),
}

VOCABULARY = 6
TOKENS = {"in_features": VOCABULARY, "out_features": VOCABULARY}

# Models whose inputs are token ids below VOCABULARY.
TOKEN_SPECS = {
    "transformer-learned": Spec(
        "transformer", TRANSFORMER | TOKENS | {"tokens": True, "context": 17}
    ),
    "transformer-tied": Spec(
        "transformer",
        TRANSFORMER
        | TOKENS
        | {"tokens": True, "tied": True, "positions": "none", "context": 5, "layers": 1},
    ),
    "wavenet-of-tokens": Spec("wavenet", WAVENET | TOKENS | {"tokens": True}),
    "gated_convolution-of-tokens": Spec(
        "gated_convolution",
        GATED | TOKENS | {"tokens": True, "embedding": 3, "hidden": 5, "cutoffs": [4]},
    ),
    "transformer_encoder-of-tokens": Spec(
        "transformer_encoder", TRANSFORMER | TOKENS | {"tokens": True}
    ),
    "hierarchical_attention-of-tokens": Spec(
        "hierarchical_attention", TRANSFORMER | TOKENS | {"tokens": True, "group": 4}
    ),
}

# Models that read a passage for a question, both of token ids below VOCABULARY.
READING_SPECS = {
    "dgcnn": Spec("dgcnn", {"in_features": VOCABULARY, "hidden": 4, "dropout": 0.2}),
}

# Models whose weights are counts or distributions: they are fitted, and not drawn at random.
FITTED_SPECS = {
    "unigram": Spec("ngram", {"in_features": VOCABULARY, "order": 1}),
    "trigram": Spec("ngram", {"in_features": VOCABULARY, "order": 3}),
    "hidden_markov": Spec("hidden_markov", {"in_features": VOCABULARY, "hidden": 3}),
    "hidden_markov-gaussian": Spec(
        "hidden_markov", {"in_features": FEATURES, "hidden": 3, "emission": "gaussian"}
    ),
}

MODEL_TABLES = [SPECS, BLOCK_SPECS, TOKEN_SPECS, TRANSLATION_SPECS, READING_SPECS, FITTED_SPECS]
