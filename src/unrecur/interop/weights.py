"""Cells of ours made of weights that came from elsewhere."""

import math

import torch
from torch import Tensor, nn

from unrecur import _check
from unrecur._check import InputError
from unrecur.cells import GRU, LSTM, Elman, PeepholeLSTM, ResetFirstGRU
from unrecur.cells.gated import AbstractTorchCell

GATES = {"lstm": 4, "peephole_lstm": 4, "gru": 3, "reset_first_gru": 3, "elman": 1}
TORCH_ORDER = {4: "ifgo", 3: "rzn", 1: "h"}  # how our cells stack their gates
ACTIVATIONS = ("tanh", "relu", "leaky_relu")


def kind_of(w_hh: Tensor) -> str:
    """Tell LSTM, GRU and Elman apart by how many blocks of H rows the recurrent weights stack.

    Args:
        w_hh: The recurrent weights in torch's layout, [G H, H].

    Returns:
        "lstm", "gru" or "elman".

    Raises:
        InputError: They stack neither 4, 3 nor 1 blocks.
    """
    kinds = {4: "lstm", 3: "gru", 1: "elman"}
    rows, hidden = w_hh.shape if w_hh.dim() == 2 else (0, 1)
    if hidden == 0 or rows % hidden or rows // hidden not in kinds:
        raise InputError(
            "expected recurrent weights [G H, H] with G = 4 (LSTM), 3 (GRU) or 1 (Elman), got "
            f"{list(w_hh.shape)}. Register a cell for another kind of recurrence "
            "(unrecur.interop.modules.layers_of)."
        )
    return kinds[rows // hidden]


def make_cell(
    kind: str,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
    activation: str = "tanh",
    peepholes: Tensor | None = None,
    order: str | None = None,
) -> AbstractTorchCell:
    """Make a cell that holds the given weights, in torch's layout.

    Args:
        kind: "lstm", "gru", "elman", "reset_first_gru" or "peephole_lstm".
        w_ih: The input weights, [G H, D].
        w_hh: The recurrent weights, [G H, H].
        b_ih: The input bias, [G H]; zeros where only the other is there.
        b_hh: The recurrent bias, [G H].
        activation: That of an Elman network.
        peepholes: Those of the input, forget and output gate, [3 H].
        order: The order in which the weights stack the gates, one letter each: "iofg" for ONNX's
            LSTM, "zrn" for its GRU; torch's, "ifgo" and "rzn", if left out.

    Returns:
        The cell, without gradients; float32 or float64 as the weights are (from shorter floats,
        float32, which is exact).

    Raises:
        InputError: The kind is unknown, or a shape or a type is not as it must be.
    """
    gates = GATES[_check.known_name(kind, GATES, "kind of recurrence")]
    _expect(w_ih, "input weights", (None, None))
    _expect(w_hh, "recurrent weights", (None, None))
    features, hidden = w_ih.shape[1], w_hh.shape[1]
    rows = gates * hidden
    if b_ih is None and b_hh is not None:
        b_ih = torch.zeros_like(b_hh)
    if b_hh is None and b_ih is not None:
        b_hh = torch.zeros_like(b_ih)
    weights = {"weight_ih_l0": w_ih, "weight_hh_l0": w_hh, "bias_ih_l0": b_ih, "bias_hh_l0": b_hh}
    shapes: dict[str, tuple[int | None, ...]] = {
        "weight_ih_l0": (rows, features),
        "weight_hh_l0": (rows, hidden),
        "bias_ih_l0": (rows,),
        "bias_hh_l0": (rows,),
        "weight_peephole_l0": (3 * hidden,),
    }
    if kind == "peephole_lstm":
        weights["weight_peephole_l0"] = peepholes
    held = {name: weight for name, weight in weights.items() if weight is not None}
    for name, weight in held.items():
        _expect(weight, name.removesuffix("_l0"), shapes[name])
    cell = _empty(kind, features, hidden, b_ih is not None, activation)
    dtype = torch.float64 if w_hh.dtype == torch.float64 else torch.float32
    for name, weight in held.items():
        # A copy, so that the cell keeps neither a mapped file nor somebody's array.
        own = weight.detach().to(dtype, copy=True).contiguous()
        if order is not None and name != "weight_peephole_l0":
            own = _reordered(own, order)
        setattr(cell, name, nn.Parameter(own, requires_grad=False))
    return cell


def _reordered(weight: Tensor, order: str) -> Tensor:
    """Sort blocks of rows into torch's order of gates."""
    blocks = dict(zip(order, weight.chunk(len(order)), strict=True))
    return torch.cat([blocks[gate] for gate in TORCH_ORDER[len(order)]])


def _empty(kind: str, features: int, hidden: int, bias: bool, activation: str) -> AbstractTorchCell:
    """Make a cell without values."""
    if kind == "elman":
        _check.known_name(activation, ACTIVATIONS, "activation")
        return Elman(features, hidden, activation, bias, device="meta")  # type: ignore[arg-type]
    makers: dict[str, type[AbstractTorchCell]] = {
        "lstm": LSTM,
        "gru": GRU,
        "reset_first_gru": ResetFirstGRU,
        "peephole_lstm": PeepholeLSTM,
    }
    return makers[kind](features, hidden, bias, device="meta")


def _expect(weight: Tensor, name: str, shape: tuple[int | None, ...]) -> None:
    """Check type and shape; None stands for any size above zero."""
    fits = len(shape) == weight.dim() and all(
        have == want or (want is None and have > 0)
        for have, want in zip(weight.shape, shape, strict=True)
    )
    if not fits or math.prod(weight.shape) == 0:
        expected = ", ".join("?" if size is None else str(size) for size in shape)
        raise InputError(
            f"expected the {name} as [{expected}], got {list(weight.shape)}. The file is damaged, "
            "or of another kind of model than it looks like."
        )
    if not weight.is_floating_point():
        raise InputError(
            f"expected the {name} as floating-point numbers, got {weight.dtype}. Quantized weights "
            "are not read: use the file from before quantization."
        )
