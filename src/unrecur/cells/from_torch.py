"""Torch's own recurrent modules, read as our cells; the weights are shared, not copied."""

from torch import Tensor, nn

from unrecur._check import InputError
from unrecur.cells.elman import Activation, Elman
from unrecur.cells.gated import AbstractTorchCell
from unrecur.cells.gru import GRU
from unrecur.cells.lstm import LSTM

TORCH_MODULES = (nn.RNNBase, nn.RNNCellBase)


def cells_of(module: nn.Module) -> list[list[AbstractTorchCell]]:
    """Read the layers of a torch module, each as one cell or a forward and a backward one.

    Args:
        module: A `torch.nn.RNN`, `LSTM`, `GRU`, `RNNCell`, `LSTMCell` or `GRUCell`.

    Returns:
        The cells of each layer from the bottom up; they share the module's weights.

    Raises:
        InputError: It is none of these, or an LSTM with `proj_size`.

    Example:
        >>> [[type(cell).__name__ for cell in layer] for layer in cells_of(nn.GRU(3, 4, 2))]
        [['GRU'], ['GRU']]
    """
    if isinstance(module, nn.RNNCellBase):
        return [[_cell(module, "", "")]]
    if not isinstance(module, nn.RNNBase):
        raise InputError(
            "expected a torch.nn.RNN, LSTM, GRU or one of their cells, got "
            f"{type(module).__name__}."
        )
    if module.proj_size:
        raise InputError(
            f"an LSTM with proj_size={module.proj_size} is not supported; use proj_size=0 and a "
            "linear layer behind it."
        )
    ends = ["", "_reverse"] if module.bidirectional else [""]
    return [
        [_cell(module, f"_l{layer}", end) for end in ends] for layer in range(module.num_layers)
    ]


def _cell(module: nn.Module, layer: str, end: str) -> AbstractTorchCell:
    """Make the cell of one layer and direction on the module's weights."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    found = {name: getattr(module, f"{name}{layer}{end}", None) for name in names}
    weights: dict[str, Tensor] = {name: w for name, w in found.items() if w is not None}
    features, hidden = (weights[name].shape[1] for name in names[:2])
    bias = "bias_ih" in weights
    cell: AbstractTorchCell
    if isinstance(module, (nn.LSTM, nn.LSTMCell)):
        cell = LSTM(features, hidden, bias, device="meta")
    elif isinstance(module, (nn.GRU, nn.GRUCell)):
        cell = GRU(features, hidden, bias, device="meta")
    else:
        kind: Activation = "relu" if module.nonlinearity == "relu" else "tanh"
        cell = Elman(features, hidden, kind, bias, device="meta")
    for name, weight in weights.items():
        setattr(cell, f"{name}_l0", nn.Parameter(weight.detach(), requires_grad=False))
    return cell
