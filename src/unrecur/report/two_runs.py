"""Two studies side by side: what differs in their settings, their models and their verdicts."""

from dataclasses import dataclass
from typing import Any

from unrecur import _check
from unrecur.report.comparison_sheets import trained
from unrecur.report.paired import Difference, difference
from unrecur.report.ranking import ranking
from unrecur.report.rows import Results, by_model, lower_is_better, matched, section, values, words
from unrecur.report.spread import confidence_of
from unrecur.report.text import ABSENT, counted, printable
from unrecur.report.wording import answer, metric_title

SECTIONS = ("task", "settings", "environment")
# What a study says about its data and its end, which is no setting.
LEFT_OUT = {"splits", "notes", "published", "scores"}


@dataclass(frozen=True)
class Change:
    """A model in two runs.

    Args:
        model: Its name.
        family: Its family.
        metrics: The means over seeds of its test metric in A and in B; None where it is missing.
        ranks: Its place among the models of both runs, in A and in B.
        difference: From A to B; None where it is not in both.
    """

    model: str
    family: str
    metrics: tuple[float | None, float | None]
    ranks: tuple[int | None, int | None]
    difference: Difference | None


@dataclass(frozen=True)
class TwoRuns:
    """Two studies.

    Args:
        names: What they are called.
        results: Their results, of the trials matched by parameters.
        same_split: Whether they have the same test split, by its hash.
        confidence: Of all intervals together.
        changes: Each model, the best of B first; those of A alone last.
    """

    names: tuple[str, str]
    results: tuple[Results, Results]
    same_split: bool
    confidence: float
    changes: list[Change]


def two_runs(names: tuple[str, str], results: tuple[Results, Results]) -> TwoRuns:
    """Compare two studies.

    Args:
        names: What they are called.
        results: Their results.

    Returns:
        The comparison.

    Raises:
        InputError: One of them holds no results of a study, or they measure different things.
    """
    first, second = (matched(each) for each in results)
    titles = [metric_title(each, "test") for each in (first, second)]
    if titles[0] != titles[1]:
        raise _check.InputError(
            f"expected two studies of one metric, got '{titles[0]}' and '{titles[1]}'. Compare "
            "studies of the same task."
        )
    hashes = [_split_hash(each) for each in (first, second)]
    same_split = bool(hashes[0]) and hashes[0] == hashes[1]
    confidence = min(confidence_of(first), confidence_of(second))
    changes = _changes(first, second, confidence, same_split)
    return TwoRuns(names, (first, second), same_split, confidence, changes)


def _split_hash(results: Results) -> str:
    return words(section(section(section(results, "task"), "splits"), "test"), "hash")


def _changes(first: Results, second: Results, confidence: float, same: bool) -> list[Change]:
    groups = by_model(first), by_model(second)
    shared = [model for model in groups[0] if model in groups[1]]
    # The confidence is shared between the models (Bonferroni), so that it holds for all together.
    each = 1 - (1 - confidence) / max(len(shared), 1)
    order = [rank.summary.model for results in (second, first) for rank in ranking(results)]
    places = [_places(results, shared) for results in (first, second)]
    return [
        Change(
            model=model,
            family=words(next(run[model][0] for run in groups if model in run), "family"),
            metrics=(_test(groups[0], model), _test(groups[1], model)),
            ranks=(places[0].get(model), places[1].get(model)),
            difference=difference(groups[0][model], groups[1][model], each, same_split=same)
            if model in shared
            else None,
        )
        for model in dict.fromkeys(order)
    ]


def _places(results: Results, shared: list[str]) -> dict[str, int]:
    """Rank the models that both runs have."""
    order = [rank.summary.model for rank in ranking(results) if rank.place is not None]
    return {m: place for place, m in enumerate((m for m in order if m in shared), start=1)}


def _test(group: dict[str, list[Any]], model: str) -> float | None:
    found = values(group.get(model, []), "metric", "test")
    return sum(found) / len(found) if found else None


def headline(runs: TwoRuns) -> str:
    """Say in one line whether both studies say the same.

    Args:
        runs: The two studies.

    Returns:
        The line.
    """
    before, after = (answer(each).headline for each in runs.results)
    if before == after:
        return f"Both say: {before[0].lower()}{before[1:]}"
    return f"A says: {before[0].lower()}{before[1:]}; B says: {after[0].lower()}{after[1:]}"


def findings(runs: TwoRuns) -> list[str]:
    """Say what changed from A to B, a sentence each.

    Args:
        runs: The two studies.

    Returns:
        The sentences.
    """
    least = lower_is_better(runs.results[0])
    shown = {c.model: kind for c in runs.changes if (kind := _shows(c.difference, least))}
    better, worse = (
        ", ".join(model for model, kind in shown.items() if kind == sought) or "none"
        for sought in ("better", "worse")
    )
    moved = [c for c in runs.changes if None not in c.ranks and c.ranks[0] != c.ranks[1]]
    said = [
        f"Better in B, by the whole interval: {better}; worse: {worse}; "
        f"of {counted(len(shown), 'model')} with an interval."
    ]
    if moved:
        turns = (f"{c.model} from {c.ranks[0]} to {c.ranks[1]}" for c in moved)
        said.append(f"The order changed: {', '.join(turns)}.")
    elif any(None not in c.ranks for c in runs.changes):
        said.append("The models of both are in the same order.")
    for name, missing in zip("AB", (0, 1), strict=True):
        alone = [c.model for c in runs.changes if c.difference is None and _only(c, missing)]
        if alone:
            said.append(f"In {name} alone: {', '.join(alone)}.")
    if not runs.same_split:
        said.append(
            "The test splits are not known to be the same (their hashes differ or are missing): "
            "intervals are over seeds alone and say nothing about other sequences."
        )
    return said


def _shows(found: Difference | None, least: bool) -> str:
    """Say whether a whole interval is better or worse; nothing where there is no interval."""
    if found is None or found.low is None or found.high is None:
        return ""
    if found.low <= 0 <= found.high:
        return "neither"
    return "better" if (found.high < 0) == least else "worse"


def _only(change: Change, run: int) -> bool:
    return change.metrics[run] is not None and change.metrics[1 - run] is None


def differing(runs: TwoRuns) -> list[tuple[str, str, str]]:
    """List the settings in which two studies differ: theirs, and those of the models of both.

    Args:
        runs: The two studies.

    Returns:
        For each the name of the setting, and what it is in A and in B.
    """
    first, second = (_settings(results) for results in runs.results)
    return [
        (name, first.get(name, ABSENT), second.get(name, ABSENT))
        for name in dict.fromkeys([*first, *second])
        if first.get(name, ABSENT) != second.get(name, ABSENT)
    ]


def _settings(results: Results) -> dict[str, str]:
    found = {name: words(results, name, ABSENT) for name in ("version", "command")}
    for part in SECTIONS:
        mapping = section(results, part)
        found |= {
            f"{part}: {printable(str(name))}": words(mapping, name, ABSENT)
            for name in mapping
            if name not in LEFT_OUT
        }
    splits = section(section(results, "task"), "splits")
    for split in splits:
        found[f"data: {printable(str(split))}"] = words(section(splits, split), "hash", ABSENT)
    for model, chosen in trained(results).items():
        found |= {f"{model}: {name}": text for name, text in chosen.items()}
    return found
