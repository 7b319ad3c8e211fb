"""What the rows of a comparison show: figures of each arm, and differences."""

from collections.abc import Collection, Sequence
from statistics import median
from typing import Any

import numpy as np

from unrecur.studies.verdict import FEWEST_SEEDS, compare

Row = dict[str, Any]
Figures = dict[str, Any]
LEARNT = 0.95  # of the chance level: who is not below it has learnt next to nothing


def arm_figures(rows: Sequence[Row], level: float, chance: float) -> Figures:
    """Summarise the seeds of one arm.

    Args:
        rows: The rows of the arm, one a seed.
        level: The validation metric that counts as reached.
        chance: The metric of a model that knows nothing.

    Returns:
        JSON values: over the seeds that were not stopped, the median with the lowest and the
        highest of the best and the last validation metric, the test metric, and the epochs and
        seconds until the level was reached; how many seeds reached it and how many diverged; and
        whether the median test metric is below 95 % of chance.
    """
    whole = [row for row in rows if row["diverged"] is None]
    reached = [found for row in whole if (found := time_to_level(row, level)) is not None]
    test = spread([row["metric"]["test"] for row in whole])
    return {
        "arm": rows[0]["model"],
        "parameters": rows[0]["parameters"],
        "seeds": len(rows),
        "diverged": len(rows) - len(whole),
        "valid": spread([row["metric"]["valid"] for row in whole]),
        "last_valid": spread([row["history"][-1]["valid"] for row in whole]),
        "test": test,
        "learnt": test is not None and test["median"] < LEARNT * chance,
        "reached": len(reached),
        "epochs_to_level": spread([epochs for epochs, _ in reached]),
        "seconds_to_level": spread([seconds for _, seconds in reached]),
        "seconds": spread([row["seconds"] for row in whole]),
    }


def spread(found: Sequence[float | None]) -> Figures | None:
    """Give the median of some numbers and their range.

    Args:
        found: One a seed; None where there is none.

    Returns:
        The median, the lowest and the highest; None where there is no number. Of so few seeds as
        three the range is the bootstrap interval of the median.
    """
    numbers = [number for number in found if number is not None]
    if not numbers:
        return None
    return {"median": median(numbers), "low": min(numbers), "high": max(numbers)}


def time_to_level(row: Row, level: float) -> tuple[int, float] | None:
    """Find when a model first reached a validation metric.

    Args:
        row: Its row.
        level: The metric.

    Returns:
        The epochs and the seconds that it took; None if it never did.
    """
    seconds = 0.0
    for entry in row["history"]:
        seconds += entry["seconds"]
        if entry["valid"] is not None and entry["valid"] <= level:
            return entry["epoch"], seconds
    return None


def difference(
    arm: Sequence[Row], reference: Sequence[Row], steps: np.ndarray, confidence: float
) -> Figures:
    """Compare the test metrics of an arm and of the reference, seed by seed.

    The interval is that of the verdict of a study, a paired bootstrap over seeds and sequences.

    Args:
        arm: The rows of the arm.
        reference: Those of the reference.
        steps: The number of steps of each test sequence that count.
        confidence: Of the interval.

    Returns:
        JSON values: the relative difference (below 0 the arm is better) with its interval, None
        where fewer than two seeds of both came to their end, how many did, and how many not.
    """
    theirs = {row["seed"]: row["test_losses"] for row in reference if row["diverged"] is None}
    pairs = [
        (row["test_losses"], theirs[row["seed"]])
        for row in arm
        if row["diverged"] is None and row["seed"] in theirs
    ]
    names = {
        "arm": arm[0]["model"],
        "reference": reference[0]["model"],
        "seeds": len(pairs),
        "lost": len(arm) - len(pairs),
    }
    if len(pairs) < FEWEST_SEEDS:
        return names | {"relative_difference": None, "low": None, "high": None}
    ours, others = (np.array(losses) for losses in zip(*pairs, strict=True))
    found = compare((names["arm"], ours), (names["reference"], others), steps, confidence)
    shown = {key: getattr(found, key) for key in ("relative_difference", "low", "high")}
    return names | shown


def shows(entry: Figures, learnt: Collection[str]) -> str:
    """Say in a word what a difference shows.

    Args:
        entry: The difference.
        learnt: The arms that have learnt something.

    Returns:
        "better", "worse", "none" where the interval holds zero, or "unknown", where there is no
        interval, one of the two diverged with a seed, or neither has learnt anything.
    """
    # With which seeds an arm diverges depends on the arm: the others are no fair draw.
    if (
        entry["lost"]
        or entry["low"] is None
        or not {entry["arm"], entry["reference"]} & set(learnt)
    ):
        return "unknown"
    return "better" if entry["high"] < 0 else "worse" if entry["low"] > 0 else "none"


def learners(figures: Sequence[Figures]) -> list[str]:
    """Name the arms that have learnt something.

    Args:
        figures: Those of each arm.

    Returns:
        Their names.
    """
    return [entry["arm"] for entry in figures if entry["learnt"]]
