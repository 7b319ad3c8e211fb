"""How long a call takes, as a median."""

import statistics
import time
from collections.abc import Callable

REPEATS, LONGEST = 50, 1.0  # runs, and seconds after which no further one is begun


def median_seconds(call: Callable[[], object]) -> float:
    """Take the median time of a call, its first run left out.

    Args:
        call: What to time.

    Returns:
        The median of up to 50 runs, in seconds.
    """
    call()
    seconds: list[float] = []
    while len(seconds) < REPEATS and sum(seconds) < LONGEST:
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)
