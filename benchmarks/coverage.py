"""How often do the verdict's intervals hold the truth?

    python benchmarks/coverage.py --write

Draws the test losses of two models, 8.2 and 8.0 nats a step, whose seeds and sequences vary at
random, and counts how often the 95 % interval holds their true difference.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import rows

from unrecur.studies.verdict import compare

DRAWS = 400
OURS, THEIRS = 8.2, 8.0


def covered(seeds: int, sequences: int, by_seed: float, by_sequence: float) -> float:
    """Give the share of draws whose interval holds the truth."""
    random = np.random.default_rng(0)
    steps, inside = np.full(sequences, 50.0), 0
    for _ in range(DRAWS):
        losses = [
            mean
            + random.normal(0, by_seed, (seeds, 1))
            + random.normal(0, by_sequence, (1, sequences))
            + random.normal(0, 0.02, (seeds, sequences))
            for mean in (OURS, THEIRS)
        ]
        entry = compare(("a", losses[0] * steps), ("b", losses[1] * steps), steps, 0.95)
        inside += entry.low <= OURS / THEIRS - 1 <= entry.high
    return inside / DRAWS


def measured() -> Iterator[dict[str, Any]]:
    """Measure every case."""
    for sequences in (10, 55):
        for by_seed, by_sequence in ((0.05, 0.3), (0.05, 0.0), (0.0, 0.3)):
            for seeds in (2, 3, 5, 10):
                yield {
                    "benchmark": "coverage",
                    "seeds": seeds,
                    "sequences": sequences,
                    "spread_by_seed": by_seed,
                    "spread_by_sequence": by_sequence,
                    "coverage": covered(seeds, sequences, by_seed, by_sequence),
                }


if __name__ == "__main__":
    rows.run("coverage", measured(), rows.parser(__doc__).parse_args().write)
