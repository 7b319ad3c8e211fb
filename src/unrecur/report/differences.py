"""Where the families differ: the best of each, sequence by sequence of the test split."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from unrecur.report.rows import (
    Results,
    Row,
    by_model,
    lower_is_better,
    series,
    value,
    values,
    words,
)
from unrecur.report.series import thinned
from unrecur.report.sheets import DIGITS, Sheet
from unrecur.report.spread import mean_interval
from unrecur.report.style import COLOURS, GREY, SHADE, canvas, label
from unrecur.report.text import number, percent
from unrecur.report.wording import comparisons

MOST_MARKS = 400  # of a picture of sequences; of more, some evenly spaced ones are drawn


@dataclass(frozen=True)
class Differences:
    """Two models on the same test sequences.

    Args:
        feed_forward: The one.
        recurrent: The other.
        pairs: For each sequence its number and both losses, summed over its steps, means over
            seeds; in order of their ratio.
    """

    feed_forward: str
    recurrent: str
    pairs: Sequence[tuple[int, float, float]]

    def better(self) -> int:
        """Count the sequences on which the feed-forward model has the lower loss.

        Returns:
            How many.
        """
        return sum(ours < theirs for _, ours, theirs in self.pairs)


def differences(results: Results) -> Differences | None:
    """Compare the best feed-forward with the best recurrent model, sequence by sequence.

    Args:
        results: The results of a study.

    Returns:
        The comparison; None where their losses by sequence are not known.
    """
    groups = by_model(results)
    losses = {model: found for model, rows in groups.items() if (found := sequence_losses(rows))}
    for ours, theirs in _candidates(results, groups):
        if ours in losses and theirs in losses and len(losses[ours]) == len(losses[theirs]):
            pairs = [
                (place, mine, other)
                for place, (mine, other) in enumerate(
                    zip(losses[ours], losses[theirs], strict=True)
                )
                if other > 0
            ]
            pairs.sort(key=lambda pair: pair[1] / pair[2])
            return Differences(ours, theirs, pairs) if pairs else None
    return None


def _candidates(results: Results, groups: dict[str, list[Row]]) -> list[tuple[str, str]]:
    """Name the pairs of the verdict, the first first, and then the best of each family."""
    pairs = [(words(p, "feed_forward"), words(p, "recurrent")) for p in comparisons(results)]
    sign = 1 if lower_is_better(results) else -1
    best: dict[str, tuple[float, str]] = {}
    for model, rows in groups.items():
        if found := mean_interval(values(rows, "metric", "test"), 0.5):
            family = words(rows[0], "family")
            best[family] = min(best.get(family, (float("inf"), "")), (sign * found.mean, model))
    if "feed-forward" in best and "recurrent" in best:
        pairs.append((best["feed-forward"][1], best["recurrent"][1]))
    return pairs


def sequence_losses(rows: Sequence[Row]) -> list[float]:
    """Average the losses of each test sequence over the seeds of a model.

    Args:
        rows: The rows of the model.

    Returns:
        A number for each sequence; none where a row's are missing or of another number.
    """
    seeds = [series(row, "test_losses") for row in rows]
    if not seeds or not seeds[0] or any(len(each) != len(seeds[0]) for each in seeds):
        return []
    means = []
    for of_sequence in zip(*seeds, strict=True):
        known = [loss for loss in of_sequence if loss is not None and loss >= 0]
        if len(known) < len(seeds):
            return []
        means.append(sum(known) / len(seeds))
    return means


def _shown(found: Differences) -> list[tuple[float, tuple[int, float, float]]]:
    """Choose what is drawn: for each its place among all, from 0 to 1, and the pair."""
    count = len(found.pairs)
    placed = [((place + 0.5) / count, pair) for place, pair in enumerate(found.pairs)]
    return thinned(placed, MOST_MARKS)


def differences_figure(results: Results) -> go.Figure | None:
    """Draw the relative difference of each test sequence, in order.

    Args:
        results: The results of a study.

    Returns:
        The figure, or None where the losses by sequence are not known.
    """
    found = differences(results)
    if found is None:
        return None
    shown = _shown(found)
    share = percent(found.better() / len(found.pairs))
    title = (
        f"{found.feed_forward} against {found.recurrent}, relative difference of the loss: "
        f"lower on {share} of the sequences"
    )
    figure = canvas([title], height=380)
    figure.add_trace(
        go.Scatter(
            x=[place for place, _ in shown],
            y=[ours / theirs - 1 for _, (_, ours, theirs) in shown],
            mode="lines+markers",
            line={"color": COLOURS[0], "width": 1},
            marker={"color": COLOURS[0], "size": 5},
            customdata=[sequence for _, (sequence, _, _) in shown],
            name=label(title),
            hovertemplate="test sequence %{customdata}: %{y:+.2%}<extra></extra>",
            showlegend=False,
        )
    )
    margin = value(results, "verdict", "margin")
    if margin is not None:
        figure.add_hrect(y0=-margin, y1=margin, fillcolor=SHADE, line_width=0, layer="below")
    figure.add_hline(y=0, line={"color": GREY, "width": 1})
    figure.update_xaxes(range=[0, 1], tickformat=".0%", title_text="test sequences, sorted")
    figure.update_yaxes(tickformat="+.3~p", nticks=7)
    return figure


def differences_sheet(results: Results) -> Sheet:
    """Tabulate the differences that are drawn.

    Args:
        results: The results of a study.

    Returns:
        One row a test sequence.
    """
    found = differences(results)
    if found is None:
        return Sheet((), ())
    return Sheet(
        columns=("test sequence", found.feed_forward, found.recurrent, "difference"),
        rows=[
            [
                str(sequence),
                *(number(loss, DIGITS) for loss in (ours, theirs)),
                percent(ours / theirs - 1, sign=True),
            ]
            for _, (sequence, ours, theirs) in _shown(found)
        ],
    )
