"""Reading a study's plain rows, any part of which may be missing: rows by model, parts, numbers."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from unrecur import _check
from unrecur.report.text import printable

Results = Mapping[str, Any]
Row = Mapping[str, Any]

OVERFLOW = 1e100  # no float32 comes near; sums and squares of what is below stay finite


def by_model(results: Results) -> dict[str, list[Row]]:
    """Group the rows of a study by model, in the order the models first appear.

    Args:
        results: The results of a study.

    Returns:
        The rows (one per seed) of each model; none where a study was stopped before its first.

    Raises:
        InputError: There is no list of rows, or a row does not name its model.
    """
    rows = results.get("rows", "missing") or []
    if not isinstance(rows, list | tuple):
        raise _check.InputError(
            "expected the results of a study, a dict with a list 'rows', got one with the keys "
            f"{sorted(map(str, results))}. Pass what the study returned or its results.json."
        )
    groups: dict[str, list[Row]] = {}
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping) or row.get("model") is None:
            raise _check.InputError(
                f"expected every row to name its 'model', row {number} does not. "
                "Rerun the study or repair the file."
            )
        groups.setdefault(printable(str(row["model"])), []).append(row)
    return groups


def matched(results: Results, by: str = "parameters") -> Results:
    """Keep the rows of the trials that were matched by one thing.

    Args:
        results: The results of a study.
        by: By what: "parameters", as all trials of the main tables, "latency" or "time".

    Returns:
        The results with these rows alone.
    """
    rows = results.get("rows")
    if not isinstance(rows, list | tuple):
        return results
    kept = [row for row in rows if not isinstance(row, Mapping) or matched_by(row) == by]
    return {**results, "rows": kept}


def matched_by(row: Row) -> str:
    """Say by what the trial of a row was matched with the others.

    Args:
        row: The row.

    Returns:
        "parameters" unless the row says something else.
    """
    return words(row, "match", "parameters")


def is_floor(rows: Sequence[Row]) -> bool:
    """Say whether the rows of a model are those of a floor, which learns nothing about time.

    Args:
        rows: The rows of one model.

    Returns:
        Whether they are.
    """
    return rows[0].get("family") == "floor"


def lower_is_better(results: Results) -> bool:
    """Say which way the metric of the task points; lower is better unless the task says otherwise.

    Args:
        results: The results of a study.

    Returns:
        Whether lower is better.
    """
    return section(results, "task").get("lower_is_better") is not False


def section(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Look up a part that may be missing.

    Args:
        mapping: The results of a study, or one of its parts.
        name: The part.

    Returns:
        The part, empty where it is missing or no mapping.
    """
    found = mapping.get(name)
    return found if isinstance(found, Mapping) else {}


def entries(mapping: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Look up a list of parts that may be missing.

    Args:
        mapping: A row, or any part of the results.
        name: The list.

    Returns:
        Its mappings; empty where it is missing or no list.
    """
    found = mapping.get(name)
    if not isinstance(found, list | tuple):
        return []
    return [entry for entry in found if type(entry) is dict or isinstance(entry, Mapping)]


def words(mapping: Mapping[str, Any], name: str, default: str = "") -> str:
    """Look up a text that may be missing.

    Args:
        mapping: A row, or any part of the results.
        name: The text.
        default: What stands for a missing one.

    Returns:
        The text, printable; of anything else than a text, how Python writes it.

    Example:
        >>> words({"git": "5f3c "}, "git"), words({"git": None}, "git", "none")
        ('5f3c', 'none')
    """
    found = mapping.get(name)
    return default if found is None else printable(str(found))


def lines(mapping: Mapping[str, Any], name: str) -> list[str]:
    """Look up a list of texts that may be missing.

    Args:
        mapping: A row, or any part of the results.
        name: The list.

    Returns:
        The texts, printable; empty where the list is missing or no list.
    """
    found = mapping.get(name)
    if not isinstance(found, list | tuple):
        return []
    return [printable(str(text)) for text in found if text is not None]


def value(row: Mapping[str, Any], *path: str) -> float | None:
    """Look up a number that may be missing.

    Args:
        row: A row, or any nested mapping.
        path: The keys that lead to the number.

    Returns:
        The number; None where a key is missing, or where there is no finite number (NaN is none).

    Example:
        >>> value({"metric": {"test": 7.5}}, "metric", "test"), value({}, "metric", "test")
        (7.5, None)
    """
    found: Any = row
    for key in path:
        # A dict is the usual case, and found out ten times as fast.
        found = found.get(key) if type(found) is dict or isinstance(found, Mapping) else None
    return _number(found)


def _number(found: Any) -> float | None:
    if type(found) is float:  # the usual case; NaN is beyond every bound
        return found if -OVERFLOW < found < OVERFLOW else None
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return found if abs(found) < OVERFLOW else None


def series(mapping: Mapping[str, Any], name: str) -> list[float | None]:
    """Look up a list of numbers that may be missing.

    Args:
        mapping: Any part of the results.
        name: The list.

    Returns:
        The numbers, None for each that is not finite; empty where the list is missing or no list.

    Example:
        >>> series({"y": [1, None, "2"]}, "y"), series({}, "y")
        ([1, None, None], [])
    """
    found = mapping.get(name)
    return [_number(entry) for entry in found] if isinstance(found, list | tuple) else []


def values(rows: Sequence[Mapping[str, Any]], *path: str) -> list[float]:
    """Collect a number from every row that has it.

    Args:
        rows: Rows.
        path: The keys that lead to the number.

    Returns:
        The numbers that are there.
    """
    return [found for row in rows if (found := value(row, *path)) is not None]


def middle(numbers: Sequence[float]) -> float | None:
    """Take the median where there is one.

    Args:
        numbers: Any numbers, or none.

    Returns:
        Their median, or None.
    """
    return median(numbers) if numbers else None
