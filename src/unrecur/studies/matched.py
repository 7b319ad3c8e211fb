"""The verdict again, on models with the same latency of a step or the same time of training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unrecur.data.task import Task
from unrecur.studies.conclude import best_recurrent, comparable, floors_of, kind_of
from unrecur.studies.config import StudyConfig
from unrecur.studies.verdict import decide

Row = dict[str, Any]
TITLES = {"latency": "the same latency of a step", "time": "the same time of training"}


def matched_verdicts(
    task: Task, rows: Sequence[Row], settled: Mapping[str, Any], config: StudyConfig
) -> list[dict[str, Any]]:
    """Decide for each other way to match models; no model is truncated for that.

    Args:
        task: The task.
        rows: The rows of all trials.
        settled: For each way what `settle_match` gave.
        config: The settings of the study.

    Returns:
        An entry for each way: what was settled, and the verdict. JSON values.
    """
    floors = floors_of(task, comparable(rows))
    steps = task.counted("test").astype(float)
    entries = []
    for match, what in settled.items():
        by_name = comparable(rows, match)
        losses = {n: np.array([row["test_losses"] for row in f]) for n, f in by_name.items()}
        others = {n: losses[n] for n, f in by_name.items() if kind_of(f) == "feed-forward"}
        best = best_recurrent(by_name)
        verdict = None
        if best is not None:
            reference = best, losses[best]
            verdict = decide(others, reference, floors, steps, config.margin, config.confidence)
        entries.append({"match": match, **what, "verdict": verdict and verdict.as_json()})
    return entries


def match_reasons(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what the verdicts of other ways to match are.

    Args:
        entries: What `matched_verdicts` gave.

    Returns:
        A sentence for each.
    """
    return [
        f"With {TITLES[entry['match']]} the answer is '{entry['verdict']['answer']}': "
        f"{entry['verdict']['headline']}"
        if entry["verdict"]
        else f"With {TITLES[entry['match']]} no recurrent model has finished a trial."
        for entry in entries
    ]
