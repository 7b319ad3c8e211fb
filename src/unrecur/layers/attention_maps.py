"""Attention maps: which steps each step looked at, without keeping anything on the modules."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn

from unrecur.core.model import AbstractSequenceModel
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
    written = _written.get()
    if written is not None:
        written.append((module, part, weights))


def attention_maps(
    model: AbstractSequenceModel,
    x: Shaped[Tensor, "B T ..."],
    state: State | None = None,
    lengths: Integer[Tensor, " B"] | None = None,
) -> dict[str, Float[Tensor, "B _ _ _"]]:
    """Run a model over a block and give the weights of every attention in it.

    The keys of a causal self-attention are the steps kept in the state (when one is given), in
    time order, and then those of the block. In training mode the weights are those before dropout.

    Args:
        model: Any model; one without attention gives an empty table.
        x: A block of inputs, as the model takes it.
        state: The state before it; None for the state before the first input.
        lengths: How many steps of each row are valid; None when all are.

    Returns:
        For each attention, by the name of its module in the model, the weights
        [batch, heads, time, keys]; each row sums to one.

    Example:
        >>> import torch, unrecur
        >>> from unrecur.layers.attention import CausalAttention
        >>> layer = CausalAttention(8, heads=2, window=5)
        >>> maps = unrecur.attention_maps(layer, torch.randn(3, 10, 8))
        >>> {name: weights.shape for name, weights in maps.items()}
        {'': torch.Size([3, 2, 10, 10])}
    """
    with _asked() as written:
        model(x, state, lengths)
    names = {module: name for name, module in model.named_modules()}
    pieces: dict[str, list[Tensor]] = {}
    for module, part, weights in written:
        name = ".".join(filter(None, (names[module], part)))
        pieces.setdefault(name, []).append(weights)
    return {name: torch.cat(weights, 2) for name, weights in pieces.items()}


@contextmanager
def _asked() -> Iterator[_Written]:
    """Collect what is recorded in this context, and nowhere else."""
    written: _Written = []
    token = _written.set(written)
    try:
        yield written
    finally:
        _written.reset(token)
