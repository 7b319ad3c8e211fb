"""From the scores of starts and ends to answers, of one passage or by vote of several."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional

from unrecur import _check
from unrecur.core.state import valid_steps


class Answers(NamedTuple):
    """The best span of each passage.

    Attributes:
        start: Its first token.
        end: Its last token.
        probability: p_start p_end.
    """

    start: Integer[Tensor, " B"]
    end: Integer[Tensor, " B"]
    probability: Float[Tensor, " B"]


def answers(
    scores: Float[Tensor, "B T 2"],
    lengths: Integer[Tensor, " B"] | None = None,
    max_length: int = 12,
) -> Answers:
    """Find the span of tokens with the largest p_start p_end in each passage.

    Args:
        scores: The scores of each token as start and as end; their sigmoids are the probabilities.
        lengths: How many tokens of each row are valid; None when all are.
        max_length: How many tokens a span may have.

    Returns:
        The spans; the first one where several are best.

    Raises:
        InputError: There are not two scores to a token, or max_length is below 1.

    Example:
        >>> scores = torch.full((1, 5, 2), -4.0)
        >>> scores[0, 1, 0] = scores[0, 3, 1] = 4.0
        >>> [int(value) for value in answers(scores)[:2]]
        [1, 3]
    """
    products = _log_products(scores, lengths, max_length)
    best, place = products.flatten(1).max(1)
    start = place // products.shape[2]
    return Answers(start, start + place % products.shape[2], best.exp())


def vote(
    scores: Float[Tensor, "P T 2"],
    passages: Integer[Tensor, "P T"],
    lengths: Integer[Tensor, " P"] | None = None,
    max_length: int = 12,
    threshold: float = 0.1,
) -> dict[tuple[int, ...], float]:
    """Collect the answers that several passages give to one question, and weigh them together.

    Every span with p_start and p_end above the threshold is a candidate. The same tokens are the
    same answer: within a passage its largest p = p_start p_end counts, and over the passages
    sum p^2 / (1 + sum p): nearly the mean of the p, weighted by themselves, where many agree,
    and at most a half for an answer of one passage alone
    (Su 2019, github.com/bojone/dgcnn_for_reading_comprehension).

    Args:
        scores: The scores of each passage's tokens, for one question.
        passages: The token ids.
        lengths: How many tokens of each passage are valid; None when all are.
        max_length: How many tokens an answer may have.
        threshold: What p_start and p_end must be above.

    Returns:
        The weight of each answer (its token ids), the best first; empty when there is none.

    Raises:
        InputError: There are not two scores to each token of the passages, max_length is below 1,
            or the threshold is no probability below 1.

    Example:
        >>> scores = torch.full((2, 3, 2), -9.0)
        >>> scores[:, 1] = 9.0  # both passages point at their second token
        >>> list(vote(scores, torch.tensor([[4, 7, 5], [2, 7, 1]])))
        [(7,)]
    """
    _check.fraction(threshold, "threshold")
    likely = torch.where(torch.sigmoid(scores) > threshold, scores, -torch.inf)
    products = _log_products(likely, lengths, max_length).exp()
    if passages.shape != scores.shape[:2]:
        raise _check.InputError(
            f"expected passages of the {list(scores.shape[:2])} tokens that have scores, got "
            f"{list(passages.shape)}."
        )
    found: dict[tuple[int, ...], dict[int, float]] = {}
    for passage, start, more in products.nonzero().tolist():
        answer = tuple(passages[passage, start : start + more + 1].tolist())
        of_passages = found.setdefault(answer, {})
        p = float(products[passage, start, more])
        of_passages[passage] = max(p, of_passages.get(passage, 0.0))
    weights = {answer: _weight(list(each.values())) for answer, each in found.items()}
    return dict(sorted(weights.items(), key=lambda item: -item[1]))


def _weight(probabilities: list[float]) -> float:
    """Weigh an answer by its probability in each passage that gives it."""
    return sum(p * p for p in probabilities) / (1 + sum(probabilities))


def _log_products(scores: Tensor, lengths: Tensor | None, max_length: int) -> Tensor:
    """Weigh the spans that begin at each token.

    Args:
        scores: The scores of each token as start and as end.
        lengths: How many tokens of each row are valid.
        max_length: How many tokens a span may have.

    Returns:
        log(p_start p_end), [batch, time, tokens more than one]; -inf beyond the passage.

    Raises:
        InputError: There are not two scores to a token, or max_length is below 1.
    """
    _check.positive_integer(max_length, "max_length")
    if scores.dim() != 3 or scores.shape[2] != 2:
        raise _check.InputError(
            f"expected the scores of starts and ends, [batch, time, 2], got {list(scores.shape)}."
        )
    batch, time, _ = scores.shape
    if lengths is not None:
        _check.lengths(lengths, batch, time)
        valid = valid_steps(lengths.to(scores.device), time)[..., None]
        scores = torch.where(valid, scores, -torch.inf)
    start, end = functional.logsigmoid(scores).unbind(2)
    ends = functional.pad(end, (0, min(max_length, time) - 1), value=-torch.inf)
    return start[..., None] + ends.unfold(1, min(max_length, time), 1)
