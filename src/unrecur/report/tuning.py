"""The tuning of a study: its draws, the best of each model, and which hyperparameters mattered."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from unrecur.report.rows import Results, entries, lower_is_better, section, value, words
from unrecur.report.series import thinned
from unrecur.report.text import printable

if TYPE_CHECKING:
    import optuna

FEWEST_DRAWS = 8  # of a model, below which an importance would be made of chance
MOST_DRAWS = 1000  # that an importance is made of: more change nothing that can be seen
WIDE = 5.0  # a factor between the ends of a range that may have been drawn in logarithms
Setting = float | str


@dataclass(frozen=True)
class Draw:
    """One draw of hyperparameters.

    Args:
        model: The model.
        number: Which draw.
        settings: The hyperparameters by name.
        valid: The validation metric; None where there is none.
        state: "complete", "pruned" or "failed".
        seconds: How long it took.
    """

    model: str
    number: float | None
    settings: dict[str, Setting]
    valid: float | None
    state: str
    seconds: float | None


def draws(results: Results) -> dict[str, list[Draw]]:
    """Read the draws of a study.

    Args:
        results: The results of a study.

    Returns:
        The draws of each model; none where nothing was tuned.
    """
    found: dict[str, list[Draw]] = {}
    for entry in entries(results, "tuning"):
        draw = Draw(
            model=words(entry, "model", "a model"),
            number=value(entry, "number"),
            settings=_settings(section(entry, "params")),
            valid=value(entry, "valid"),
            state=words(entry, "state", "complete"),
            seconds=value(entry, "seconds"),
        )
        found.setdefault(draw.model, []).append(draw)
    return found


def _settings(given: Any) -> dict[str, Setting]:
    found: dict[str, Setting] = {}
    for name in given:
        number = value(given, name)
        if number is not None:
            found[printable(str(name))] = float(number)
        elif given[name] is not None:
            found[printable(str(name))] = words(given, name)
    return found


def finished(found: Sequence[Draw]) -> list[Draw]:
    """Keep the draws that were trained to their end.

    Args:
        found: The draws of a model.

    Returns:
        Those that are complete and have a metric.
    """
    return [draw for draw in found if draw.state == "complete" and draw.valid is not None]


def importances(results: Results) -> dict[str, dict[str, float]]:
    """Say which share of what tuning gained each hyperparameter has, by PED-ANOVA.

    It compares where the best tenth of the draws lies with where all lie (Watanabe, Bansal and
    Hutter, IJCAI 2023).

    Args:
        results: The results of a study.

    Returns:
        For each model with enough draws the shares by hyperparameter, which add up to 1.
    """
    least = lower_is_better(results)
    found = {
        model: _importance(thinned(finished(all_), MOST_DRAWS), least)
        for model, all_ in draws(results).items()
    }
    return {model: shares for model, shares in found.items() if shares}


def _importance(found: Sequence[Draw], least: bool) -> dict[str, float]:
    shared = set.intersection(*(set(draw.settings) for draw in found)) if found else set()
    columns = {name: [draw.settings[name] for draw in found] for name in sorted(shared)}
    varied = {name: settings for name, settings in columns.items() if len(set(settings)) > 1}
    if len(found) < FEWEST_DRAWS or len({draw.valid for draw in found}) < 2 or not varied:
        return {}
    if len(varied) == 1:
        return dict.fromkeys(varied, 1.0)
    import optuna

    spaces = {name: _space(settings) for name, settings in varied.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    study = optuna.create_study(
        direction="minimize" if least else "maximize", storage=_quiet_storage(optuna)
    )
    study.add_trials(
        [
            optuna.trial.create_trial(
                value=draw.valid,
                params={name: _spoken(draw.settings[name], spaces[name]) for name in varied},
                distributions=spaces,
            )
            for draw in found
        ]
    )
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in shares.items() if share == share}


def _quiet_storage(optuna: Any) -> Any:
    """Make a storage in memory, without the line that optuna logs for each new study."""
    optuna.logging.get_logger("optuna.storages._in_memory").setLevel(optuna.logging.WARNING)
    return optuna.storages.InMemoryStorage()


def _space(settings: Sequence[Setting]) -> "optuna.distributions.BaseDistribution":
    """Guess from what a hyperparameter was drawn."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if not all(isinstance(each, float) for each in settings):
        return CategoricalDistribution(sorted({str(each) for each in settings}))
    numbers = [float(each) for each in settings]
    return FloatDistribution(min(numbers), max(numbers), log=is_wide(numbers))


def _spoken(setting: Setting, space: Any) -> Setting:
    return str(setting) if hasattr(space, "choices") else setting


def is_wide(numbers: Sequence[float]) -> bool:
    """Say whether a hyperparameter is to be looked at in logarithms.

    Args:
        numbers: Its values.

    Returns:
        Whether they are positive and far apart, and their median is nearer to the geometric
        middle of their range than to the arithmetic one: so numbers lie that were drawn that way.
    """
    low, high, middle = min(numbers), max(numbers), median(numbers)
    if not 0 < WIDE * low < high:
        return False
    return middle < math.sqrt((low + high) / 2 * math.sqrt(low * high))
