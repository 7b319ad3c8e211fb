"""The end of a study in the terminal: the summary, the verdict, the truncation."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unrecur.report.rows import Results, lines, matched, section, words
from unrecur.report.summary import Summary, scores_of, summarise
from unrecur.report.text import ABSENT, compact, microseconds, number, shorten
from unrecur.report.wording import (
    answer,
    compared,
    comparisons,
    interval,
    metric_title,
    rule,
    truncation_sentence,
)

LONGEST_NAME = 18
STYLES = {"needed": "bold yellow", "spared": "bold green"}


def summary_table(results: Results) -> Table:
    """Make the summary table of a study, for a terminal of 80 columns.

    Args:
        results: The results of a study.

    Returns:
        The table, one line a model.

    Raises:
        InputError: These are no results of a study.
    """
    # Text, not str, everywhere: rich would read the brackets of a name as markup.
    title = words(section(results, "task"), "title", "Summary")
    caption = Text(f"{metric_title(results, 'test')}, mean ± deviation over seeds")
    table = Table(title=Text(title), caption=caption, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", no_wrap=True)
    first = list(scores_of(results))[:1]  # the page has them all
    heads = ("size", "test", *first, "train steps/s", "step \N{MICRO SIGN}s")
    for head in (*heads, "least k"):
        table.add_column(Text(head), justify="right", no_wrap=head in {"size", "test"})
    table.add_column("evidence", overflow="fold")
    for line in summarise(results):
        table.add_row(*map(Text, _cells(line)))
    return table


def print_results(results: Results, console: Console) -> None:
    """Print what a study found: the summary table, the verdict with its reasons, the truncation.

    Args:
        results: The results of a study.
        console: Where to.

    Raises:
        InputError: These are no results of a study.
    """
    results = matched(results)
    console.print(summary_table(results))
    found, verdict = answer(results), section(results, "verdict")
    console.print(Text(f"{found.symbol} {found.headline}", STYLES.get(found.kind, "bold")))
    said = [words(verdict, "headline")]
    said += [f"{interval(pair)}  {compared(pair, results)}" for pair in comparisons(results)]
    said += [rule(results), *(f"- {reason}" for reason in lines(verdict, "reasons"))]
    for sentence in [*said, truncation_sentence(results)]:
        if sentence:
            console.print(Text(sentence))


def _cells(line: Summary) -> list[str]:
    spread = f" ± {number(line.spread, 2)}" if line.spread is not None else ""
    return [
        shorten(line.model, LONGEST_NAME),
        compact(line.parameters),
        number(line.test) + spread,
        *map(number, list(line.scores.values())[:1]),
        compact(line.train_rate),
        microseconds(line.step_seconds),
        number(line.least_k),
        line.evidence or ABSENT,
    ]
