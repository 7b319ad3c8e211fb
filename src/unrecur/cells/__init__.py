"""The cells: one recurrence phi a file."""

from unrecur.cells.elman import Elman as Elman
from unrecur.cells.gru import GRU as GRU
from unrecur.cells.lru import LRU as LRU
from unrecur.cells.lstm import LSTM as LSTM
from unrecur.cells.mgu import MGU as MGU
from unrecur.cells.min_gru import MinGRU as MinGRU
from unrecur.cells.min_lstm import MinLSTM as MinLSTM
from unrecur.cells.qrnn import QRNN as QRNN

CELLS = {
    "elman": Elman,
    "gru": GRU,
    "lstm": LSTM,
    "mgu": MGU,
    "min_gru": MinGRU,
    "min_lstm": MinLSTM,
    "qrnn": QRNN,
    "lru": LRU,
}
