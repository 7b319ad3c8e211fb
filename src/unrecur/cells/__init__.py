"""The cells: one recurrence phi a file."""

from unrecur.cells.diagonal_ssm import DiagonalSSM as DiagonalSSM
from unrecur.cells.elman import Elman as Elman
from unrecur.cells.gru import GRU as GRU
from unrecur.cells.lru import LRU as LRU
from unrecur.cells.lstm import LSTM as LSTM
from unrecur.cells.mgu import MGU as MGU
from unrecur.cells.min_gru import MinGRU as MinGRU
from unrecur.cells.min_lstm import MinLSTM as MinLSTM
from unrecur.cells.peephole_lstm import PeepholeLSTM as PeepholeLSTM
from unrecur.cells.projected_lstm import ProjectedLSTM as ProjectedLSTM
from unrecur.cells.qrnn import QRNN as QRNN
from unrecur.cells.reset_first_gru import ResetFirstGRU as ResetFirstGRU

CELLS = {
    "elman": Elman,
    "gru": GRU,
    "reset_first_gru": ResetFirstGRU,
    "lstm": LSTM,
    "peephole_lstm": PeepholeLSTM,
    "projected_lstm": ProjectedLSTM,
    "mgu": MGU,
    "min_gru": MinGRU,
    "min_lstm": MinLSTM,
    "qrnn": QRNN,
    "lru": LRU,
    "diagonal_ssm": DiagonalSSM,
}
