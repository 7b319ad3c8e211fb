"""The tables of a comparison."""

from unrecur.report.rows import Results, Row, by_model, entries, section, value, words
from unrecur.report.sheets import DIGITS, Sheet
from unrecur.report.text import ABSENT, number, percent, printable

MEASURED = ("valid", "last_valid", "test", "epochs_to_level", "seconds_to_level")


def arms_sheet(results: Results) -> Sheet:
    """Tabulate the arms.

    Args:
        results: The results of a comparison.

    Returns:
        One row an arm.
    """
    level = number(value(results, "comparison", "level"), 2)
    heads = ("best validation", "last validation", "test", f"epochs to {level}", "seconds to it")
    counts = ("parameters", "seeds", "diverged", "reached")
    return Sheet(
        columns=("arm", "size", "seeds", "diverged", f"reached {level}", *heads),
        rows=[
            [words(arm, "arm", ABSENT)]
            + [number(value(arm, key)) for key in counts]
            + [over_seeds(section(arm, key)) for key in MEASURED]
            for arm in entries(results, "arms")
        ],
    )


def settings_sheet(results: Results) -> Sheet:
    """Tabulate what the models and the training of the arms are, where they differ.

    Args:
        results: The results of a comparison.

    Returns:
        One row a setting, one column an arm.
    """
    arms = trained(results)
    return Sheet(
        columns=("setting", *arms),
        rows=[
            [name, *(found.get(name, ABSENT) for found in arms.values())]
            for name in dict.fromkeys(name for found in arms.values() for name in found)
            if len({found.get(name) for found in arms.values()}) > 1
        ],
        prose=range(1, 1 + len(arms)),
    )


def trained(results: Results) -> dict[str, dict[str, str]]:
    """Say what each arm is, as its first row has it.

    Args:
        results: The results of a comparison.

    Returns:
        For each arm the model, its options and the settings of its training.
    """
    return {arm: _trained(rows[0]) for arm, rows in by_model(results).items()}


def _trained(row: Row) -> dict[str, str]:
    """Say what the arm of a row is."""
    spec, training = section(row, "spec"), section(row, "training")
    found = {"model": spec.get("name"), **section(spec, "options"), **training}
    objective = section(training, "objective")
    if objective:
        options = [f"{name}={chosen}" for name, chosen in objective.items() if name != "name"]
        found["objective"] = f"{words(objective, 'name')}({', '.join(options)})"
    return {printable(str(name)): words(found, name, ABSENT) for name in found}


def over_seeds(found: Row) -> str:
    """Write a median with the lowest and the highest seed.

    Args:
        found: The three; empty where there are none.

    Returns:
        The text.

    Example:
        >>> over_seeds({"median": 2.0, "low": 1.5, "high": 2.5})
        '2.00 [1.50, 2.50]'
    """
    if value(found, "median") is None:
        return ABSENT
    middle, low, high = (number(value(found, key), 3) for key in ("median", "low", "high"))
    return f"{middle} [{low}, {high}]"


def differences_sheet(results: Results) -> Sheet:
    """Tabulate the differences from the reference.

    Args:
        results: The results of a comparison.

    Returns:
        One row an arm but the reference.
    """
    return Sheet(
        columns=("arm", "against", "seeds", "difference", "interval from", "to"),
        rows=[
            [words(entry, "arm", ABSENT), words(entry, "reference", ABSENT)]
            + [number(value(entry, "seeds"))]
            + [percent(value(entry, k), sign=True) for k in ("relative_difference", "low", "high")]
            for entry in entries(results, "differences")
        ],
        names=2,
    )


def curves_sheet(results: Results) -> Sheet:
    """Tabulate the learning curves.

    Args:
        results: The results of a comparison.

    Returns:
        One row an epoch of a seed of an arm.
    """
    return Sheet(
        columns=("arm", "seed", "epoch", "train", "validation", "seconds"),
        rows=[
            [arm, words(row, "seed", ABSENT), number(value(entry, "epoch"))]
            + [number(value(entry, key), DIGITS) for key in ("train", "valid")]
            + [number(value(entry, "seconds"), 3)]
            for arm, rows in by_model(results).items()
            for row in rows
            for entry in entries(row, "history")
        ],
        names=3,
    )


def runs_sheet(results: Results) -> Sheet:
    """Tabulate every arm and seed.

    Args:
        results: The results of a comparison.

    Returns:
        One row a seed of an arm.
    """
    return Sheet(
        columns=("arm", "seed", "best epoch", "validation", "test", "seconds", "diverged in"),
        rows=[
            [arm, words(row, "seed", ABSENT), number(value(row, "best_epoch"))]
            + [number(value(row, "metric", key), DIGITS) for key in ("valid", "test")]
            + [number(value(row, "seconds"), 3), words(row, "diverged", ABSENT)]
            for arm, rows in by_model(results).items()
            for row in rows
        ],
        names=2,
    )
