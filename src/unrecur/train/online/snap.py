"""SnAp-1: the influence of each parameter on its own unit."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from unrecur.core.cell import AbstractCell
from unrecur.train.online.traces import AbstractTraces, unit_paths


@dataclass(frozen=True)
class SnAp1(AbstractTraces):
    """The sparse one-step approximation of RTRL (Menick et al. 2020, arXiv 2006.07232).

    The influence is kept where a parameter acts within one step, which is on its own unit, and set
    to zero elsewhere: A_t is the block of the cell's Jacobian from a unit's state to itself. A unit
    is taken whole: an LSTM's memory and output, a complex number's two parts, a channel of a
    diagonal SSM with all its modes.

    Within a layer it is exact RTRL for cells whose units do not see each other (minGRU, minLSTM,
    QRNN, LRU, diagonal SSM) and for one unit. For others what goes through other units is dropped.
    Between layers see `AbstractTraces`.

    Attributes:
        update_every: See `AbstractOnline`.

    Raises:
        InputError: update_every is no whole number of at least 1.

    Example:
        >>> SnAp1().describe()
        {'name': 'SnAp1', 'update_every': None}
    """

    def paths(
        self, cell: AbstractCell, h: Float[Tensor, "B S"], x: Float[Tensor, "B D"]
    ) -> Float[Tensor, "B K K U"]:
        """Give the blocks of the Jacobian; see `AbstractTraces.paths`."""
        return unit_paths(cell, h, x)
