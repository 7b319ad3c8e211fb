"""What a comparison found, in sentences made by rule."""

import math
from collections.abc import Sequence
from statistics import median

from unrecur.studies.findings import Figures, Row, learners, shows, time_to_level
from unrecur.studies.verdict import FEWEST_SEEDS

MEASURES = {"epochs": 0, "seconds": 1}  # what `time_to_level` gives


def headline(figures: Sequence[Figures], differences: Sequence[Figures]) -> str:
    """Answer a comparison's question in one line.

    Args:
        figures: Those of each arm.
        differences: That of each arm but the reference.

    Returns:
        The line.
    """
    reference, learnt = differences[0]["reference"], learners(figures)
    found: dict[str, list[str]] = {}
    for entry in differences:
        found.setdefault(shows(entry, learnt), []).append(entry["arm"])
    parts = [
        f"{' and '.join(found[kind])} {'is' if len(found[kind]) == 1 else 'are'} {kind} than "
        f"{reference}"
        for kind in ("better", "worse")
        if kind in found
    ]
    if "none" in found:
        parts.append(f"no difference seen between {' or '.join(found['none'])} and {reference}")
    parts += [
        f"{entry['arm']} diverged with {entry['diverged']} of {_seeds(entry['seeds'])}"
        for entry in figures
        if entry["diverged"]
    ]
    if not parts and learnt:
        return f"Too few seeds came to their end to compare anything with {reference}"
    if not learnt:
        parts.insert(0, "no arm has learnt anything")
    line = "; ".join(parts)
    return f"N{line[1:]}" if line.startswith("no ") else line  # names stay as they are


def sentences(
    rows: Sequence[Row],
    figures: Sequence[Figures],
    differences: Sequence[Figures],
    level: float,
    chance: float,
    unit: str,
) -> list[str]:
    """Say what a comparison found, a sentence each.

    Args:
        rows: All rows.
        figures: Those of each arm.
        differences: That of each arm but the reference.
        level: The validation metric that counts as reached.
        chance: The metric of a model that knows nothing.
        unit: The unit of the metric.

    Returns:
        The sentences.
    """
    learnt = learners(figures)
    said = [_difference(entry, shows(entry, learnt)) for entry in differences]
    said += [
        f"{row['model']} diverged with seed {row['seed']}: {row['diverged']}."
        for row in rows
        if row["diverged"] is not None
    ]
    said += [
        f"{entry['arm']} has learnt next to nothing: its median test metric is "
        f"{entry['test']['median']:.4g}, and chance is {chance:.4g} {unit}."
        for entry in figures
        if entry["test"] is not None and not entry["learnt"]
    ]
    said += [_first(rows, level, unit, *how) for how in MEASURES.items()]
    return list(dict.fromkeys(said))  # that no arm reached the level is said once


def _difference(entry: Figures, kind: str) -> str:
    """Say what one difference shows."""
    arm, reference = entry["arm"], entry["reference"]
    if kind == "unknown" and entry["low"] is not None and entry["lost"]:
        return (
            f"{arm} and {reference} are not compared: {_seeds(entry['lost'])} did not come to the "
            "end with one of them, and the others are no fair draw."
        )
    if kind == "unknown" and entry["low"] is not None:
        return f"{arm} and {reference} are not compared: neither has learnt anything."
    if kind == "unknown":
        return (
            f"{arm} and {reference} are not compared: {_seeds(entry['seeds'])} of both came to the "
            f"end, and {FEWEST_SEEDS} or more are needed."
        )
    middle, low, high = (100 * entry[key] for key in ("relative_difference", "low", "high"))
    words = {
        "better": f"{arm} is better than {reference}",
        "worse": f"{arm} is worse than {reference}",
        "none": f"No difference seen between {arm} and {reference}",
    }[kind]
    than = "higher" if middle > 0 else "lower"
    return (
        f"{words}: its test metric is {_percent(abs(middle))} % {than} "
        f"[{_percent(low, '+')} %, {_percent(high, '+')} %], "
        f"over {_seeds(entry['seeds'])}."
    )


def _percent(number: float, sign: str = "") -> str:
    """Write a number of percent, a large one without its power of ten."""
    text = f"{number:{sign}.3g}" if abs(number) < 100 else f"{number:{sign},.0f}"
    return text.replace("-", "\N{MINUS SIGN}")


def race(rows: Sequence[Row], level: float) -> str:
    """Say in a few words which arm reached the level first, with every seed.

    Args:
        rows: All rows.
        level: The validation metric that counts as reached.

    Returns:
        The words.
    """
    leaders = {how: _winner(_times(rows, level, place)) for how, place in MEASURES.items()}
    said = [
        f"{'none' if leader is None else leader} is first to {level:g} in {how} with every seed"
        for how, leader in leaders.items()
    ]
    return "; ".join(said)


def _first(rows: Sequence[Row], level: float, unit: str, measured: str, place: int) -> str:
    """Say which arm reached the level first, where it is the same one with every seed."""
    times = _times(rows, level, place)
    goal = f"a validation metric of {level:g} {unit}"
    if all(math.isinf(taken) for by_arm in times.values() for taken in by_arm.values()):
        return f"No arm reached {goal}."
    leader = _winner(times)
    if leader is None:
        return f"Counted in {measured}, no arm is the first with every seed to reach {goal}."
    others = [arm for arm in next(iter(times.values())) if arm != leader]
    taken = {arm: median(by_arm[arm] for by_arm in times.values()) for arm in (leader, *others)}
    against = ", ".join(f"{arm} {_taken(taken[arm], measured)}" for arm in others)
    return (
        f"Counted in {measured}, {leader} is the first to reach {goal} with "
        f"{'the one seed' if len(times) == 1 else f'each of {len(times)} seeds'}: "
        f"{_taken(taken[leader], measured)} (median; {against})."
    )


def _times(rows: Sequence[Row], level: float, place: int) -> dict[int, dict[str, float]]:
    """Give, for each seed, when each arm reached the level; infinity for never."""
    times: dict[int, dict[str, float]] = {}
    for row in rows:
        found = time_to_level(row, level) if row["diverged"] is None else None
        of_seed = times.setdefault(row["seed"], {})
        of_seed[row["model"]] = math.inf if found is None else found[place]
    return times


def _winner(times: dict[int, dict[str, float]]) -> str | None:
    """Give the arm that is the first with every seed; None where there is none."""
    leaders = {_leader(by_arm) for by_arm in times.values()}
    return leaders.pop() if len(leaders) == 1 else None


def _leader(times: dict[str, float]) -> str | None:
    """Give the only arm with the least time; None where there is none."""
    best = min(times.values())
    leading = [arm for arm, taken in times.items() if taken == best]
    return leading[0] if len(leading) == 1 else None


def _taken(time: float, measured: str) -> str:
    """Write a time."""
    if math.isinf(time):
        return "not reached"
    return f"{time:.0f} epochs" if measured == "epochs" else f"{time:.1f} s"


def _seeds(count: int) -> str:
    """Count seeds."""
    return f"{count} seed" if count == 1 else f"{count} seeds"
