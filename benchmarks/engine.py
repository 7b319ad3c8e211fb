"""What the engine of a study costs: beside training, with many workers, and with many trials.

    python benchmarks/engine.py [--quick] [--only QUESTION] [--write]

Three questions. How long a worker needs for a trial beside running it, where 8 of them share one
storage (trials only wait, as if each worker had a machine of its own). How long it takes to list
10,000 trials, and to gather what the page shows of them. Which part of the training time a study in
one process adds to it. Exits with 1 where an aim is missed.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import rows
from optuna.trial import TrialState, create_trial

from unrecur import StudyConfig, study
from unrecur.data.tasks import load_task
from unrecur.studies.claims import Claims
from unrecur.studies.feasible import planned
from unrecur.studies.jobs import Finished, Job
from unrecur.studies.listener import Listener
from unrecur.studies.recipes import RECIPES
from unrecur.studies.store import Store
from unrecur.studies.tuning import tried, tuning_jobs

AIMS = {"overhead": 0.3, "listing": 1.0, "page": 5.0, "share": 0.05}
LASTS = 1.0  # seconds that a trial of the first question waits


def jobs_of(trials: int) -> list[Job]:
    """Plan so many draws of four recipes."""
    task = load_task("chorales")
    names = {name: recipe for name, recipe in RECIPES.items() if recipe.kind != "floor"}
    plan, _ = planned(task, names, StudyConfig(parameters=20_000))
    config = StudyConfig(parameters=20_000, trials=max(trials // 2, 3))
    return tuning_jobs(task, {name: names[name] for name in plan}, config)


def work(folder: str, url: str | None, jobs: list[Job], gate: Any, queue: Any) -> None:
    """Take trials that only wait, until there are none."""
    store = Store(Path(folder), {}, url)
    claims = Claims(store, jobs)
    done = 0

    def run(job: Job, trial: optuna.Trial) -> Finished:
        nonlocal done
        done += 1
        time.sleep(LASTS)
        return Finished(1.0, {"seconds": LASTS, "epochs": 1})

    gate.wait()
    start = time.perf_counter()
    while (found := claims.tend()).waiting:
        claims.claim(next(iter(found.waiting)), run)
        last = time.perf_counter()
    queue.put((done, last - start - done * LASTS))


def worker_rows(workers: int, each: int, url: str | None) -> Iterator[dict[str, Any]]:
    """Measure the overhead of a trial with several workers."""
    jobs = jobs_of(workers * each)
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        gate, queue = context.Barrier(workers), context.Queue()
        arguments = (folder, url, jobs, gate, queue)
        processes = [context.Process(target=work, args=arguments) for _ in range(workers)]
        for process in processes:
            process.start()
        found = [queue.get(timeout=900) for _ in processes]
        for process in processes:
            process.join()
        ended = Claims(Store(Path(folder), {}, url), jobs).standing().ended
    if sum(done for done, _ in found) != len(jobs) or len(ended) != len(jobs):
        sys.exit(f"wrong answer: {len(jobs)} trials, {found}, no time given")
    yield {
        "benchmark": "overhead of a trial",
        "storage": "sqlite" if url is None else url.partition(":")[0],
        "workers": workers,
        "trials": len(jobs),
        "seconds": statistics.mean(spent / max(done, 1) for done, spent in found),
        "aim": AIMS["overhead"],
    }


def listing_rows(trials: int) -> Iterator[dict[str, Any]]:
    """Measure how long it takes to read many trials."""
    jobs = jobs_of(trials)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), {})
        start = time.perf_counter()
        for number, job in enumerate(jobs):
            attributes = {"key": job.key, "ended": {"seconds": 1.0, "epochs": 2}}
            store.study(job.part).add_trial(
                create_trial(
                    state=TrialState.COMPLETE,
                    params=job.params,
                    distributions=job.distributions,
                    value=float(number),
                    user_attrs=attributes,
                    intermediate_values={1: 2.0, 2: 1.0},
                )
            )
        added = (time.perf_counter() - start) / len(jobs)
        store = Store(Path(folder), {})
        claims = Claims(store, jobs)
        start = time.perf_counter()
        entries = store.listing(*claims.studies).read()
        listed = time.perf_counter() - start
        start = time.perf_counter()
        found = Claims(Store(Path(folder), {}), jobs).standing()
        data = [tried(job, found.ended[job.part, job.key]) for job in jobs]
        json.dumps(data)
        gathered = time.perf_counter() - start
    if [len(entries), len(data)] != [len(jobs)] * 2:
        sys.exit(f"wrong answer: {len(jobs)} trials, {len(entries)} listed, {len(data)} shown")
    size = {"trials": len(jobs), "seconds_to_add_one": added}
    yield {"benchmark": "listing", **size, "seconds": listed, "aim": AIMS["listing"]}
    yield {"benchmark": "page data", **size, "seconds": gathered, "aim": AIMS["page"]}


class Clock(Listener):
    """Measures from the first trial to the verdict."""

    def start(self, trials: int, finished: int) -> None:
        """Start the clock."""
        self.begun = time.perf_counter()

    def stage(self, what: str) -> None:
        """Stop the clock."""
        if what.startswith("least window"):
            self.ended = time.perf_counter()


def share_rows(config: StudyConfig) -> Iterator[dict[str, Any]]:
    """Measure what a study adds to the time of its trials, the estimate before them included."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        results = study("chorales", folder, config, listener=clock)
    trained = sum(row.get("seconds", 0.0) for row in results["rows"])
    measured = sum(row["wall_seconds"] for row in results["rows"])
    tuned = sum(found["seconds"] for found in results["tuning"])
    yield {
        "benchmark": "overhead of a study in one process",
        "parameters": results["settings"]["parameters"],
        "trials": len(results["rows"]) + len(results["tuning"]),
        "training_seconds": trained + tuned,
        "trial_seconds": measured + tuned,
        "seconds": clock.ended - clock.begun,
        "share": (clock.ended - clock.begun - measured - tuned) / (trained + tuned),
        "estimate_seconds": results["estimate"]["seconds"],
        "aim": AIMS["share"],
    }


def measured(quick: bool, url: str | None, only: str | None) -> Iterator[dict[str, Any]]:
    """Give every row."""
    small = StudyConfig(seeds=2, parameters=20_000, epochs=2 if quick else 6, trials=4)
    sources = {
        "workers": [worker_rows(8, 4 if quick else 12, url)],
        "listing": [listing_rows(1000 if quick else 10_000)],
        # A small study that tunes, and that of `unrecur study chorales`.
        "share": [share_rows(small), *([] if quick else [share_rows(StudyConfig())])],
    }
    for name, parts in sources.items():
        for row in (row for part in parts if only in (None, name) for row in part):
            missed.extend([row] if row.get("share", row["seconds"]) > row["aim"] else [])
            yield row


missed: list[dict[str, Any]] = []


def main() -> None:
    parser: argparse.ArgumentParser = rows.parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer trials")
    parser.add_argument("--storage", help="an empty database for the workers; SQLite if left out")
    parser.add_argument("--only", choices=("workers", "listing", "share"), help="one question")
    given = parser.parse_args()
    found = measured(given.quick, given.storage, given.only)
    rows.run("engine", found, given.write, rows.everything if given.only else None)
    for row in missed:
        print(f"missed its aim: {row['benchmark']}", file=sys.stderr)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
