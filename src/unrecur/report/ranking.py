"""The models of a study in order of their test metric, each with its interval."""

from dataclasses import dataclass

from unrecur.report.rows import Results, by_model, lower_is_better, values, words
from unrecur.report.sheets import DIGITS, SPLITS, STEP_TIME, Sheet
from unrecur.report.spread import Interval, confidence_of, mean_interval
from unrecur.report.summary import Summary, scores_of, summarise
from unrecur.report.text import ABSENT, microseconds, number
from unrecur.report.wording import comparisons, interval


@dataclass(frozen=True)
class Rank:
    """A model and its place.

    Args:
        place: 1 for the best; None where it was not tested.
        summary: What the study found for it.
        test: Its test metric over seeds.
        against: Its difference from the best recurrent model, as the verdict has it.
    """

    place: int | None
    summary: Summary
    test: Interval | None
    against: str


def ranking(results: Results) -> list[Rank]:
    """Rank the models of a study by the mean of their test metric over seeds.

    Args:
        results: The results of a study.

    Returns:
        The models, the best first; those that were not tested last.
    """
    confidence = confidence_of(results)
    tests = {
        model: mean_interval(values(rows, "metric", "test"), confidence)
        for model, rows in by_model(results).items()
    }
    against = {words(pair, "feed_forward"): interval(pair) for pair in comparisons(results)}
    sign = 1 if lower_is_better(results) else -1

    def order(line: Summary) -> tuple[bool, float]:
        found = tests[line.model]
        return found is None, 0.0 if found is None else sign * found.mean

    return [
        Rank(
            place if tests[line.model] else None,
            line,
            tests[line.model],
            against.get(line.model, ABSENT),
        )
        for place, line in enumerate(sorted(summarise(results), key=order), start=1)
    ]


def ranking_sheet(results: Results) -> Sheet:
    """Tabulate the ranking of a study.

    Args:
        results: The results of a study.

    Returns:
        One row a model, the best first.
    """
    scores = scores_of(results)
    recurrent = {words(pair, "recurrent") for pair in comparisons(results)}
    best = recurrent.pop() if len(recurrent) == 1 else "the best recurrent"
    test = ("test", "interval of test", f"against {best}", *SPLITS[:2], "spread of test")
    rest = ("seeds", "parameters", *scores.values(), "training, steps/s", STEP_TIME, "least k")
    return Sheet(
        columns=("model", "rank", "family", *test, *rest),
        rows=[_cells(rank, list(scores)) for rank in ranking(results)],
        about=(0,),
    )


def _cells(rank: Rank, scores: list[str]) -> list[str]:
    line = rank.summary
    return [
        line.model,
        number(rank.place),
        line.family,
        number(line.test, DIGITS),
        rank.test.text() if rank.test else ABSENT,
        rank.against,
        *(number(x) for x in (line.train, line.valid)),
        number(line.spread, 2),
        str(line.seeds),
        number(line.parameters),
        *(number(line.scores[name]) for name in scores),
        number(line.train_rate),
        microseconds(line.step_seconds),
        number(line.least_k),
    ]
