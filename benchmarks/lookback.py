"""Does lookback find how far back processes of known order depend, and how long does it take?

    python benchmarks/lookback.py --write             # 4 x 100 runs: half an hour on one core
    python benchmarks/lookback.py --runs 5

Every run draws a process with parameters of its own (`unrecur.studies.lookback_processes`) and asks
for the least window. A window is right within a factor 1.5 of the truth: the order of the process;
of a hidden Markov process, whose order is infinite, the least k whose best possible prediction is
within 2 % of that from all inputs, computed exactly. One row a process; the aim is 95 of 100.
Then one row for the time of a table of 10,000 rows and 3 columns.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rows
import torch

import unrecur
from unrecur.studies.lookback_processes import PROCESSES

FACTOR = 1.5
AIM = 0.95
RULES = ("measurable", "one_standard_error", "margin")
# Symbols are slower than numbers; longer windows only show that they are too long.
LONGEST = {"hidden Markov": 32}


def recovered(name: str, runs: int) -> dict[str, Any]:
    """Look back on some draws of a process."""
    found, seconds = [], []
    for seed in range(runs):
        drawn = PROCESSES[name](seed)
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            results = unrecur.lookback(drawn.task, folder, longest=LONGEST.get(name))
        seconds.append(time.perf_counter() - start)
        model = results["settings"]["model"]
        found.append({"seed": seed, "truth": drawn.truth, "model": model, **results["least"]})
    wrong = [run for run in found if not right(run["truth"], run[drawn.rule])]
    return {
        "benchmark": "lookback recovers",
        "process": name,
        "runs": runs,
        "rule": drawn.rule,
        "recovered": 1 - len(wrong) / runs,
        "exact": sum(run["truth"] == run[drawn.rule] for run in found) / runs,
        "by_rule": {
            rule: sum(right(run["truth"], run[rule]) for run in found) / runs for rule in RULES
        },
        "wrong": wrong,
        "network": sum(run["model"] == "network" for run in found),
        "seconds": statistics.median(seconds),
        "aim": {"recovered": AIM},
    }


def right(truth: int, k: int) -> bool:
    """Say whether a window is within the factor."""
    return truth / FACTOR <= k <= truth * FACTOR


def timed() -> dict[str, Any]:
    """Time a table."""
    random = np.random.default_rng(0)
    x, z = random.normal(size=(2, 10_000))
    y = np.zeros(10_000)
    for t in range(6, len(y)):
        y[t] = 0.5 * y[t - 1] + 0.5 * x[t - 6] + random.normal()
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.csv"
        np.savetxt(table, np.stack([y, x, z], 1), delimiter=",", header="y,x,z", comments="")
        start, busy = time.perf_counter(), time.process_time()
        results = unrecur.lookback(unrecur.own_task(str(table), ["y"]), Path(folder) / "run")
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
    return {
        "benchmark": "lookback of 10,000 rows and 3 columns",
        "least": results["least"],
        "columns": {entry["column"]: entry["least"] for entry in results["columns"]},
        "model": results["settings"]["model"],
        "seconds": seconds,
        "processor_seconds": busy,  # on a machine that does other things too
        "threads": torch.get_num_threads(),
        "aim": {"seconds": 20},
    }


def measured(runs: int) -> Iterator[dict[str, Any]]:
    """Measure everything."""
    yield timed()
    for name in PROCESSES:
        yield recovered(name, runs)


if __name__ == "__main__":
    parser = rows.parser(__doc__)
    parser.add_argument("--runs", type=int, default=100, help="of each process")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows.run("lookback", measured(given.runs), given.write)
