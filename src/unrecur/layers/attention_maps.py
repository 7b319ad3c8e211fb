"""Attention maps: which steps each step looked at, without keeping anything on the modules."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn

from unrecur import _check
from unrecur._check import InputError
from unrecur.core.model import AbstractConditionalModel, AbstractSequenceModel
from unrecur.core.state import State

_Written = list[tuple[nn.Module, str, Tensor]]

_written: ContextVar[_Written | None] = ContextVar("attention_maps", default=None)


def recording() -> bool:
    """Say whether somebody asks for the weights.

    Returns:
        True inside of `attention_maps`: a layer then computes its weights in the open, where it
        would otherwise leave them inside of a fused kernel.
    """
    return _written.get() is not None


def record(module: nn.Module, weights: Float[Tensor, "B H T N"], part: str = "") -> None:
    """Hand in the weights of one attention; does nothing when nobody asks for them.

    Args:
        module: The layer that computed them.
        weights: What each of T steps gives to each of N keys, for each of H heads; the rows sum
            to one. A layer that runs step by step hands in one step at a time.
        part: Which of a layer's attentions this is, where it has several.
    """
    if _check.graph_is_captured():
        return  # a graph has no place to write to
    written = _written.get()
    if written is not None:
        written.append((module, part, weights))


def attention_maps(
    model: AbstractSequenceModel,
    x: Shaped[Tensor, "B T ..."],
    state: State | None = None,
    lengths: Integer[Tensor, " B"] | None = None,
    source: Shaped[Tensor, "N ..."] | None = None,
    source_lengths: Integer[Tensor, " N"] | None = None,
) -> dict[str, Float[Tensor, "_ _ _ _"]]:
    """Run a model over a block and give the weights of every attention in it.

    The keys of a causal self-attention are the steps kept in the state (when one is given), in
    time order, and then those of the block. In training mode the weights are those before dropout.

    Args:
        model: Any model; one without attention gives an empty table.
        x: A block of inputs, as the model takes it.
        state: The state before it; None for the state before the first input.
        lengths: How many steps of each row are valid; None when all are.
        source: What a conditional model is to encode first, in place of a state; the attentions of
            its encoder are listed too.
        source_lengths: How many steps of each row of the source are valid; None when all are.

    Returns:
        For each attention, by the name of its module in the model, the weights
        [batch, heads, time, keys]; each row sums to one.

    Raises:
        InputError: There is a source and a state too, or a model that encodes none.

    Example:
        >>> import torch, unrecur
        >>> from unrecur.layers.attention import CausalAttention
        >>> layer = CausalAttention(8, heads=2, window=5)
        >>> maps = unrecur.attention_maps(layer, torch.randn(3, 10, 8))
        >>> {name: weights.shape for name, weights in maps.items()}
        {'': torch.Size([3, 2, 10, 10])}
    """
    with _asked() as written:
        if source is not None:
            state = _encoder(model, state).encode(source, source_lengths)
        model(x, state, lengths)
    names = {module: name for name, module in model.named_modules()}
    pieces: dict[str, list[Tensor]] = {}
    for module, part, weights in written:
        name = ".".join(filter(None, (names[module], part)))
        pieces.setdefault(name, []).append(weights)
    return {name: torch.cat(weights, 2) for name, weights in pieces.items()}


def _encoder(model: AbstractSequenceModel, state: State | None) -> AbstractConditionalModel:
    """Give a model that makes its state of a source."""
    if not isinstance(model, AbstractConditionalModel):
        raise InputError(f"{type(model).__name__} encodes no source. Leave the source out.")
    if state is not None:
        raise InputError("the state comes from the source. Give the one or the other.")
    return model


@contextmanager
def _asked() -> Iterator[_Written]:
    """Collect what is recorded in this context, and nowhere else."""
    written: _Written = []
    token = _written.set(written)
    try:
        yield written
    finally:
        _written.reset(token)
