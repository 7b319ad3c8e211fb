"""The cells: one recurrence phi a file."""

from unrecur.cells.elman import Elman as Elman
from unrecur.cells.gru import GRU as GRU
from unrecur.cells.lstm import LSTM as LSTM
from unrecur.cells.mgu import MGU as MGU

CELLS = {"elman": Elman, "gru": GRU, "lstm": LSTM, "mgu": MGU}
