"""Beam search: the best of many sequences, kept side by side."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Integer
from torch import Tensor
from torch.nn import functional

from unrecur import _check
from unrecur.core.model import AbstractConditionalModel, AbstractSequenceModel
from unrecur.core.state import State, map_state
from unrecur.models.decoding import Decoded, begin, exact


@torch.no_grad()
def beam_search(
    model: AbstractSequenceModel,
    state: State | None = None,
    *,
    start: int | Integer[Tensor, "B P"],
    end: int | None = None,
    max_length: int,
    lengths: Integer[Tensor, " B"] | None = None,
    beam: int = 4,
    n_best: int = 1,
    length_penalty: float = 0.0,
    coverage_penalty: float = 0.0,
) -> Decoded:
    """Search for the sequences of the highest score, a beam of them at a time.

    score(y) = log P(y) / ((5 + n) / 6)^alpha + beta sum_i log min(coverage_i, 1), n the number of
    tokens, the end token included (Wu et al. 2016, arXiv 1609.08144, section 7). The beam itself
    goes by log P. Of the `beam` best continuations of a step, those that end are kept aside; a row
    is done when nothing in its beam can come to a better score than its `n_best` finished ones. A
    sequence of `max_length` tokens counts as finished.

    A beam that holds more than there are sequences is an exhaustive search. A beam of one without
    penalties is `greedy`.

    Args:
        model: Any model from token ids to scores of tokens, in evaluation mode.
        state: The state to begin with; see `greedy`.
        start: The token that begins every row, or the tokens each row begins with.
        end: The token that ends a row; None for none.
        max_length: How many tokens a row has at the most.
        lengths: How many tokens of each row of `start` are valid; None when all are.
        beam: How many sequences are kept at each step.
        n_best: How many are given back, `beam` at the most.
        length_penalty: The exponent alpha, at least 0; the larger, the longer the sequences.
        coverage_penalty: The weight beta, at least 0, for models that keep a coverage.

    Returns:
        The `n_best` sequences of each row, best first. Where there are fewer, the others have
        length 0 and score -inf.

    Raises:
        InputError: The model reads no tokens or keeps no coverage for its penalty, or a number is
            out of range.

    Example:
        >>> import torch, unrecur
        >>> model = unrecur.build("seq2seq", in_features=9, out_features=7, hidden=8).eval()
        >>> state = model.encode(torch.tensor([[3, 1, 4, 1], [5, 8, 2, 6]]))
        >>> found = unrecur.beam_search(model, state, start=0, end=1, max_length=5, n_best=3)
        >>> found.lengths.shape, bool((found.scores[:, 0] >= found.scores[:, 1]).all())
        (torch.Size([2, 3]), True)
    """
    _check.positive_integer(beam, "beam")
    _check.positive_integer(n_best, "n_best")
    if n_best > beam:
        raise _check.InputError(f"a beam of {beam} cannot give the {n_best} best; widen the beam.")
    y, state = begin(model, state, start, end, max_length, lengths)
    score = _Score(model, state, length_penalty, coverage_penalty)
    live = _Texts.empty(y, beam)
    finished = _Finished.none(y, n_best, max_length)
    each = torch.arange(len(y), device=y.device)[:, None].expand(-1, beam)
    y, state = y[each.flatten()], _rows(state, each.flatten())
    while True:
        grown = live.grown(y)
        n = grown.tokens.shape[2]
        ends = grown.tokens[..., -1] == (-1 if end is None else end)
        # Only the first `beam` may end: what ranks below them would not have been kept either.
        head = grown.take(slice(beam))
        ending = (ends | (n == max_length))[:, :beam]
        finished = finished.with_more(head, score(head, state).masked_fill(~ending, -torch.inf))
        live = grown.best(beam, ~ends)
        done = finished.scores[:, -1:] >= score.bound(live.log_p[:, :1], max_length)
        if n == max_length or done.all():
            return finished.decoded(n)
        # A row that is done stays as it is, even if an equal one came while other rows go on.
        live = replace(live, log_p=live.log_p.masked_fill(done, -torch.inf))
        state = _rows(state, (each * beam + live.parent).flatten())
        y, state = model.step(live.tokens[..., -1].flatten(), state)
        y = exact(y)


def _rows(state: State, rows: Tensor) -> State:
    """Take some rows of a state, some of them several times."""
    return map_state(lambda leaf: leaf[rows], state)


@dataclass(frozen=True)
class _Texts:
    """Sequences of one length, side by side for each row, likeliest first."""

    log_p: Tensor
    """Their log-probabilities; -inf where there is none."""
    tokens: Tensor
    parent: Tensor
    """Which place of the beam each grew out of."""

    @staticmethod
    def empty(y: Tensor, beam: int) -> "_Texts":
        """Begin with one empty sequence for each row."""
        log_p = y.new_full((len(y), beam), -torch.inf)
        log_p[:, 0] = 0
        parent = torch.zeros_like(log_p, dtype=torch.long)
        return _Texts(log_p, parent[..., None][..., :0], parent)

    def grown(self, y: Tensor) -> "_Texts":
        """Find the likeliest continuations by one token: twice as many, so that enough go on."""
        rows, beam = self.log_p.shape
        sums = (self.log_p[..., None] + y.log_softmax(-1).view(rows, beam, -1)).flatten(1)
        log_p, index = sums.topk(min(2 * beam, sums.shape[1]))
        parent, token = index // y.shape[1], index % y.shape[1]
        tokens = torch.cat([_pick(self.tokens, parent), token[..., None]], -1)
        return _Texts(log_p, tokens, parent)

    def take(self, places: slice) -> "_Texts":
        """Take some places of each row."""
        return _Texts(self.log_p[:, places], self.tokens[:, places], self.parent[:, places])

    def best(self, beam: int, allowed: Tensor) -> "_Texts":
        """Take the likeliest of those that are allowed."""
        log_p, index = self.log_p.masked_fill(~allowed, -torch.inf).topk(beam)
        return _Texts(log_p, _pick(self.tokens, index), self.parent.gather(1, index))


@dataclass(frozen=True)
class _Score:
    """The score of a sequence: its log-probability with the two penalties."""

    model: AbstractSequenceModel
    start: State
    length_penalty: float
    coverage_penalty: float

    def __post_init__(self) -> None:
        for name in ("length_penalty", "coverage_penalty"):
            if not 0 <= getattr(self, name) < math.inf:
                raise _check.InputError(
                    f"{name} must be a finite number of at least 0, got {getattr(self, name)}."
                )
        if self.coverage_penalty and self.coverage(self.start) is None:
            raise _check.InputError(
                f"{type(self.model).__name__} keeps no coverage; leave coverage_penalty at 0."
            )

    def __call__(self, texts: _Texts, state: State) -> Tensor:
        """Score sequences; the state is that of their parents, which gave their last token."""
        score = texts.log_p / self.divisor(texts.tokens.shape[2])
        coverage = self.coverage(state) if self.coverage_penalty else None
        if coverage is None:
            return score
        # An attention weight may round to 0, whose logarithm would leave nothing to compare.
        least = torch.finfo(coverage.dtype).tiny
        read = coverage.clamp(least, 1).log().sum(-1).view(len(score), -1)
        return score + self.coverage_penalty * read.gather(1, texts.parent)

    def bound(self, log_p: Tensor, max_length: int) -> Tensor:
        """Bound the score of all that can grow out of a sequence of that log-probability."""
        return log_p / self.divisor(max_length)

    def divisor(self, n: int) -> float:
        """Give ((5 + n) / 6)^alpha."""
        return ((5 + n) / 6) ** self.length_penalty

    def coverage(self, state: State) -> Tensor | None:
        """Give the coverage of each row of the beam, where the model keeps one."""
        model = self.model
        return model.coverage(state) if isinstance(model, AbstractConditionalModel) else None


@dataclass(frozen=True)
class _Finished:
    """The best finished sequences of each row so far, best first."""

    scores: Tensor
    tokens: Tensor
    lengths: Tensor

    @staticmethod
    def none(y: Tensor, n_best: int, max_length: int) -> "_Finished":
        """Begin with none: scores of -inf."""
        scores = y.new_full((len(y), n_best), -torch.inf)
        lengths = torch.zeros_like(scores, dtype=torch.long)
        return _Finished(scores, lengths[..., None].expand(-1, -1, max_length), lengths)

    def with_more(self, texts: _Texts, scores: Tensor) -> "_Finished":
        """Take in more sequences; those of score -inf do not count."""
        n, max_length = texts.tokens.shape[2], self.tokens.shape[2]
        lengths = torch.full_like(texts.parent, n).masked_fill(scores == -torch.inf, 0)
        padded = functional.pad(texts.tokens, (0, max_length - n))
        best, index = torch.cat([self.scores, scores], 1).topk(self.scores.shape[1])
        return _Finished(
            best,
            _pick(torch.cat([self.tokens, padded], 1), index),
            torch.cat([self.lengths, lengths], 1).gather(1, index),
        )

    def decoded(self, n: int) -> Decoded:
        """Hand them out, cut to the n tokens that were tried."""
        return Decoded(self.tokens[..., :n], self.lengths, self.scores)


def _pick(tokens: Tensor, index: Tensor) -> Tensor:
    """Take some of the sequences of each row."""
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[2]))
