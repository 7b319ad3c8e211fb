"""The recurrent layer: a cell, or a stack of cells, run over time."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

from jaxtyping import Float, Integer
from torch import Tensor, nn

from unrecur import _check
from unrecur.cells.affine import AbstractAffineCell
from unrecur.core.cell import AbstractCell
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, zero_padding
from unrecur.solvers.in_sequence import Sequential
from unrecur.solvers.scan import Scan
from unrecur.solvers.solution import Problem


class Recurrent(AbstractSequenceModel):
    """Run a stack of cells over time; each layer reads the outputs of the one below.

    A block goes through torch's fused kernel where the cell has one, and through a scan where it is
    affine. The state is the tuple of the cells' flat states. The `state_dict` of a
    `torch.nn.RNN/LSTM/GRU` with as many layers loads as it is.

    Args:
        cells: The cells from the bottom up, at least one.
        dropout: The probability with which an output between two layers is dropped in training.

    Raises:
        InputError: There is no cell, or one reads another number of features than comes from below.

    Example:
        >>> import torch
        >>> from unrecur.cells import LSTM
        >>> layer = Recurrent([LSTM(3, 8), LSTM(8, 8)])
        >>> layer.load_state_dict(torch.nn.LSTM(3, 8, num_layers=2).state_dict())
        <All keys matched successfully>
        >>> y, state = layer(torch.randn(2, 50, 3))
        >>> y.shape, [h.shape for h in state]
        (torch.Size([2, 50, 8]), [torch.Size([2, 16]), torch.Size([2, 16])])
    """

    def __init__(self, cells: list[AbstractCell], dropout: float = 0.0) -> None:
        super().__init__()
        _check.fraction(dropout, "dropout")
        if not cells:
            raise _check.InputError("a recurrent layer needs at least one cell, got none.")
        for below, above in pairwise(cells):
            if above.input_size != below.hidden_size:
                raise _check.InputError(
                    f"a cell of {below.hidden_size} outputs is followed by one that reads "
                    f"{above.input_size} features."
                )
        self.cells = cast("Sequence[AbstractCell]", nn.ModuleList(cells))
        self.dropout = nn.Dropout(dropout)
        self.in_features = cells[0].input_size
        self.out_features = cells[-1].hidden_size
        self.register_load_state_dict_pre_hook(_rename_torch_layers)  # type: ignore[no-untyped-call]

    @property
    def receptive_field(self) -> Field:
        """The whole past."""
        return Field(past=float("inf"))

    def init_state(self, batch: int) -> State:
        """Make the tuple of the cells' zero states."""
        return tuple(cell.init_state(batch) for cell in self.cells)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        _check.block(x, self.in_features)
        states = self.init_state(x.shape[0]) if state is None else state
        after = []
        for layer, (cell, before) in enumerate(zip(self.cells, states, strict=True)):
            x, last = _run(cell, self.dropout(x) if layer else x, before, lengths)
            after.append(last)
        return x, tuple(after)

    def step(
        self, x_t: Float[Tensor, "B D"], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        _check.frame(x_t, self.in_features)
        states = self.init_state(x_t.shape[0]) if state is None else state
        after = []
        for layer, (cell, before) in enumerate(zip(self.cells, states, strict=True)):
            h = cell.phi(before, self.dropout(x_t) if layer else x_t)
            x_t = cell.readout(h)
            after.append(h)
        return x_t, tuple(after)


def _run(cell: AbstractCell, x: Tensor, h: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Run one cell over a block: by a scan where it is affine, else in sequence."""
    solver = Scan() if isinstance(cell, AbstractAffineCell) else Sequential()
    solution = solver.run(Problem(cell, zero_padding(x, lengths), h, lengths=lengths)).solution
    return solution.y, solution.last


def _rename_torch_layers(
    module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any
) -> None:
    """Rename torch's `weight_ih_l1` to `cells.1.weight_ih_l0`, in place, before loading."""
    pattern = re.compile(re.escape(prefix) + r"((?:weight|bias)_[ih]h|weight_hr)_l(\d+)")
    for key in list(state_dict):
        if match := pattern.fullmatch(key):
            state_dict[f"{prefix}cells.{match[2]}.{match[1]}_l0"] = state_dict.pop(key)
