"""Stable by construction: parametrizations that keep a recurrent module inside a stable class."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from unrecur._check import InputError
from unrecur.cells.from_torch import cells_of
from unrecur.cells.gated import AbstractTorchCell
from unrecur.certificates.classes import OUTPUTS, StableClass, Weights, inside
from unrecur.certificates.inputs import Box, InputSet, read_inputs
from unrecur.core.cell import AbstractCell
from unrecur.core.compose import Serial, in_series
from unrecur.layers.embedding import Embedding
from unrecur.layers.recurrent import Recurrent


def stabilize(
    module: nn.Module,
    input_box: Any = None,
    rate: float | Tensor = 0.95,
    levels: int = 1,
) -> nn.Module:
    """Parametrize a recurrent module so that its recurrence always contracts by `rate`.

    In each forward pass the recurrent weights (and the biases of the gates that keep the state) are
    moved into a class that `certify` proves: units are sorted into `levels`, read lower levels
    freely, their own by short rows, and higher ones not at all (`classes.py`). Gradients go
    through. The `state_dict` has the plain names and the weights inside the class, and loads into
    the module without parametrization, which then gives the same outputs. With an embedding in
    front the proof follows its vectors as they are trained.

    Args:
        module: An Elman, LSTM, GRU or MGU cell; a `Recurrent` layer of such; a
            `torch.nn.RNN/LSTM/GRU` or one of their cells; a model with one of our layers at its
            bottom, or above an embedding. Changed in place.
        input_box: The inputs it shall hold for, as for `certify`; not needed above an embedding.
        rate: The contraction, above 0 and below 1: one number, or one for each unit.
        levels: How many levels; more of them allow more, and their proofs are longer. With many,
            the worst case of float32's rounding may leave a proof for a float64 copy only.

    Returns:
        The module.

    Raises:
        InputError: There is no class for a cell, it has no biases to lower its gates by, a rate or
            the levels are out of range, or the input box is malformed or missing.

    Example:
        >>> import torch, unrecur
        >>> lstm = torch.nn.LSTM(3, 16, batch_first=True)
        >>> unrecur.stabilize(lstm, input_box=1.0, rate=0.9, levels=2) is lstm
        True
        >>> unrecur.certify(lstm, input_box=1.0).rate <= 0.9
        True
    """
    rates = torch.as_tensor(rate, dtype=torch.float32)
    if not bool(((rates > 0) & (rates < 1)).all()):
        raise InputError(f"rate must be above 0 and below 1, got {rate}.")
    target, table = module, None
    if isinstance(module, Serial):
        parts = in_series(module)
        if isinstance(parts[0], Embedding) and len(parts) > 1:
            table, parts = parts[0].table, parts[1:]
        target = parts[0]
    for number, (owner, cell, names) in enumerate(_recurrences(target)):
        if rates.dim() and len(rates) != cell.hidden_size:
            raise InputError(f"rate needs one number or {cell.hidden_size}, got {len(rates)}.")
        if not 1 <= levels <= cell.hidden_size:
            raise InputError(f"levels must be 1 to {cell.hidden_size} (units), got {levels}.")
        inputs = _inputs(input_box, cell, number >= _directions(target), table)
        _parametrize(
            owner, cell, names, _Goal(inputs, table if number == 0 else None, rates, levels)
        )
    return module


Names = dict[str, str]


def _recurrences(module: nn.Module) -> list[tuple[nn.Module, AbstractTorchCell, Names]]:
    """List the recurrences of a module: who owns the weights, as which cell, by which names."""
    roles = {"w_x": "weight_ih", "w_h": "weight_hh", "b_x": "bias_ih", "b_h": "bias_hh"}
    if isinstance(module, Recurrent):
        return [found for cell in module.cells for found in _recurrences(cell)]
    if isinstance(module, AbstractTorchCell):
        return [(module, module, {role: f"{name}_l0" for role, name in roles.items()})]
    if isinstance(module, AbstractCell) or not isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
        raise InputError(
            f"there is no stable class for {type(module).__name__}; there is one for Elman, LSTM, "
            "GRU and MGU cells and the layers and torch modules made of them."
        )
    found: list[tuple[nn.Module, AbstractTorchCell, Names]] = []
    for number, layer in enumerate(cells_of(module)):
        where = "" if isinstance(module, nn.RNNCellBase) else f"_l{number}"
        for cell, end in zip(layer, ("", "_reverse"), strict=False):
            names = {role: f"{name}{where}{end}" for role, name in roles.items()}
            found.append((module, cell, names))
    return found


def _directions(module: nn.Module) -> int:
    """Count the recurrences that read the module's own inputs."""
    return 2 if getattr(module, "bidirectional", False) else 1


def _inputs(
    given: Any, cell: AbstractTorchCell, above: bool, table: nn.Embedding | None
) -> InputSet | None:
    """Read the inputs of a layer: None for an embedding's, which are looked up each time."""
    if above:
        ends = torch.full((cell.input_size,), OUTPUTS, dtype=torch.float64)
        return Box(-ends, ends)
    if table is not None:
        return None
    if given is None:
        raise InputError("input_box is needed: the inputs that the stability shall hold for.")
    return read_inputs(given, cell.input_size)


class _Goal:
    """Where the weights of one recurrence shall be."""

    def __init__(
        self, inputs: InputSet | None, table: nn.Embedding | None, rate: Tensor, levels: int
    ) -> None:
        self.inputs, self.table, self.rate, self.levels = inputs, table, rate, levels

    def like(self, weight: Tensor) -> StableClass:
        """Give the class in the type and on the device of a weight."""
        if self.inputs is None:
            assert self.table is not None
            low = high = self.table.weight
        else:
            low, high = (end.to(weight) for end in self.inputs.ends)
        return StableClass(low, high, self.rate.to(weight).expand(weight.shape[1]), self.levels)


class _Inside(nn.Module):
    """The part of the map into the class that gives one of the weights."""

    def __init__(
        self, owner: nn.Module, cell: AbstractTorchCell, names: Names, goal: _Goal
    ) -> None:
        super().__init__()
        # In a tuple, as the owner must not become a child of its own child.
        self._of = (owner, cell, names, goal)

    def weights(self, role: str, own: Tensor) -> Weights:
        """Give all weights inside the class, with `own` in the place of one of them."""
        owner, cell, names, goal = self._of
        zero = own.new_zeros(cell.gates * cell.hidden_size)
        found: dict[str, Tensor] = {}
        for other, name in names.items():
            weight: Tensor | None = own
            if other != role and parametrize.is_parametrized(owner, name):
                weight = owner.parametrizations[name].original  # type: ignore[union-attr, index]
            elif other != role:
                weight = getattr(owner, name, None)
            found[other] = zero if weight is None else weight
        return inside(cell, Weights(**found), goal.like(found["w_h"]))


class _InsideWeight(_Inside):
    """The recurrent weights."""

    def forward(self, weight: Tensor) -> Tensor:
        """Move them inside."""
        return self.weights("w_h", weight).w_h

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Take weights as they are: those inside stay."""
        return weight


class _InsideBias(_Inside):
    """The recurrent bias."""

    def forward(self, bias: Tensor) -> Tensor:
        """Move it inside."""
        return self.weights("b_h", bias).b_h

    def right_inverse(self, bias: Tensor) -> Tensor:
        """Take biases as they are: those inside stay."""
        return bias


def _parametrize(owner: nn.Module, cell: AbstractTorchCell, names: Names, goal: _Goal) -> None:
    """Register the parametrizations and the hooks that keep the module's interface."""
    if parametrize.is_parametrized(owner, names["w_h"]):
        raise InputError("this module is stabilized already.")
    has_bias = getattr(owner, names["b_h"], None) is not None
    if not has_bias and cell.gates > 1:
        raise InputError("a cell without biases cannot move its gates; use bias=True.")
    kind = cell.__class__
    shell = kind(cell.input_size, cell.hidden_size, device="meta")
    parametrize.register_parametrization(
        owner, names["w_h"], _InsideWeight(owner, shell, names, goal)
    )
    changed = [names["w_h"]]
    if has_bias and cell.gates > 1:
        changed.append(names["b_h"])
        bias = _InsideBias(owner, shell, names, goal)
        parametrize.register_parametrization(owner, names["b_h"], bias)
    owner.register_state_dict_post_hook(_plain_names(changed))
    owner.register_load_state_dict_pre_hook(_original_names(changed))
    if isinstance(owner, nn.RNNBase) and not hasattr(owner, "_refreshed"):
        owner._refreshed = True
        owner.register_forward_pre_hook(_refresh)


def _refresh(module: nn.Module, _: Any) -> None:
    """Hand the present weights to torch's kernel, which keeps its own list of them."""
    names = module._flat_weights_names
    module._flat_weights = [getattr(module, name) for name in names]  # type: ignore[assignment, union-attr]


def _plain_names(names: list[str]) -> Any:
    """Make a hook that saves the weights inside the class under their plain names."""

    def hook(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
        for name in names:
            if state.pop(f"{prefix}parametrizations.{name}.original", None) is not None:
                state[f"{prefix}{name}"] = getattr(module, name).detach().clone()

    return hook


def _original_names(names: list[str]) -> Any:
    """Make a hook that loads plain names."""

    def hook(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
        for name in names:
            if parametrize.is_parametrized(module, name) and f"{prefix}{name}" in state:
                key = f"{prefix}parametrizations.{name}.original"
                state[key] = state.pop(f"{prefix}{name}")

    return hook
