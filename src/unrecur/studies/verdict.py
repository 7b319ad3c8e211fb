"""The verdict: does the task need recurrence, as far as the trials can tell?

Each feed-forward candidate is compared with the best recurrent model by the relative difference of
their test metrics, with a bootstrap interval over test sequences and seeds. Up to a margin, a
difference is none in practice.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

RESAMPLES = 4000
Losses = Float[np.ndarray, "seeds sequences"]


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
    """

    answer: Literal["not needed", "needed", "undecided"]
    headline: str
    reasons: list[str]
    margin: float
    confidence: float
    comparisons: list[Comparison]

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
    """Compare two models on the same test sequences.

    The standard error of the relative difference is that of a paired bootstrap: each resample draws
    sequences and seeds, the same for both models. A plain bootstrap of n seeds makes their variance
    too small by (n - 1) / n, so their losses are moved apart by as much (Davison and Hinkley 1997,
    section 3.8). The interval is the difference plus and minus that error times a quantile of
    Student's t, whose degrees of freedom (Satterthwaite) are few where the seeds, which are few,
    make most of the error.

    Args:
        feed_forward: The name of one model and the sums of its losses by seed and test sequence.
        recurrent: The same of the other, with as many seeds.
        steps: The number of steps of each test sequence.
        confidence: Of the two-sided interval.

    Returns:
        The comparison. With one seed, the interval is over sequences alone.
    """
    ours, theirs = feed_forward[1], recurrent[1]
    metrics = [float(losses.mean(0).sum() / steps.sum()) for losses in (ours, theirs)]
    difference = metrics[0] / metrics[1] - 1
    error = float(_resampled(ours, theirs).std())
    reach = error * float(stdtrit(_freedom(ours, theirs, error), (1 + confidence) / 2))
    return Comparison(
        feed_forward[0], recurrent[0], difference, difference - reach, difference + reach, *metrics
    )


def _resampled(ours: Losses, theirs: Losses) -> Float[np.ndarray, " resamples"]:
    """Draw seeds and sequences with replacement and give the relative difference of each draw."""
    random = np.random.default_rng(0)
    seeds, sequences = ours.shape
    # How often each is drawn: sums over draws become matrix products.
    of_seeds = random.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES)
    of_sequences = random.multinomial(sequences, np.full(sequences, 1 / sequences), RESAMPLES)
    sums = [
        np.einsum("rs,sq,rq->r", of_seeds, _spread(losses), of_sequences, optimize=True)
        for losses in (ours, theirs)
    ]
    return sums[0] / sums[1] - 1


def _spread(losses: Losses) -> Losses:
    """Move the seeds apart so that resampling them has the variance of drawing new ones."""
    count, middle = len(losses), losses.mean(0)
    return middle + (losses - middle) * np.sqrt(count / max(count - 1, 1))


def _freedom(ours: Losses, theirs: Losses, error: float) -> float:
    """Give the degrees of freedom of an error that seeds and sequences make together."""
    seeds, sequences = ours.shape
    most = sequences - 1
    if error == 0 or seeds == 1:
        return max(most, 1)
    by_seed = (
        ours.sum(1) / theirs.sum() * seeds - theirs.sum(1) * ours.sum() / theirs.sum() ** 2 * seeds
    )
    from_seeds = min(float(by_seed.var(ddof=1)) / seeds, error**2)
    rest = error**2 - from_seeds
    return error**4 / (from_seeds**2 / (seeds - 1) + rest**2 / max(most, 1))


def decide(
    candidates: dict[str, Losses],
    recurrent: tuple[str, Losses],
    floors: dict[str, float],
    steps: Float[np.ndarray, " sequences"],
    margin: float,
    confidence: float,
) -> Verdict:
    """Decide whether recurrence is needed.

    Not needed: some feed-forward candidate is proved at most the margin worse than the best
    recurrent model (its whole interval lies below). Needed: every candidate is more than the margin
    worse. Undecided otherwise, with a single seed, and where the recurrent model itself has learnt
    nothing. The confidence is shared between the candidates (Bonferroni), so that it holds for
    all intervals together.

    Args:
        candidates: For each feed-forward candidate the sums of its losses by seed and sequence.
        recurrent: The name of the best recurrent model and its losses.
        floors: The test metrics of the models without memory.
        steps: The number of steps of each test sequence.
        margin: Differences up to this are none in practice.
        confidence: Of all intervals together.

    Returns:
        The verdict.
    """
    shared = 1 - (1 - confidence) / len(candidates)
    comparisons = [compare(found, recurrent, steps, shared) for found in candidates.items()]
    comparisons.sort(key=lambda entry: entry.high)
    best = comparisons[0]
    seeds = min(len(losses) for losses in (*candidates.values(), recurrent[1]))
    reasons = [_reason(entry, margin) for entry in comparisons]
    answer: Literal["not needed", "needed", "undecided"] = "undecided"
    if seeds < 2:
        reasons.append("One seed shows nothing about the spread over seeds: run with 3 or more.")
    elif floors and min(floors.values()) <= best.recurrent_metric:
        name = min(floors, key=lambda floor: floors[floor])
        reasons.append(
            f"{recurrent[0]} does not beat {name}, which has no memory: nothing was learnt."
        )
    elif best.high < margin:
        answer = "not needed"
    elif all(entry.low > margin for entry in comparisons):
        answer = "needed"
    return Verdict(
        answer, _headline(answer, best, margin), reasons, margin, confidence, comparisons
    )


def _headline(answer: str, best: Comparison, margin: float) -> str:
    """Say in a sentence what the answer rests on; its numbers stand in the comparisons."""
    if answer == "not needed":
        return _reason(best, margin)
    worse = f"more than {100 * margin:g} % worse than {best.recurrent}, the best recurrent model"
    if answer == "needed":
        return f"Every feed-forward candidate is {worse}."
    return f"These trials do not show whether every feed-forward candidate is {worse}."


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
