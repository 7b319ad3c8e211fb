"""Polyphonic music: predict the next frame of a piano roll."""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from unrecur.data.hashing import split_hash
from unrecur.data.losses import bernoulli_nll
from unrecur.data.piano_roll import read_chorales, read_mat
from unrecur.data.places import find
from unrecur.data.sequences import SPLITS
from unrecur.data.task import Published, Task

KEYS = 88


def music_task(name: str, title: str, rolls: dict[str, list[np.ndarray]]) -> Task:
    """Make the task of predicting each frame of piano rolls from those before it.

    The metric is the negative log-likelihood of a frame, summed over the 88 keys, in nats (Bai,
    Kolter, Koltun 2018, section 5.3): the input at step t is frame t, the target frame t + 1.

    Args:
        name: The task's name.
        title: What it is, in words.
        rolls: For each split its rolls, [time, 88] of zeros and ones, each of 2 frames or more.

    Returns:
        The task.
    """
    frames = {split: [torch.from_numpy(roll).float() for roll in rolls[split]] for split in SPLITS}
    return Task(
        name=name,
        title=title,
        metric="negative log-likelihood of the next frame",
        unit="nats per frame",
        in_features=KEYS,
        out_features=KEYS,
        step_loss=bernoulli_nll,
        chance_level=KEYS * math.log(2),
        input_box=(0.0, 1.0),
        splits={split: [(roll[:-1], roll[1:]) for roll in frames[split]] for split in SPLITS},
        hashes={split: split_hash(rolls[split]) for split in SPLITS},
        floors=("frequencies", "markov"),
        reach=15,  # as tuned on the chorales (docs/decisions/0004)
    )


def chorales(data_dir: Path | None = None) -> Task:
    """Load the Bach chorales that come with the package.

    Args:
        data_dir: Not needed.

    Returns:
        The task.
    """
    return music_task("chorales", "Bach chorales, next quarter note", read_chorales())


BAI = "Bai, Kolter, Koltun 2018, arXiv 1803.01271, table 1"


def piano_roll_file(
    name: str,
    title: str,
    file: str,
    published: dict[str, float],
    data_dir: Path | None = None,
) -> Task:
    """Load one of the classical piano-roll sets from its `.mat` file.

    Args:
        name: The task's name.
        title: What it is, in words.
        file: The name of the file.
        published: The figures of Bai et al., by model.
        data_dir: The folder that holds it, or a folder above.

    Returns:
        The task.

    Raises:
        InputError: No folder is given, or the file is not in it.
    """
    task = music_task(name, title, read_mat(find(data_dir, "polymusic", file)))
    figures = (Published(value, task.unit, model, BAI) for model, value in published.items())
    return replace(task, published=tuple(figures))


jsb = partial(
    piano_roll_file,
    "jsb",
    "JSB Chorales, next quarter note",
    "JSB_Chorales.mat",
    {"TCN, 300 k": 8.10, "GRU, 300 k": 8.43, "LSTM, 300 k": 8.45, "RNN, 300 k": 8.91},
)
nottingham = partial(
    piano_roll_file,
    "nottingham",
    "Nottingham folk tunes, next frame",
    "Nottingham.mat",
    {"TCN, 1 M": 3.07, "LSTM, 1 M": 3.29, "GRU, 1 M": 3.46, "RNN, 1 M": 4.05},
)
