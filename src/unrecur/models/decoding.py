"""Decoding: token after token from any model of tokens, the likeliest or a drawn one."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from unrecur import _check
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, leaves


@dataclass(frozen=True)
class Decoded:
    """Token sequences that a model gave.

    Attributes:
        tokens: The tokens after the start, [batch, length], or [batch, hypotheses, length] from a
            beam, best first; what stands behind a sequence's own length means nothing.
        lengths: How many tokens each has, the end token included.
        scores: The sum of the log-probabilities of its tokens; from a beam, with the penalties.
    """

    tokens: Integer[Tensor, "B *N L"]
    lengths: Integer[Tensor, "B *N"]
    scores: Float[Tensor, "B *N"]


def greedy(
    model: AbstractSequenceModel,
    state: State | None = None,
    *,
    start: int | Integer[Tensor, "B P"],
    end: int | None = None,
    max_length: int,
    lengths: Integer[Tensor, " B"] | None = None,
) -> Decoded:
    """Take the likeliest token at each step.

    Args:
        model: Any model from token ids to scores of tokens, in evaluation mode.
        state: The state to begin with, `model.encode(source)` of an encoder-decoder; None for the
            state before the first input.
        start: The token that begins every row, or the tokens each row begins with.
        end: The token that ends a row; None for none.
        max_length: How many tokens a row has at the most.
        lengths: How many tokens of each row of `start` are valid; None when all are.

    Returns:
        One sequence a row.

    Raises:
        InputError: The model reads no tokens, or a token or the length is out of range.

    Example:
        >>> import torch, unrecur
        >>> options = {"in_features": 5, "out_features": 5, "hidden": 4, "tokens": True}
        >>> model = unrecur.build("gru", **options).eval()
        >>> prefix = torch.tensor([[1, 2, 3], [4, 0, 1]])
        >>> unrecur.greedy(model, start=prefix, max_length=7).tokens.shape
        torch.Size([2, 7])
    """
    return _decode(model, state, start, end, max_length, lengths, lambda scores: scores.argmax(-1))


def sample(
    model: AbstractSequenceModel,
    state: State | None = None,
    *,
    start: int | Integer[Tensor, "B P"],
    end: int | None = None,
    max_length: int,
    lengths: Integer[Tensor, " B"] | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
) -> Decoded:
    """Draw a token at each step.

    First the scores are divided by the temperature, then all but the `top_k` likeliest are left
    out, then all but the fewest likeliest whose probabilities make up `top_p` (nucleus sampling,
    Holtzman et al. 2020, arXiv 1904.09751).

    Args:
        model: Any model from token ids to scores of tokens, in evaluation mode.
        state: The state to begin with; see `greedy`.
        start: The token that begins every row, or the tokens each row begins with.
        end: The token that ends a row; None for none.
        max_length: How many tokens a row has at the most.
        lengths: How many tokens of each row of `start` are valid; None when all are.
        temperature: Above 0; below 1 the likely tokens become likelier.
        top_k: How many tokens are left at the most; None for all.
        top_p: The probability that is left at the least, above 0 and at most 1.
        generator: Where the randomness comes from; torch's own where left out.

    Returns:
        One sequence a row; its score is that of the model itself, without these changes.

    Raises:
        InputError: The model reads no tokens, or a number is out of range.
    """
    _check.positive(temperature, "temperature")
    if top_k is not None:
        _check.positive_integer(top_k, "top_k")
    if not 0 < top_p <= 1:
        raise _check.InputError(f"top_p must be above 0 and at most 1, got {top_p}.")

    def draw(scores: Tensor) -> Tensor:
        kept = _nucleus(_likeliest(scores / temperature, top_k), top_p)
        return torch.multinomial(kept.softmax(-1), 1, generator=generator)[:, 0]

    return _decode(model, state, start, end, max_length, lengths, draw)


def begin(
    model: AbstractSequenceModel,
    state: State | None,
    start: int | Tensor,
    end: int | None,
    max_length: int,
    lengths: Tensor | None,
) -> tuple[Float[Tensor, "B V"], State]:
    """Check what a decoder is given, and read the start.

    Args:
        model: The model.
        state: The state to begin with.
        start: The token that begins every row, or the tokens each row begins with.
        end: The token that ends a row; None for none.
        max_length: How many tokens a row has at the most.
        lengths: How many tokens of each row of `start` are valid; None when all are.

    Returns:
        The scores of the first token, and the state after the start.

    Raises:
        InputError: The model reads no tokens, or a token or the length is out of range.
    """
    _check.positive_integer(max_length, "max_length")
    if not model.takes_tokens:
        raise _check.InputError(
            f"{type(model).__name__} reads features, and decoding feeds token ids. Build it with "
            "tokens=True."
        )
    if end is not None and not 0 <= end < model.out_features:
        raise _check.InputError(
            f"expected an end token from 0 to {model.out_features - 1}, got {end}."
        )
    if isinstance(start, int):
        rows = 1 if state is None else len(leaves(state)[0])
        start = torch.full((rows, 1), start, device=next(model.parameters()).device)
    y, state = model(start, state, lengths)
    if lengths is None:
        return exact(y[:, -1]), state
    last = y[torch.arange(len(y), device=y.device), lengths.to(y.device) - 1]
    return exact(last), state


def exact(y: Float[Tensor, "B V"]) -> Float[Tensor, "B V"]:
    """Take scores in half precision to single: sums over a sequence need the digits.

    Args:
        y: Scores.

    Returns:
        The scores, in float32 at least.
    """
    return y.to(torch.promote_types(y.dtype, torch.float32))


@torch.no_grad()
def _decode(
    model: AbstractSequenceModel,
    state: State | None,
    start: int | Tensor,
    end: int | None,
    max_length: int,
    lengths: Tensor | None,
    choose: Callable[[Tensor], Tensor],
) -> Decoded:
    """Choose a token, feed it, and so on until all rows have ended."""
    y, state = begin(model, state, start, end, max_length, lengths)
    ended = torch.zeros(len(y), dtype=torch.bool, device=y.device)
    counts, scores = torch.zeros_like(ended, dtype=torch.long), y.new_zeros(len(y))
    tokens: list[Tensor] = []
    while True:
        token = choose(y)
        if end is not None:
            token = token.masked_fill(ended, end)
        tokens.append(token)
        counts = counts + ~ended
        gained = y.log_softmax(-1).gather(1, token[:, None])[:, 0]
        scores = scores + gained.masked_fill(ended, 0)
        ended = ended | (token == end) if end is not None else ended
        if ended.all() or len(tokens) == max_length:
            return Decoded(torch.stack(tokens, 1), counts, scores)
        y, state = model.step(token, state)
        y = exact(y)


def _likeliest(scores: Tensor, top_k: int | None) -> Tensor:
    """Leave out all but the k largest scores."""
    if top_k is None or top_k >= scores.shape[-1]:
        return scores
    values, places = scores.topk(top_k)
    return torch.full_like(scores, -torch.inf).scatter(1, places, values)


def _nucleus(scores: Tensor, top_p: float) -> Tensor:
    """Leave out all but the fewest largest scores whose probabilities make up p."""
    if top_p == 1:
        return scores
    ordered, order = scores.sort(descending=True)
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    left_out = torch.zeros_like(before, dtype=torch.bool).scatter(1, order, before >= top_p)
    return scores.masked_fill(left_out, -torch.inf)
