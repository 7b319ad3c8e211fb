"""The forms of a model as functions of named tensors: what an exporter traces."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from unrecur._check import InputError
from unrecur.core.model import AbstractConditionalModel, AbstractSequenceModel
from unrecur.core.state import State, leaves

Form = Literal["block", "step", "window", "encode"]
BATCH, TIME, SOURCE = "batch", "time", "source"
# Sizes to trace with; no 0 and no 1, which torch would take for constants.
_ROWS, _STEPS, _SOURCE_STEPS = 3, 7, 5


@dataclass(frozen=True)
class Port:
    """An input or output of a file.

    Attributes:
        name: Its name: "x", "y", and "state.0.1" and "next_state.0.1" for a leaf of the state.
        shape: Its sizes; a name where a size is free.
        dtype: The type of its numbers, as torch calls it.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str


class Traced(nn.Module):
    """One form of a model on flat tensors: (x, *state) -> (y, *next_state).

    Args:
        model: The model.
        form: "block" or "step" to map a block or a step; "window" to map the last inputs, from the
            state before the first one, to the last output; "encode" to map a source to the state
            to begin with.
    """

    def __init__(self, model: AbstractSequenceModel, form: Form) -> None:
        super().__init__()
        self.model, self.form = model, form
        _, self.tree = _pytree.tree_flatten(first_state(model, 1))

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Run the form.

        Args:
            x: The inputs, or the source.
            state: The leaves of the state; none for a window and for a source.

        Returns:
            The outputs and the leaves of the next state.
        """
        if self.form == "window":
            return (self._last(x),)
        if self.form == "encode":
            return tuple(leaf.clone() for leaf in leaves(encoder(self.model).encode(x)))
        run = self.model.step if self.form == "step" else self.model
        y, after = run(x, _pytree.tree_unflatten(list(state), self.tree))
        # A tensor that is an input, or stands twice, would be one value with two names.
        return (y, *(leaf.clone() for leaf in leaves(after)))

    def _last(self, x: Tensor) -> Tensor:
        """Give the output at the end of a window."""
        state = self.model.init_state(x.shape[0])
        if math.isfinite(self.model.receptive_field.past):
            return self.model(x, state)[0][:, -1]
        # Step by step, as the block form of a recurrence is a loop.
        y = x
        for x_t in x.unbind(1):
            y, state = self.model.step(x_t, state)
        return y


def encoder(model: AbstractSequenceModel) -> AbstractConditionalModel:
    """Give a model that starts from a source as such.

    Args:
        model: The model.

    Returns:
        The same.

    Raises:
        InputError: It starts from nothing.
    """
    if not isinstance(model, AbstractConditionalModel):
        raise InputError(
            f"{type(model).__name__} starts from no source, and has nothing to encode. The forms "
            "of such a model are block, step and window."
        )
    return model


def first_state(
    model: AbstractSequenceModel, batch: int, steps: int = _SOURCE_STEPS, seed: int = 0
) -> State:
    """Make a state to begin with; of a model that starts from a source, that of a random one.

    Args:
        model: The model.
        batch: The number of rows.
        steps: The length of the source.
        seed: Of the source.

    Returns:
        The state.
    """
    if not isinstance(model, AbstractConditionalModel):
        return model.init_state(batch)
    with torch.no_grad():
        return model.encode(random_source(model, (batch, steps), seed))


def random_source(model: AbstractConditionalModel, shape: tuple[int, int], seed: int = 0) -> Tensor:
    """Draw a source of token ids, which is what all models of the zoo start from.

    Args:
        model: The model.
        shape: The rows and the steps.
        seed: Where from.

    Returns:
        The ids.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(model.source_features, shape, generator=generator)


def state_names(state: State) -> list[str]:
    """Name the leaves of a state by their places in the tree.

    Args:
        state: Any state.

    Returns:
        "0.1" for the second leaf of the first part, and so on; "" for a state that is one tensor.

    Example:
        >>> state_names((torch.zeros(1), (torch.zeros(1), torch.zeros(1))))
        ['0', '1.0', '1.1']
    """
    paths, _ = _pytree.tree_flatten_with_path(state)
    return [".".join(str(_key(part)) for part in path) for path, _ in paths]


def _key(part: Any) -> Any:
    """Give the index or key of a step in a tree."""
    return part.idx if isinstance(part, _pytree.SequenceKey) else part.key


def ports(model: AbstractSequenceModel, form: Form, k: int | None) -> tuple[list[Port], list[Port]]:
    """List the inputs and outputs of a form.

    Args:
        model: The model.
        form: The form.
        k: The length of a window.

    Returns:
        The inputs and the outputs, in the order of `Traced`.
    """
    if form == "encode":
        source = Port(SOURCE, (BATCH, SOURCE), "int64")
        held = _state_ports(model)
        return [source], [Port(f"state{end}", shape, dtype) for end, shape, dtype in held]
    times: dict[Form, tuple[int | str, ...]] = {"block": (TIME,), "step": (), "window": (k or 0,)}
    kind = "int64" if model.takes_tokens else _name(dtype_of(model))
    features = () if model.takes_tokens else (model.in_features,)
    inputs = [Port("x", (BATCH, *times[form], *features), kind)]
    # A model that strides or upsamples has another number of outputs.
    several = TIME if model.output_ratio == 1 else "outputs"
    steps: tuple[str, ...] = (several,) if form == "block" else ()
    outputs = [Port("y", (BATCH, *steps, model.out_features), _name(dtype_of(model)))]
    if form != "window":
        for end, shape, dtype in _state_ports(model):
            inputs.append(Port(f"state{end}", shape, dtype))
            outputs.append(Port(f"next_state{end}", shape, dtype))
    return inputs, outputs


def _state_ports(model: AbstractSequenceModel) -> list[tuple[str, tuple[int | str, ...], str]]:
    """Give for each leaf of a state the end of its name, its shape and its type."""
    one, other = (first_state(model, 1, _SOURCE_STEPS + more) for more in (0, 1))
    found = []
    for place, leaf, longer in zip(state_names(one), leaves(one), leaves(other), strict=True):
        # What has another size for another source is as long as the source.
        sizes = zip(leaf.shape[1:], longer.shape[1:], strict=True)
        shape = (BATCH, *(size if size == more else SOURCE for size, more in sizes))
        found.append((f".{place}" if place else "", shape, _name(leaf.dtype)))
    return found


def dtype_of(model: nn.Module) -> torch.dtype:
    """Give the type of a model's weights, and torch's default where it has none."""
    floats = (value for value in model.state_dict().values() if value.is_floating_point())
    return next(floats, torch.empty(0)).dtype


def _name(dtype: torch.dtype) -> str:
    """Name a type as numpy does."""
    return str(dtype).removeprefix("torch.")


def example(model: AbstractSequenceModel, form: Form, k: int | None) -> tuple[Tensor, ...]:
    """Make inputs to trace a form with.

    Args:
        model: The model.
        form: The form.
        k: The length of a window.

    Returns:
        The inputs, in the order of `Traced`.
    """
    if form == "encode":
        return (random_source(encoder(model), (_ROWS, _SOURCE_STEPS)),)
    time = {"block": (_STEPS,), "step": (), "window": (k or 0,)}[form]
    x = random_inputs(model, (_ROWS, *time), torch.Generator().manual_seed(0))
    state = () if form == "window" else leaves(first_state(model, _ROWS))
    return (x, *state)


def random_inputs(
    model: AbstractSequenceModel, shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    """Draw inputs: standard normal numbers, or token ids.

    Args:
        model: The model.
        shape: Their shape, without the features.
        generator: Where from.

    Returns:
        The inputs, on the processor.
    """
    if model.takes_tokens:
        return torch.randint(model.in_features, shape, generator=generator)
    return torch.randn(*shape, model.in_features, generator=generator, dtype=dtype_of(model))


def check_form(model: AbstractSequenceModel, form: Form) -> None:
    """Refuse a form that a model cannot have for what it starts from.

    Args:
        model: The model.
        form: The form.

    Raises:
        InputError: It is to encode and starts from nothing, or is to be a window and starts from a
            source.
    """
    if form == "encode":
        encoder(model)
    elif form == "window" and isinstance(model, AbstractConditionalModel):
        raise InputError(
            f"{type(model).__name__} starts from a source, and a window of inputs does not hold "
            "that. Export it twice, with form='encode' and form='step' or 'block'."
        )
