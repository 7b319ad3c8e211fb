"""Every cell, layer and model, small: what the laws are tried on."""

from functools import partial

from torch import nn

from unrecur.cells import GRU, LRU, LSTM, MGU, QRNN, Elman, MinGRU, MinLSTM
from unrecur.core.compose import Parallel, Pointwise, Residual, Serial
from unrecur.layers.convolution import CausalConvolution
from unrecur.layers.embedding import Embedding, readout
from unrecur.layers.recurrent import Recurrent
from unrecur.models.spec import Spec
from unrecur.truncation.window import Window

FEATURES = 3

CELLS = {
    "elman": Elman,
    "elman-relu": partial(Elman, activation="relu"),
    "elman-leaky": partial(Elman, activation="leaky_relu"),
    "lstm": LSTM,
    "gru": GRU,
    "mgu": MGU,
    "min_gru": MinGRU,
    "min_lstm": MinLSTM,
    "qrnn": QRNN,
    "lru": LRU,
}

LAYERS = {
    **{name: lambda make=make: Recurrent([make(FEATURES, 4)]) for name, make in CELLS.items()},
    "lstm-without-bias": lambda: Recurrent([LSTM(FEATURES, 4, bias=False)]),
    "mgu-without-bias": lambda: Recurrent([MGU(FEATURES, 4, bias=False)]),
    "min_lstm-without-bias": lambda: Recurrent([MinLSTM(FEATURES, 4, bias=False)]),
    "stack": lambda: Recurrent([LSTM(FEATURES, 5), GRU(5, 4), MGU(4, 2)], dropout=0.5),
    "stack-of-affine": lambda: Recurrent([LRU(FEATURES, 5), QRNN(5, 4), MinGRU(4, 2)]),
    "convolution": lambda: CausalConvolution(FEATURES, 4, kernel_size=3, dilation=2),
    "convolution-of-one-tap": lambda: CausalConvolution(FEATURES, 4, kernel_size=1),
    "convolution-normalized": lambda: CausalConvolution(FEATURES, 4, 2, 5, normalize=True),
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
    "serial": lambda: Serial(
        CausalConvolution(FEATURES, 4, 3), CausalConvolution(4, 4, 2, 4), readout(4, 2)
    ),
}

TOKEN_LAYERS = {
    "embedding": lambda: Embedding(6, 4),
    "window-on-tokens": lambda: Window(Serial(Embedding(6, 4), Recurrent([LSTM(4, 3)])), 4),
    "embedding-lstm": lambda: Serial(Embedding(6, 4), Recurrent([LSTM(4, 3)])),
}

SPECS = {
    **{
        name: Spec(name, {"in_features": FEATURES, "out_features": 2, "hidden": 4, "layers": 2})
        for name in ("elman", "lstm", "gru", "mgu", "min_gru", "min_lstm", "qrnn", "lru")
    },
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
    "frequencies": Spec("frequencies", {"in_features": FEATURES}),
    "markov": Spec("markov", {"in_features": FEATURES}),
}
