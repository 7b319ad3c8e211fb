"""Torch's recurrent modules, and our recurrent layer, run in parallel over time."""

from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from unrecur import _check
from unrecur._check import InputError
from unrecur.cells.from_torch import cells_of
from unrecur.cells.gated import AbstractTorchCell
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State
from unrecur.layers.recurrent import Recurrent
from unrecur.parallelism.engine import Engine, Proof, Report, Weighted
from unrecur.solvers.auto import MOST_REMEMBERED
from unrecur.solvers.solution import Result
from unrecur.solvers.solver import AbstractSolver

TRIED_AGAIN = 256  # calls after which what was refused is tried again


class ParallelRecurrence(nn.Module):
    """A `torch.nn.RNN`, `LSTM` or `GRU` run in parallel over time; see `unrecur.parallel`.

    Args:
        module: The module; its weights are shared.
        engine: What runs it.

    Raises:
        InputError: It is none of these, or an LSTM with `proj_size`.
    """

    def __init__(self, module: nn.RNNBase, engine: Engine) -> None:
        super().__init__()
        cells_of(module)  # raises for what it does not know
        self.module, self._engine = module, engine
        self._cells: tuple[list[Tensor], list[list[AbstractTorchCell]]] = ([], [])
        self._refused: dict[Any, tuple[Report, ...]] = {}
        self._refusals = 0
        self._places: list[int] = []
        self._last: tuple[Report, ...] = ()
        self.train(module.training)
        _share_names(self)

    def __getattr__(self, name: str) -> Any:
        """Give what the module has: its sizes, its weights, `flatten_parameters`."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "module":
                raise
            return getattr(self.module, name)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what can be found again."""
        return {**self.__dict__, "_cells": ([], []), "_refused": {}, "_last": ()}

    @property
    def reports(self) -> tuple[Report, ...]:
        """What the last call did, layer by layer."""
        return self._last

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """Run a block, as the module does.

        Args:
            input: [B, T, D] or [T, B, D] as `batch_first` says, [T, D], or a `PackedSequence`.
            hx: The states before it, as the module takes them; zeros if left out.

        Returns:
            The outputs, and the last states as the module gives them.

        Raises:
            InputError: The input or the states do not fit the module.
        """
        if self.module._forward_pre_hooks:
            raise InputError(
                "the module has hooks that change its weights before each call (as prune and the "
                "old weight_norm add); use torch.nn.utils.parametrizations, or prune.remove."
            )
        packed = input if isinstance(input, PackedSequence) else None
        lengths: Any = None
        if packed is not None:
            x, lengths = pad_packed_sequence(packed, batch_first=True)
        elif not isinstance(input, Tensor) or input.dim() not in {2, 3}:
            got = list(input.shape) if isinstance(input, Tensor) else type(input).__name__
            raise InputError(
                f"expected a tensor of 2 or 3 dimensions or a PackedSequence, got {got}."
            )
        elif input.dim() == 2:
            x = input[None]
        else:
            x = input if self.module.batch_first else input.transpose(0, 1)
        batched = packed is not None or input.dim() != 2
        _check.block(x, self.module.input_size)
        x = self._check_type(x)
        states = self._read_states(hx, len(x), batched)
        key = (x.shape, x.dtype, x.device, packed is None, torch.is_grad_enabled())
        if key in self._refused:
            # No layer gains: nothing is as fast as the module itself. Weights change, though.
            self._last, self._refusals = self._refused[key], self._refusals + 1
            if self._refusals % TRIED_AGAIN == 0:
                self._refused.clear()
                self._engine.solvers.clear()
            return self.module(input, hx)
        between = nn.Dropout(self.module.dropout).train(self.module.training)
        y, last, self._last = self._engine.run(self._layers(), x, states, lengths, between)
        if all(report.result is Result.REFUSED for report in self._last):
            if len(self._refused) >= MOST_REMEMBERED:
                self._refused.clear()
            self._refused[key] = self._last
        h_n = self._write_states(last, batched)
        if packed is not None:
            order = packed.sorted_indices
            rows = torch.arange(len(y)) if order is None else order
            data = pack_padded_sequence(y[rows], lengths[rows.cpu()], batch_first=True).data
            return PackedSequence(data, packed.batch_sizes, order, packed.unsorted_indices), h_n
        if not batched:
            return y[0], h_n
        return y if self.module.batch_first else y.transpose(0, 1), h_n

    def extra_repr(self) -> str:
        """Show the tolerance."""
        return f"tol={self._engine.tol:g}"

    def _layers(self) -> list[list[Weighted]]:
        """Read the cells, with the module's own tensors as their weights."""
        ends = ["", "_reverse"] if self.module.bidirectional else [""]
        named = [
            [
                {name: getattr(self.module, f"{name[:-1]}{layer}{end}") for name in self._names()}
                for end in ends
            ]
            for layer in range(self.module.num_layers)
        ]
        tensors = [tensor for layer in named for one in layer for tensor in one.values()]
        kept, cells = self._cells
        # The cells share the numbers of the tensors that they were read from, and of no others.
        same = len(kept) == len(tensors) and all(
            old is new and isinstance(new, nn.Parameter)
            for old, new in zip(kept, tensors, strict=True)
        )
        places = [tensor.data_ptr() for tensor in tensors]
        if not same or places != self._places:
            cells = cells_of(self.module)
            self._cells, self._places = (tensors, cells), places
        return [list(zip(*pair, strict=True)) for pair in zip(cells, named, strict=True)]

    def _names(self) -> list[str]:
        bias = ["bias_ih_l0", "bias_hh_l0"] if self.module.bias else []
        return ["weight_ih_l0", "weight_hh_l0", *bias]

    def _check_type(self, x: Tensor) -> Tensor:
        """Check the type and place of the input; under autocast it takes the weights' type."""
        weight: Tensor = self.module.weight_hh_l0  # type: ignore[assignment]
        if torch.is_autocast_enabled(x.device.type) and x.is_floating_point():
            x = x.to(weight.dtype)
        if x.dtype != weight.dtype or x.device != weight.device:
            raise InputError(
                f"expected an input of {weight.dtype} on {weight.device}, as the weights are, got "
                f"{x.dtype} on {x.device}; convert it with input.to(...)."
            )
        return x

    def _read_states(self, hx: Any, batch: int, batched: bool) -> list[list[Tensor | None]]:
        """Bring the states into the cells' order, [c, h]."""
        module, directions = self.module, 2 if self.module.bidirectional else 1
        if hx is None:
            return [[None] * directions for _ in range(module.num_layers)]
        is_pair = isinstance(module, nn.LSTM)
        if is_pair != isinstance(hx, (tuple, list)):
            raise InputError(
                "expected hx as the pair (h_0, c_0)." if is_pair else "expected hx as one tensor."
            )
        if is_pair and len(hx) != 2:
            raise InputError(f"expected hx as the pair (h_0, c_0), got {len(hx)} tensors.")
        parts = list(reversed(hx)) if is_pair else [hx]
        shape = [module.num_layers * directions, batch, module.hidden_size]
        for part in parts:
            wanted = shape if batched else [shape[0], shape[2]]
            if list(part.shape) != wanted:
                raise InputError(f"expected states of shape {wanted}, got {list(part.shape)}.")
            if part.dtype != module.weight_hh_l0.dtype:
                raise InputError(
                    f"expected states of {module.weight_hh_l0.dtype}, as the weights are, got "
                    f"{part.dtype}; convert them with .to(...)."
                )
        flat = torch.cat(parts, -1) if batched else torch.cat(parts, -1)[:, None]
        return [list(pair) for pair in flat.unflatten(0, (module.num_layers, directions))]

    def _write_states(self, last: list[list[Tensor]], batched: bool) -> Any:
        """Bring the last states into the module's order."""
        flat = torch.stack([h for layer in last for h in layer])
        flat = flat if batched else flat[:, 0]
        if isinstance(self.module, nn.LSTM):
            c, h = flat.chunk(2, -1)
            return h.contiguous(), c.contiguous()
        return flat


class ParallelRecurrent(AbstractSequenceModel):
    """A `Recurrent` layer run in parallel over time; see `unrecur.parallel`.

    Args:
        layer: The layer; its weights are shared.
        engine: What runs it.
    """

    def __init__(self, layer: Recurrent, engine: Engine) -> None:
        super().__init__()
        self.module, self._engine = layer, engine
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self._last: tuple[Report, ...] = ()
        self.train(layer.training)
        _share_names(self)

    @property
    def reports(self) -> tuple[Report, ...]:
        """What the last call did, layer by layer."""
        return self._last

    @property
    def receptive_field(self) -> Field:
        """The layer's."""
        return self.module.receptive_field

    def init_state(self, batch: int) -> State:
        """Make the layer's zero state."""
        return self.module.init_state(batch)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        _check.block(x, self.in_features)
        cells = self.module.cells
        before = [None] * len(cells) if state is None else list(state)
        if len(before) != len(cells):
            raise InputError(f"expected {len(cells)} states, one a layer, got {len(before)}.")
        layers: list[list[Weighted]] = [[(cell, dict(cell.named_parameters()))] for cell in cells]
        states = [[h] for h in before]
        y, last, self._last = self._engine.run(layers, x, states, lengths, self.module.dropout)
        return y, tuple(h for (h,) in last)

    def step(
        self, x_t: Float[Tensor, "B D"], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step, as the layer does."""
        return self.module.step(x_t, state)


def parallel(
    module: nn.RNNBase | Recurrent,
    tol: float = 1e-5,
    solver: AbstractSolver | None = None,
    *,
    proof: Proof | None = None,
    input_box: Any = None,
    slab: int | None = None,
) -> ParallelRecurrence | ParallelRecurrent:
    """Run a recurrent module in parallel over time: same call, same weights, same answer.

    A block of T steps is cut into pieces that run side by side, each from the state that its last
    inputs before it leave (a recurrence that forgets does not mind). Then every boundary is
    compared, and pieces that do not meet are run again: the output is within `tol` of the
    sequential run. Where no gain is to be had the module runs in sequence. `reports` says what the
    last call did.

    Args:
        module: A `torch.nn.RNN`, `LSTM` or `GRU`, or our `Recurrent` layer. Weights and
            `state_dict` are shared, not the hooks of a call.
        tol: The largest difference from the sequential run allowed in any output.
        solver: How to run each layer; `Auto()`, which measures, if left out.
        proof: "weights": the burn-in is proved to be long enough by the majorant, for all inputs
            in `input_box`; "inputs": for each call the set of all states is carried through the
            actual inputs, at several times the cost. Both in exact arithmetic, for calls that start
            from zero. Where there is no proof the boundaries are compared as ever.
        input_box: The inputs of a proof; see `certify`.
        slab: How many pieces a backward run holds in memory at a time; None for all. Between
            forward and backward only inputs and boundaries are kept.

    Returns:
        The drop-in.

    Raises:
        InputError: The module is of another kind, or an argument is malformed.

    Example:
        >>> import torch, unrecur
        >>> lstm = torch.nn.LSTM(3, 16, batch_first=True)
        >>> fast, x = unrecur.parallel(lstm), torch.randn(1, 5000, 3)
        >>> y, (h, c) = fast(x)
        >>> bool((y - lstm(x)[0]).abs().max() < 1e-5)
        True
    """
    engine = Engine(tol, solver, proof, input_box, slab)
    if isinstance(module, Recurrent):
        return ParallelRecurrent(module, engine)
    if isinstance(module, nn.RNNBase):
        return ParallelRecurrence(module, engine)
    raise InputError(
        f"expected a torch.nn.RNN, LSTM, GRU or a Recurrent layer, got {type(module).__name__}; "
        "hand in the recurrent part of the model and put the result in its place."
    )


def _share_names(wrapper: nn.Module) -> None:
    """Save and load under the names of the wrapped module."""
    wrapper.register_state_dict_post_hook(_shorten)
    wrapper.register_load_state_dict_pre_hook(_lengthen)


def _shorten(_: nn.Module, state_dict: dict[str, Any], prefix: str, __: Any) -> None:
    for key in [key for key in state_dict if key.startswith(f"{prefix}module.")]:
        state_dict[prefix + key.removeprefix(f"{prefix}module.")] = state_dict.pop(key)


def _lengthen(_: nn.Module, state_dict: dict[str, Any], prefix: str, *__: Any) -> None:
    for key in [key for key in state_dict if key.startswith(prefix)]:
        state_dict[f"{prefix}module.{key.removeprefix(prefix)}"] = state_dict.pop(key)
