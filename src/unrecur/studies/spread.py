"""The variance of a difference between two models, and what of it is due to seeds."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

RESAMPLES = 4000
Losses = Float[np.ndarray, "seeds sequences"]


@dataclass(frozen=True)
class Spread:
    """The variance of the logarithm of the ratio of two metrics.

    Attributes:
        from_seeds: What the differences between seeds make of it, with as many seeds as there are.
        rest: What the test sequences make of it.
        seeds: How many there are.
        sequences: How many there are.
    """

    from_seeds: float
    rest: float
    seeds: int
    sequences: int

    def with_seeds(self, seeds: int) -> tuple[float, float]:
        """Give the standard error that some number of seeds would have, and its degrees of freedom.

        The degrees are Satterthwaite's (1946): few where the seeds, which are few, make most of
        the error.

        Args:
            seeds: The number.

        Returns:
            Both.
        """
        from_seeds = self.from_seeds * self.seeds / seeds
        total = from_seeds + self.rest
        parts = from_seeds**2 / max(seeds - 1, 1) + self.rest**2 / max(self.sequences - 1, 1)
        freedom = total**2 / parts if parts > 0 else max(self.sequences - 1, 1)
        return math.sqrt(total), freedom


def spread_of(ours: Losses, theirs: Losses) -> Spread:
    """Measure the spread by a paired bootstrap over test sequences and seeds.

    Each resample draws sequences and seeds, the same for both models. A bootstrap of n seeds makes
    their variance too small by (n - 1) / n; what is missing is added (Davison and Hinkley 1997,
    section 3.8).

    Args:
        ours: The sums of one model's losses, all above 0, by seed and test sequence.
        theirs: The same of the other.

    Returns:
        The spread. With one seed, it is that over sequences alone.
    """
    seeds, sequences = ours.shape
    resampled = float(_resampled(ours, theirs).var())
    # The log ratio, to first order in what one seed adds to it.
    by_seed = ours.sum(1) / ours.sum() - theirs.sum(1) / theirs.sum()
    from_seeds = float(seeds * by_seed.var(ddof=1)) if seeds > 1 else 0.0
    total = resampled + from_seeds / seeds
    return Spread(min(from_seeds, total), max(total - from_seeds, 0.0), seeds, sequences)


def _resampled(ours: Losses, theirs: Losses) -> Float[np.ndarray, " resamples"]:
    """Draw seeds and sequences with replacement and give the log ratio of each draw."""
    random = np.random.default_rng(0)
    seeds, sequences = ours.shape
    # How often each is drawn: sums over draws become matrix products.
    of_seeds = random.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES)
    of_sequences = random.multinomial(sequences, np.full(sequences, 1 / sequences), RESAMPLES)
    sums = [
        np.einsum("rs,sq,rq->r", of_seeds, losses, of_sequences, optimize=True)
        for losses in (ours, theirs)
    ]
    return np.log(sums[0] / sums[1])
