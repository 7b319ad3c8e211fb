"""Power: when a comparison is undecided, how many more seeds would decide it.

Taken for true are the difference that was seen and the variances that were seen: that over seeds
falls with their number, the rest stays. The interval must then clear the margin with a probability
of 80 % (Student's t for both, as for two one-sided tests: Schuirmann 1987).
"""

from collections.abc import Sequence

from scipy.special import stdtrit

from unrecur.studies.spread import Spread

PROBABILITY = 0.8
MOST_SEEDS = 1000


def seeds_to_decide(middle: float, edge: float, spread: Spread, confidence: float) -> int | None:
    """Count the seeds with which an interval would lie on one side of an edge.

    Args:
        middle: The logarithm of the ratio of two metrics.
        edge: The logarithm that it is to be told from.
        spread: The variance of the middle, and what of it is due to seeds.
        confidence: Of the two-sided interval.

    Returns:
        The least number, at least 2; None where 1,000 do not do: the test sequences are too few.
    """
    room = abs(middle - edge)

    def decides(seeds: int) -> bool:
        error, freedom = spread.with_seeds(seeds)
        reach = stdtrit(freedom, (1 + confidence) / 2) + stdtrit(freedom, PROBABILITY)
        return error * float(reach) <= room

    if not decides(MOST_SEEDS):
        return None
    low, high = 1, 2
    while not decides(high):
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        between = (low + high) // 2
        low, high = (low, between) if decides(between) else (between, high)
    return high


def power_sentence(counts: Sequence[tuple[bool, int | None]], seeds: int) -> tuple[str, int | None]:
    """Say how many seeds would decide a study.

    One candidate that is shown to be good enough decides it, or all that are shown not to be.

    Args:
        counts: For each candidate, whether its difference as seen is below the margin, and the
            seeds that would show that or its contrary.
        seeds: How many there are.

    Returns:
        The sentence and the number; None where seeds alone do not decide.
    """
    good = [count for below, count in counts if below]
    bad = [count for below, count in counts if not below]
    if good:
        found = min((count for count in good if count is not None), default=None)
    else:
        found = None if None in bad else max(count for count in bad if count is not None)
    if found is None:
        return (
            "More seeds alone would not decide: the spread over the test sequences is too large "
            "for the differences seen. More test sequences would.",
            None,
        )
    more = max(found - seeds, 1)
    return (
        f"If the differences are as seen, {seeds + more} seeds ({more} more) decide with a "
        f"probability of {PROBABILITY:.0%}.",
        seeds + more,
    )
