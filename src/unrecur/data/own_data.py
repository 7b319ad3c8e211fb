"""Your own data: the task that a table and a column of it make."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unrecur._check import InputError, extra
from unrecur.data.forecasting import forecasting_task
from unrecur.data.present_step import classification_task, regression_task
from unrecur.data.splitting import FRACTIONS, Splitting
from unrecur.data.table import read_table
from unrecur.data.task import Task


def own_data_task(
    path: Path | str,
    target: str | Sequence[str],
    time: str | None = None,
    id: str | None = None,
    horizon: int | Sequence[int] | None = None,
    season: int = 1,
    inputs: Sequence[str] | None = None,
    static: Sequence[str] = (),
    known: Sequence[str] = (),
    quantiles: Sequence[float] = (),
    frequency: str | float | None = None,
    split: Splitting = FRACTIONS,
    length: int | None = None,
    context: int | None = None,
) -> Task:
    """Make a task of a table: the one call under `unrecur study my.csv --target load`.

    A horizon of 1 or more forecasts the target, from differences over one season and as such a
    difference (see `forecasting_task`); 0 predicts it from the other columns of the same step: its
    class where it is text or holds zeros and ones only, else its value.

    Args:
        path: A file that `read_table` reads.
        target: The column to predict, or several to forecast.
        time: The column of times; None where rows are steps.
        id: The column that tells series apart; None for one series.
        horizon: How many steps ahead, or a list of which; None for 1, or 0 where the target is
            text.
        season: How many steps back the naive forecast looks, and differences are taken.
        inputs: The other columns that are given; None for all.
        static: Columns with one value in each series.
        known: Columns whose future is known.
        quantiles: Which quantiles are forecast; none for one forecast.
        frequency: How long a step is; None for the commonest step.
        split: Fractions of the steps, numbers of steps, or two times.
        length: How many steps are predicted in a sequence; None chooses.
        context: How many steps before them are read; None chooses.

    Returns:
        The task.

    Raises:
        InputError: The table is malformed, a column is missing or unusable, a split is empty, or
            an option has no meaning at the present step.
    """
    options: dict[str, Any] = {
        "time": time,
        "id": id,
        "inputs": inputs,
        "static": static,
        "frequency": frequency,
        "split": split,
        "length": length,
        "context": context,
    }
    classes = isinstance(target, str) and horizon in (None, 0) and _holds_classes(path, target)
    if horizon == 0 or (horizon is None and classes == "text"):
        if not isinstance(target, str) or known or quantiles or season != 1:
            raise InputError(
                "at the present step (horizon 0, and where the target is text) one column is "
                "predicted, without known columns, quantiles or a season. Leave them out, or give "
                "a horizon of 1 or more."
            )
        task = classification_task if classes else regression_task
        return task(path, target=target, **options)
    return forecasting_task(
        path,
        target=target,
        horizon=1 if horizon is None else horizon,
        season=season,
        known=known,
        quantiles=quantiles,
        **options,
    )


def _holds_classes(path: Path | str, target: str) -> str:
    """Say whether a column holds text ("text"), zeros and ones ("binary") or else numbers ("")."""
    polars = extra("polars", "tables")
    column = read_table(path, [target]).frame[target]
    if column.dtype == polars.String:
        return "text"
    return "binary" if column.drop_nulls().is_in([0.0, 1.0]).all() else ""
