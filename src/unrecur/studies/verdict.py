"""The verdict: does the task need recurrence, as far as the trials can tell?

Each feed-forward candidate is compared with the best recurrent model by the relative difference of
their test metrics, with a bootstrap interval over test sequences and seeds. Up to a margin, a
difference is none in practice.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from unrecur.studies.power import power_sentence, seeds_to_decide
from unrecur.studies.spread import Losses, spread_of

TINY = 1e-12  # of a loss
FARTHEST = 200.0  # of a logarithm, so that every number stays finite
FEWEST_SEEDS, FEWEST_SEQUENCES = 2, 5


@dataclass(frozen=True)
class Comparison:
    """A feed-forward model against a recurrent one.

    Attributes:
        feed_forward: The name of the one.
        recurrent: The name of the other.
        relative_difference: metric of the one / metric of the other - 1; below 0 the feed-forward
            model is better.
        low: The lower end of its interval.
        high: The upper end.
        feed_forward_metric: The mean over seeds of the one's test metric.
        recurrent_metric: That of the other's.
    """

    feed_forward: str
    recurrent: str
    relative_difference: float
    low: float
    high: float
    feed_forward_metric: float
    recurrent_metric: float


@dataclass(frozen=True)
class Verdict:
    """An answer and what it rests on.

    Attributes:
        answer: The answer.
        headline: What the answer rests on, in a sentence.
        reasons: What else bears on it.
        margin: Differences up to this are none in practice.
        confidence: Of all intervals together.
        comparisons: One for each feed-forward candidate.
        power: Where the intervals decide nothing: "sentence", and "seeds", how many would decide,
            None where seeds alone would not.
        pays_until: The number of inputs beyond which recurrence stops paying, where there is one.
        gives_up: What one gives up without recurrence, a sentence each.
        gains: What one gains.
    """

    answer: Literal["not needed", "needed", "undecided"]
    headline: str
    reasons: list[str]
    margin: float
    confidence: float
    comparisons: list[Comparison]
    power: dict[str, Any] | None = None
    pays_until: int | None = None
    gives_up: list[str] = field(default_factory=list)
    gains: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Give the verdict as JSON values.

        Returns:
            A dict of the attributes.
        """
        return asdict(self)


def compare(
    feed_forward: tuple[str, Losses],
    recurrent: tuple[str, Losses],
    steps: Float[np.ndarray, " sequences"],
    confidence: float,
) -> Comparison:
    """Compare two models on the same test sequences by the logarithm of the ratio of their metrics.

    Its standard error is that of a paired bootstrap over sequences and seeds (`spread_of`). The
    interval is the logarithm plus and minus that error times a quantile of Student's t; and it is
    given as relative differences. Logarithms keep it right where metrics differ by orders.

    Args:
        feed_forward: The name of one model and the sums of its losses, none below 0, by seed and
            test sequence.
        recurrent: The same of the other, with as many seeds.
        steps: The number of steps of each test sequence.
        confidence: Of the two-sided interval.

    Returns:
        The comparison. With one seed, the interval is over sequences alone.
    """
    ours, theirs = (_above_zero(losses, steps) for losses in (feed_forward[1], recurrent[1]))
    metrics = [float(losses.mean(0).sum() / steps.sum()) for losses in (ours, theirs)]
    middle = math.log(metrics[0] / metrics[1])
    error, freedom = spread_of(ours, theirs).with_seeds(len(ours))
    reach = error * float(stdtrit(freedom, (1 + confidence) / 2))
    ends = (middle, middle - reach, middle + reach)
    difference, low, high = (math.expm1(min(end, FARTHEST)) for end in ends)
    return Comparison(feed_forward[0], recurrent[0], difference, low, high, *metrics)


def _above_zero(losses: Losses, steps: Float[np.ndarray, " sequences"]) -> Losses:
    """Take a loss of 0 for one that is as good as 0: logarithms need it."""
    return losses + TINY * steps


def decide(
    candidates: dict[str, Losses],
    recurrent: tuple[str, Losses],
    floors: dict[str, float],
    steps: Float[np.ndarray, " sequences"],
    margin: float,
    confidence: float,
    parts: Mapping[str, np.ndarray] | None = None,
) -> Verdict:
    """Decide whether recurrence is needed.

    Not needed: some feed-forward candidate is at most the margin worse than the best recurrent
    model (its whole interval lies below). Needed: every candidate is more than the margin worse.
    Undecided otherwise, with a single seed or very few sequences, and where the recurrent model
    itself has learnt nothing that a floor, plus the margin, does not know. The confidence is shared
    between the candidates (Bonferroni), so that it holds for all intervals together.

    Args:
        candidates: For each feed-forward candidate the sums of its losses by seed and sequence.
        recurrent: The name of the best recurrent model and its losses.
        floors: The test metrics of the models without memory.
        steps: The number of steps of each test sequence.
        margin: Differences up to this are none in practice.
        confidence: Of all intervals together.
        parts: The numbers of the test sequences that a candidate was scored on, where not on all.

    Returns:
        The verdict.
    """
    shared = 1 - (1 - confidence) / max(len(candidates), 1)
    name, all_losses = recurrent
    pairs = []
    for candidate, ours in candidates.items():
        part = (parts or {}).get(candidate, np.arange(len(steps)))
        pairs.append(((candidate, ours), (name, all_losses[:, part]), steps[part]))
    comparisons = [compare(*pair, shared) for pair in pairs]
    comparisons.sort(key=lambda entry: entry.high)
    reasons = [_reason(entry, margin) for entry in comparisons]
    obstacle = _obstacle(comparisons, recurrent, floors, len(steps), margin)
    worse = f"more than {100 * margin:g} % worse than {recurrent[0]}, the best recurrent model"
    answer: Literal["not needed", "needed", "undecided"] = "undecided"
    if obstacle:
        headline = obstacle
    elif comparisons[0].high < margin:
        answer, headline = "not needed", reasons[0]
    elif all(entry.low > margin for entry in comparisons):
        answer, headline = "needed", f"Every feed-forward candidate is {worse}."
    else:
        headline = f"These trials do not show whether every feed-forward candidate is {worse}."
    power = _power(pairs, margin, shared) if answer == "undecided" and not obstacle else None
    return Verdict(answer, headline, reasons, margin, confidence, comparisons, power)


def _power(
    pairs: Sequence[tuple[tuple[str, Losses], tuple[str, Losses], np.ndarray]],
    margin: float,
    confidence: float,
) -> dict[str, Any]:
    """Say how many seeds would decide."""
    counts = []
    edge = math.log1p(margin)
    for (_, ours), (_, theirs), steps in pairs:
        ours, theirs = _above_zero(ours, steps), _above_zero(theirs, steps)
        middle = math.log(ours.sum() / theirs.sum())
        seeds = seeds_to_decide(middle, edge, spread_of(ours, theirs), confidence)
        counts.append((middle < edge, seeds))
    sentence, needed = power_sentence(counts, len(pairs[0][0][1]))
    return {"sentence": sentence, "seeds": needed}


def _obstacle(
    comparisons: list[Comparison],
    recurrent: tuple[str, Losses],
    floors: dict[str, float],
    sequences: int,
    margin: float,
) -> str:
    """Say what stands in the way of any answer; nothing where nothing does."""
    name, losses = recurrent
    if not comparisons:
        return "There is no feed-forward candidate to compare with."
    if len(losses) < FEWEST_SEEDS:
        return "One seed shows nothing about the spread over seeds: run with 3 or more."
    if sequences < FEWEST_SEQUENCES:
        return (
            f"{sequences} test sequences show too little about their spread: {FEWEST_SEQUENCES} or "
            "more are needed."
        )
    metric = comparisons[0].recurrent_metric
    # A model that never learnt is as good as a floor, up to noise; and so is what replaces it.
    better = [floor for floor, reached in floors.items() if reached <= (1 + margin) * metric]
    if better:
        return (
            f"{name} does not beat the floor '{better[0]}' by more than {100 * margin:g} %: too "
            "little was learnt to tell."
        )
    return ""


def _reason(entry: Comparison, margin: float) -> str:
    """Say what one comparison shows."""
    if entry.high < 0:
        shown = "is better than"
    elif entry.high < margin:
        shown = f"is at most {100 * margin:g} % worse than"
    elif entry.low > margin:
        shown = f"is more than {100 * margin:g} % worse than"
    else:
        shown = f"may or may not be more than {100 * margin:g} % worse than"
    return f"{entry.feed_forward} {shown} {entry.recurrent}."
