"""Series that the literature knows, from their files."""

from pathlib import Path

from unrecur.data.forecasting import forecasting_task
from unrecur.data.places import find
from unrecur.data.present_step import classification_task
from unrecur.data.task import Task

FOLDER = "timeseries"


def etth1(data_dir: Path | None = None) -> Task:
    """Load the oil temperature of an electricity transformer (Zhou et al. 2021, arXiv 2012.07436).

    One day ahead by the hour, from all seven columns, with the customary split: 12, 4 and 4 months
    of 30 days.

    Args:
        data_dir: The folder with ETTh1.csv, or the one above it.

    Returns:
        The task.

    Raises:
        InputError: The file is missing or malformed.
    """
    return forecasting_task(
        find(data_dir, FOLDER, "ETTh1.csv"),
        target="OT",
        time="date",
        horizon=24,
        season=24,
        split=(8640, 2880, 2880),
        name="etth1",
    )


def occupancy(data_dir: Path | None = None) -> Task:
    """Load whether a room is occupied, by the minute (Candanedo and Feldheim 2016).

    Args:
        data_dir: The folder with the three files of the set, or the one above it.

    Returns:
        The task: classification of each minute from temperature, humidity, light and CO2. The
        validation split is `datatest`, the test split `datatest2`.

    Raises:
        InputError: A file is missing or malformed.
    """
    files = {"train": "datatraining", "valid": "datatest", "test": "datatest2"}
    return classification_task(
        {split: find(data_dir, FOLDER, f"occupancy_{file}.csv") for split, file in files.items()},
        target="Occupancy",
        time="Date",
        name="occupancy",
    )


def sunspots(data_dir: Path | None = None) -> Task:
    """Load the monthly mean numbers of sunspots since 1749.

    Args:
        data_dir: The folder with monthly-sunspots.csv, or the one above it.

    Returns:
        The task: one year ahead.

    Raises:
        InputError: The file is missing or malformed.
    """
    return forecasting_task(
        find(data_dir, FOLDER, "monthly-sunspots.csv"),
        target="Sunspots",
        time="Month",
        horizon=12,
        name="sunspots",
    )
