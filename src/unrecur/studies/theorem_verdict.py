"""What the theorem's experiment shows: each claim held against its fits."""

from collections.abc import Sequence
from typing import Any

from unrecur.studies.theorem_data import CASES, Case
from unrecur.studies.theorem_fit import decades

TOLERANCE = 0.10  # of log rate, by which a slope may miss it
FLAT = 1.0  # decades; a gap that falls by less has not fallen
JUDGED = ("weights", "outputs")
Row = dict[str, Any]


def conclude(rows: Sequence[Row]) -> dict[str, Any]:
    """Hold each case's claim against its rows.

    Args:
        rows: The rows of all cases and seeds.

    Returns:
        The headline, whether all of the theorem's claims hold, and what each case shows; JSON.
    """
    cases = [_judge(case, [row for row in rows if row["model"] == case.name]) for case in CASES]
    by_name = {case["name"]: case for case in cases}
    falls, stays = by_name["stable"]["holds"], by_name["unstable"]["holds"]
    broken = sum(case["broken_bounds"] for case in cases)
    return {
        "headline": _headline(falls, stays, broken),
        "holds": falls and stays and not broken,
        "tolerance": TOLERANCE,
        "cases": cases,
    }


def _headline(falls: bool, stays: bool, broken: int) -> str:
    if broken:
        return f"{_lie(broken)} above a proved bound: a defect of unrecur"
    power = "\N{GREEK SMALL LETTER LAMDA}\N{MODIFIER LETTER SMALL K}"
    stable = (
        f"For the stable model outputs differ like {power}, weights like k {power}"
        if falls
        else "The gaps of the stable model do not fall at the certified rate"
    )
    if stays:
        return f"{stable}; for the unstable one neither gap falls"
    return f"{stable}; that neither falls for the unstable one is not shown"


def _lie(broken: int) -> str:
    return "1 measured gap lies" if broken == 1 else f"{broken} measured gaps lie"


def _judge(case: Case, rows: Sequence[Row]) -> dict[str, Any]:
    """Say whether a case's claim holds in all seeds, for both gaps."""
    fallen = [decades(row["gaps"][gap]) for row in rows for gap in JUDGED]
    # A gap that another order of the sums makes as well says nothing about windows.
    seen = all(row["gaps"][gap][-1] > row["floor"][gap] for row in rows for gap in JUDGED)
    lines = [row["fits"].get(gap) for row in rows for gap in JUDGED]
    differences = [line["difference"] for line in lines if line]
    return {
        "name": case.name,
        "about": case.about,
        "claim": case.claim,
        "holds": bool(rows) and _holds(case.claim, differences, len(lines), fallen, seen),
        "differences": [min(differences), max(differences)] if differences else None,
        "decades": [min(fallen), max(fallen)] if fallen else None,
        "broken_bounds": sum(_broken(row) for row in rows),
    }


def _holds(
    claim: str, differences: Sequence[float], fits: int, fallen: Sequence[float], seen: bool
) -> bool:
    if claim == "flat":
        return seen and max(fallen) < FLAT
    if len(differences) < fits:  # without a fit nothing is shown
        return False
    if claim == "bounded":
        return min(differences) >= -TOLERANCE
    return max(map(abs, differences)) <= TOLERANCE


def _broken(row: Row) -> int:
    """Count the measured gaps that lie above their proved bounds."""
    return sum(
        gap > bound + row["floor"][name]
        for name in ("same_outputs", "gradient")
        for gap, bound in zip(row["gaps"][name], row["proved"].get(name) or [], strict=False)
    )
