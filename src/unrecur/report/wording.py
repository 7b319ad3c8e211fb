"""What a study says in sentences: the same on the page, in figures and in the terminal."""

from dataclasses import dataclass

from unrecur.report.rows import (
    Results,
    Row,
    entries,
    lines,
    lower_is_better,
    section,
    value,
    words,
)
from unrecur.report.style import label
from unrecur.report.text import ABSENT, number, percent


@dataclass(frozen=True)
class Answer:
    """The verdict in a few words.

    Args:
        symbol: A sign that says the same without colour: a loop, an arrow straight on, a question.
        headline: The words.
        kind: What the page's styles call it.
    """

    symbol: str
    headline: str
    kind: str


NEEDED = Answer("↻", "Recurrence is needed", "needed")
NOT_NEEDED = Answer("→", "Recurrence is not needed", "spared")
UNDECIDED = Answer("?", "Undecided", "undecided")
OPEN = Answer("…", "No verdict yet", "open")
ANSWERS = {"needed": NEEDED, "not needed": NOT_NEEDED, "undecided": UNDECIDED}


def answer(results: Results) -> Answer:
    """Say whether recurrence is needed.

    Args:
        results: The results of a study.

    Returns:
        The answer; that there is none yet, where the study did not come to a verdict.

    Example:
        >>> answer({"verdict": {"answer": "needed"}}).headline, answer({}).headline
        ('Recurrence is needed', 'No verdict yet')
    """
    return ANSWERS.get(words(section(results, "verdict"), "answer"), OPEN)


def unit(results: Results) -> str:
    """Name the unit of the task's metric, with a space before it.

    Args:
        results: The results of a study.

    Returns:
        The unit, empty where there is none.
    """
    name = words(section(results, "task"), "unit")
    return f" {name}" if name else ""


def metric_title(results: Results, split: str) -> str:
    """Name the metric of the task on one split, with its unit and direction.

    Args:
        results: The results of a study.
        split: The split.

    Returns:
        The title.

    Example:
        >>> metric_title({"task": {"metric": "loss", "unit": "nats"}}, "test")
        'Test loss, nats (lower is better)'
    """
    name = f"{split} {words(section(results, 'task'), 'metric', 'metric')}"
    measured_in = f",{unit(results)}" if unit(results) else ""
    better = "lower" if lower_is_better(results) else "higher"
    return f"{name[0].upper()}{name[1:]}{measured_in} ({better} is better)"


def metric_name(results: Results, split: str) -> str:
    """Name the metric of the task on one split in the room that an upright axis has.

    Args:
        results: The results of a study.
        split: The split.

    Returns:
        The name, without unit and direction, as a figure writes it.

    Example:
        >>> metric_name({"task": {"metric": "loss", "unit": "nats"}}, "test")
        'test loss'
    """
    return label(f"{split} {words(section(results, 'task'), 'metric', 'metric')}", 38)


def interval(comparison: Row) -> str:
    """Write a relative difference with its interval.

    Args:
        comparison: A comparison of the verdict.

    Returns:
        The text.

    Example:
        >>> interval({"relative_difference": 0.01, "low": 0.004, "high": 0.016})
        '+1.00% [+0.40%, +1.60%]'
    """
    keys = ("relative_difference", "low", "high")
    middle, low, high = (_difference(value(comparison, key)) for key in keys)
    return f"{middle} [{low}, {high}]"


def _difference(found: float | None) -> str:
    """Write a relative difference to the hundredth of a percent; a large one to fewer digits."""
    if found is None or abs(found) >= 1:
        return percent(found, sign=True)
    return f"{100 * found:+.2f}%".replace("-", "\N{MINUS SIGN}")


def comparisons(results: Results) -> list[Row]:
    """Look up the comparisons between families that the verdict rests on.

    Args:
        results: The results of a study.

    Returns:
        The comparisons; none without a verdict.
    """
    return entries(section(results, "verdict"), "comparisons")


def compared(comparison: Row, results: Results) -> str:
    """Say which two models a comparison compares, and their metrics.

    Args:
        comparison: A comparison of the verdict.
        results: The results of a study.

    Returns:
        The words, no full sentence.
    """
    parts = (
        f"{words(comparison, kind, ABSENT)} ({number(value(comparison, f'{kind}_metric'))})"
        for kind in ("feed_forward", "recurrent")
    )
    return " against ".join(parts) + unit(results)


def rule(results: Results) -> str:
    """Say by which rule the intervals decide.

    Args:
        results: The results of a study.

    Returns:
        One sentence; empty without a verdict.
    """
    verdict = section(results, "verdict")
    margin, confidence = value(verdict, "margin"), value(verdict, "confidence")
    if margin is None or confidence is None:
        return ""
    return (
        f"All intervals together hold with {percent(confidence)} confidence; "
        f"a difference within ±{percent(margin)} counts as none."
    )


def consequences(results: Results) -> dict[str, list[str]]:
    """Say what follows from the verdict: what is given up, what is gained, what would decide.

    Args:
        results: The results of a study.

    Returns:
        Sentences by their heading; headings without any are left out.

    Example:
        >>> consequences({"verdict": {"pays_until": 8, "gains": []}})
        {'Where recurrence pays': ['Recurrence stops paying at k = 8 inputs.']}
    """
    verdict = section(results, "verdict")
    k, power = value(verdict, "pays_until"), words(section(verdict, "power"), "sentence")
    said = {
        "What you give up without recurrence": lines(verdict, "gives_up"),
        "What you gain": lines(verdict, "gains"),
        "Where recurrence pays": []
        if k is None
        else [f"Recurrence stops paying at k = {k:,.0f} input{'s' * (k != 1)}."],
        "What would decide": [power] if power else [],
    }
    return {heading: sentences for heading, sentences in said.items() if sentences}


def truncation_sentence(results: Results) -> str:
    """Say how few inputs are enough, and what seeing no more costs.

    Args:
        results: The results of a study.

    Returns:
        One or two sentences.
    """
    found = section(results, "truncation")
    k, metric, full = (value(found, key) for key in ("k", "metric", "full_metric"))
    if k is None:
        return "No window is known in which a model stays within the tolerance."
    model = words(found, "model", "a model")
    return (
        f"The least window within {percent(value(found, 'tolerance'))} of the metric of {model}, "
        f"chosen on the validation split, is k = {k:.0f} inputs. On the test split it then has "
        f"{number(metric)} against {number(full)}{unit(results)} with all inputs. {_error(found)}"
    )


def _error(truncation: Row) -> str:
    error, bound = value(truncation, "output_error_max"), value(truncation, "bound")
    seen = "was not measured" if error is None else f"is at most {number(error, 2)} as measured"
    proved = (
        "no bound is certified" if bound is None else f"the certified bound is {number(bound, 2)}"
    )
    return f"The error of its output {seen}; {proved}."
