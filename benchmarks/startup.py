"""How long `unrecur --help` takes: the aim is 0.5 s.

python benchmarks/startup.py --write
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import rows


def measured() -> Iterator[dict[str, Any]]:
    """Time the command, from start to end of the process, eleven times."""
    times = []
    for _ in range(11):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "unrecur", "--help"], capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    yield {
        "benchmark": "unrecur --help",
        "seconds": statistics.median(times),
        "slowest": max(times),
        "aim": {"seconds": 0.5},
    }


if __name__ == "__main__":
    rows.run("startup", measured(), rows.parser(__doc__).parse_args().write)
