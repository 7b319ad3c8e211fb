"""The bidirectional recurrent layer: each output has read all before it and all after it."""

import re
from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn

from unrecur import _check
from unrecur.core.cell import AbstractCell
from unrecur.core.field import Field
from unrecur.core.model import AbstractBlockModel
from unrecur.core.state import State
from unrecur.layers.recurrent import Recurrent


class Bidirectional(AbstractBlockModel):
    """Run two cells a layer, one forward and one backward in time, outputs side by side.

    y_t = [h_t; g_t], h_t = phi(h_{t-1}, x_t), g_t = psi(g_{t+1}, x_t); each layer reads both
    directions of the one below (Schuster and Paliwal 1997; stacked as `torch.nn.LSTM` does). Each
    row is read backward from its own end. The `state_dict` of a bidirectional
    `torch.nn.RNN/LSTM/GRU` with as many layers loads as it is.

    Args:
        cells: The layers from the bottom up, each a forward and a backward cell; at least one.
        dropout: The probability with which an output between two layers is dropped in training.

    Raises:
        InputError: There is no layer, or a cell reads another number of features than comes from
            below.

    Example:
        >>> import torch
        >>> from unrecur.cells import GRU
        >>> layer = Bidirectional([(GRU(3, 4), GRU(3, 4)), (GRU(8, 4), GRU(8, 4))])
        >>> theirs = torch.nn.GRU(3, 4, num_layers=2, bidirectional=True)
        >>> layer.load_state_dict(theirs.state_dict())
        <All keys matched successfully>
        >>> layer(torch.randn(2, 50, 3))[0].shape
        torch.Size([2, 50, 8])
    """

    def __init__(
        self, cells: list[tuple[AbstractCell, AbstractCell]], dropout: float = 0.0
    ) -> None:
        super().__init__()
        _check.fraction(dropout, "dropout")
        if not cells:
            raise _check.InputError("a bidirectional layer needs at least one pair of cells.")
        self.in_features = cells[0][0].input_size
        widths = [self.in_features] + [
            ahead.hidden_size + back.hidden_size for ahead, back in cells
        ]
        for below, pair in zip(widths, cells, strict=False):
            for cell in pair:
                if cell.input_size != below:
                    raise _check.InputError(
                        f"a cell reads {cell.input_size} features where {below} come from below."
                    )
        self.out_features = widths[-1]
        self.dropout = nn.Dropout(dropout)
        ahead, back = (
            [Recurrent([cell]) for cell in column] for column in zip(*cells, strict=True)
        )
        self.ahead = cast("Sequence[Recurrent]", nn.ModuleList(ahead))
        self.back = cast("Sequence[Recurrent]", nn.ModuleList(back))
        self.register_load_state_dict_pre_hook(_rename_torch_layers)  # type: ignore[no-untyped-call]

    @property
    def receptive_field(self) -> Field:
        """The whole sequence."""
        return Field(past=float("inf"), future=float("inf"))

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        _check.block(x, self.in_features)
        for layer, (ahead, back) in enumerate(zip(self.ahead, self.back, strict=True)):
            x = self.dropout(x) if layer else x
            forward, _ = ahead(x, None, lengths)
            backward, _ = back(reverse(x, lengths), None, lengths)
            x = torch.cat([forward, reverse(backward, lengths)], -1)
        return x, ()


def reverse(
    x: Shaped[Tensor, "B T ..."], lengths: Integer[Tensor, " B"] | None
) -> Shaped[Tensor, "B T ..."]:
    """Turn each row around within its own length; twice gives the row again.

    Args:
        x: A padded block.
        lengths: How many steps of each row are valid; None when all are.

    Returns:
        The block with the steps of each row in the opposite order, the padding behind them.
    """
    if lengths is None:
        return x.flip(1)
    time = x.shape[1]
    steps = lengths.to(x.device)[:, None] - 1 - torch.arange(time, device=x.device)
    index = (steps % time).view(*steps.shape, *(1,) * (x.dim() - 2))
    return x.gather(1, index.expand_as(x))


def _rename_torch_layers(
    module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any
) -> None:
    """Rename torch's `weight_ih_l1_reverse` to `back.1.weight_ih_l0`, in place, before loading.

    From there on the `Recurrent` of that layer and direction knows it.
    """
    pattern = re.compile(re.escape(prefix) + r"(\w+)_l(\d+)(_reverse)?")
    for key in list(state_dict):
        if match := pattern.fullmatch(key):
            side = "back" if match[3] else "ahead"
            state_dict[f"{prefix}{side}.{match[2]}.{match[1]}_l0"] = state_dict.pop(key)
