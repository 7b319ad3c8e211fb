"""How the results were made: command, settings, environment and data, as pairs to print."""

from collections.abc import Mapping
from typing import Any

from unrecur.report.rows import Results, entries, section, value, words
from unrecur.report.sheets import Sheet
from unrecur.report.text import ABSENT, duration, number, printable


def run_facts(results: Results) -> dict[str, str]:
    """Say when and by which command a study ran, and how long.

    Args:
        results: The results of a study.

    Returns:
        The facts by name.

    Example:
        >>> run_facts({"seconds": 190.2, "version": "0.1.0"})["duration"]
        '3 min 10 s'
    """
    estimated = value(results, "estimate", "seconds")
    foreseen = {} if estimated is None else {"estimated before": duration(estimated)}
    return {
        "command": words(results, "command", ABSENT),
        "created": words(results, "created", ABSENT),
        "duration": duration(value(results, "seconds")),
        **foreseen,
        "unrecur": words(results, "version", ABSENT),
    }


def facts(mapping: Mapping[str, Any]) -> dict[str, str]:
    """Write the settings or the environment of a study as texts.

    Args:
        mapping: Any mapping.

    Returns:
        A text for each of its keys.
    """
    return {printable(str(key)): words(mapping, key, ABSENT) for key in mapping}


def published_sheet(results: Results) -> Sheet:
    """Tabulate what others have published for the task.

    Args:
        results: The results of a study.

    Returns:
        One row a figure.
    """
    figures = entries(section(results, "task"), "published")
    return Sheet(
        columns=("model", "figure", "unit", "source"),
        rows=[
            [
                words(figure, "model", ABSENT),
                number(value(figure, "value")),
                words(figure, "unit", ABSENT),
                words(figure, "source", ABSENT),
            ]
            for figure in figures
        ],
        prose=(3,),
    )


def data_sheet(results: Results) -> Sheet:
    """Tabulate the data: how much there is of each split, and its hash.

    Args:
        results: The results of a study.

    Returns:
        One row a split.
    """
    splits = section(section(results, "task"), "splits")
    parts = {printable(str(name)): section(splits, name) for name in splits}
    return Sheet(
        columns=("split", "sequences", "steps", "SHA-256"),
        rows=[
            [
                name,
                number(value(part, "sequences")),
                number(value(part, "steps")),
                words(part, "hash", ABSENT),
            ]
            for name, part in parts.items()
        ],
        prose=(3,),
    )
