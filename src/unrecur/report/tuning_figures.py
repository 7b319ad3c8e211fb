"""The figures and tables of a study's tuning."""

from collections.abc import Sequence

import plotly.graph_objects as go

from unrecur.report.rows import Results, lower_is_better
from unrecur.report.series import thinned
from unrecur.report.sheets import DIGITS, Sheet
from unrecur.report.style import Look, canvas, label, look, looks
from unrecur.report.text import number, percent
from unrecur.report.tuning import Draw, Setting, draws, finished, importances, is_wide
from unrecur.report.wording import metric_name

MOST_PANELS = 4  # side by side
MOST_MARKS = 1500  # of a panel
MARK_SIZES = (7, 15)  # of a draw, and of the ring around a model's best


def draws_figure(results: Results) -> go.Figure | None:
    """Draw the validation metric of each draw against each hyperparameter.

    Args:
        results: The results of a study.

    Returns:
        The figure, or None where nothing was tuned.
    """
    found = {model: ended for model, all_ in draws(results).items() if (ended := finished(all_))}
    panels = _panels(found)
    if not panels:
        return None
    figure = canvas([f"Against {name}" for name in panels], height=400, gap=0.06)
    drawn = _looks(results, found)
    named: set[str] = set()
    most = max(MOST_MARKS // len(found), 2)
    for panel, name in enumerate(panels, start=1):
        for model, ended in found.items():
            with_it = [draw for draw in ended if name in draw.settings]
            if with_it:
                shown = thinned(with_it, most)
                marks = _marks(shown, name, drawn[model], model not in named)
                figure.add_trace(marks, row=1, col=panel)
                best = best_draw(with_it, lower_is_better(results))
                figure.add_trace(_ring(best, name, drawn[model]), row=1, col=panel)
                named.add(model)
        figure.update_xaxes(title_text=label(name), **_axis(found, name), row=1, col=panel)
    figure.update_yaxes(matches="y", nticks=6)
    figure.update_yaxes(title_text=metric_name(results, "validation"), row=1, col=1)
    return figure


def best_draw(found: Sequence[Draw], least: bool) -> Draw:
    """Choose the best of some draws.

    Args:
        found: Draws with a metric.
        least: Whether lower is better.

    Returns:
        The best; of equals, the first.
    """
    sign = 1 if least else -1
    return min(found, key=lambda draw: sign * (draw.valid or 0.0))


def _panels(found: dict[str, list[Draw]]) -> list[str]:
    """Choose the hyperparameters that are drawn: the first of those that vary."""
    values: dict[str, set[Setting]] = {}
    for ended in found.values():
        for draw in ended:
            for name, setting in draw.settings.items():
                values.setdefault(name, set()).add(setting)
    return [name for name, settings in values.items() if len(settings) > 1][:MOST_PANELS]


def _axis(found: dict[str, list[Draw]], name: str) -> dict[str, object]:
    settings = [d.settings[name] for ended in found.values() for d in ended if name in d.settings]
    numbers = [each for each in settings if isinstance(each, float)]
    if len(numbers) < len(settings):
        return {"type": "category"}
    return {"type": "log" if is_wide(numbers) else "linear", "nticks": 4}


def _looks(results: Results, models: Sequence[str] | dict[str, list[Draw]]) -> dict[str, Look]:
    """Give each tuned model its look, that of its rows where it has any."""
    known = looks(results)
    return {model: known.get(model) or look(model, at) for at, model in enumerate(models)}


def _marks(found: Sequence[Draw], name: str, drawn: Look, named: bool) -> go.Scatter:
    return go.Scatter(
        x=[draw.settings[name] for draw in found],
        y=[draw.valid for draw in found],
        mode="markers",
        marker={"symbol": drawn.symbol, "size": MARK_SIZES[0], "color": drawn.faint(0.6)},
        name=drawn.name,
        legendgroup=drawn.name,
        showlegend=named,
        hovertemplate=f"%{{fullData.name}}<br>{label(name)}: %{{x}}<br>%{{y:.4g}}<extra></extra>",
    )


def _ring(best: Draw, name: str, drawn: Look) -> go.Scatter:
    return go.Scatter(
        x=[best.settings[name]],
        y=[best.valid],
        mode="markers",
        marker={
            "symbol": "circle-open",
            "size": MARK_SIZES[1],
            "color": drawn.colour,
            "line": {"width": 2.5},
        },
        name=drawn.name,
        legendgroup=drawn.name,
        showlegend=False,
        hoverinfo="skip",
    )


def draws_sheet(results: Results) -> Sheet:
    """Tabulate the draws of a study, with the ones that came to no end.

    Args:
        results: The results of a study.

    Returns:
        One row a draw.
    """
    found = draws(results)
    names = list(
        dict.fromkeys(name for all_ in found.values() for d in all_ for name in d.settings)
    )
    return Sheet(
        columns=("model", "draw", "validation metric", "state", "seconds", *names),
        rows=[
            [
                model,
                number(draw.number),
                number(draw.valid, DIGITS),
                draw.state,
                number(draw.seconds, 3),
                *(_setting(draw.settings.get(name)) for name in names),
            ]
            for model, all_ in found.items()
            for draw in all_
        ],
        names=2,
        about=(0,),
    )


def _setting(setting: Setting | None) -> str:
    return setting if isinstance(setting, str) else number(setting)


def importance_figure(results: Results) -> go.Figure | None:
    """Draw the share that each hyperparameter has in what tuning gained.

    Args:
        results: The results of a study.

    Returns:
        The figure, or None where no model was tuned with enough draws.
    """
    found = importances(results)
    if not found:
        return None
    names = list(dict.fromkeys(name for shares in found.values() for name in shares))
    bars = len(names) * (len(found) + 1)
    title = "Share of what the best draws owe to each hyperparameter"
    figure = canvas([title], height=min(900, 130 + 16 * bars))
    drawn = _looks(results, list(found))
    for model, shares in found.items():
        figure.add_trace(
            go.Bar(
                x=[shares.get(name) for name in names],
                y=[label(name) for name in names],
                orientation="h",
                marker={"color": drawn[model].colour},
                name=drawn[model].name,
                legendgroup=drawn[model].name,
                showlegend=True,
                hovertemplate="%{fullData.name}, %{y}: %{x:.1%}<extra></extra>",
            )
        )
    figure.update_layout(barmode="group", bargap=0.25)
    figure.update_xaxes(tickformat=".0%", rangemode="tozero", nticks=6)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def importance_sheet(results: Results) -> Sheet:
    """Tabulate the importance of hyperparameters.

    Args:
        results: The results of a study.

    Returns:
        One row a hyperparameter of a model.
    """
    counts = {model: len(finished(all_)) for model, all_ in draws(results).items()}
    return Sheet(
        columns=("model", "hyperparameter", "share", "finished draws"),
        rows=[
            [model, name, percent(share), number(counts[model])]
            for model, shares in importances(results).items()
            for name, share in shares.items()
        ],
        names=2,
        about=(0,),
    )
