"""Tasks whose memory is known, made from a seed: what all of them share."""

import math
from collections.abc import Callable

import numpy as np
import torch

from unrecur import _check
from unrecur._check import InputError
from unrecur.data.losses import categorical_nll, squared_error
from unrecur.data.scores import accuracy
from unrecur.data.sequences import SPLITS, Pair, Split
from unrecur.data.task import Task

Sizes = tuple[int, int, int]
SEQUENCES: Sizes = (1000, 200, 200)  # to train, to validate, to test on: a study takes minutes
PARAMETERS = 20_000
ALPHABET = 8  # the symbols that are to be remembered, as in the copy memory task

Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
"""Draws a number of sequences: inputs and targets, [sequences, time, ...] each."""


def symbols_task(
    *,
    name: str,
    title: str,
    draw: Draw,
    sequences: Sizes,
    seed: int,
    in_features: int,
    classes: int,
    longest_dependency: int,
    notes: tuple[str, ...],
) -> Task:
    """Make a task of token ids whose answers are classes, all equally likely.

    Args:
        name: The task's name.
        title: What it is, in words.
        draw: Draws sequences.
        sequences: How many to train, to validate and to test on.
        seed: Where all of them come from.
        in_features: The number of token ids.
        classes: The number of classes.
        longest_dependency: How many steps back an input can matter.
        notes: What else a reader must know, a sentence each.

    Returns:
        The task; chance is log(classes) nats.
    """
    return Task(
        name=name,
        title=title,
        metric="negative log-likelihood of the answer",
        unit="nats per answer",
        in_features=in_features,
        out_features=classes,
        step_loss=categorical_nll,
        chance_level=math.log(classes),
        splits=_draw_splits(draw, sequences, seed),
        floors={"constant": {}},
        tokens=True,
        scores={"accuracy": accuracy},
        longest_dependency=longest_dependency,
        parameters=PARAMETERS,
        notes=(*notes, _drawn(seed)),
    )


def numbers_task(
    *,
    name: str,
    title: str,
    draw: Draw,
    sequences: Sizes,
    seed: int,
    input_box: tuple[float, float],
    in_features: int,
    variance: float,
    longest_dependency: int | None,
    notes: tuple[str, ...],
) -> Task:
    """Make a task of real inputs whose answer is one real number.

    Args:
        name: The task's name.
        title: What it is, in words.
        draw: Draws sequences.
        sequences: How many to train, to validate and to test on.
        seed: Where all of them come from.
        input_box: The least and the largest input.
        in_features: The number of columns of an input.
        variance: The mean squared error of always saying the answer's mean.
        longest_dependency: How many steps back an input can matter; None where that says nothing.
        notes: What else a reader must know, a sentence each.

    Returns:
        The task; chance is the variance.
    """
    return Task(
        name=name,
        title=title,
        metric="mean squared error",
        unit="squared units",
        in_features=in_features,
        out_features=1,
        step_loss=squared_error,
        chance_level=variance,
        splits=_draw_splits(draw, sequences, seed),
        input_box=input_box,
        floors={"constant": {"of": "mean"}},
        longest_dependency=longest_dependency,
        parameters=PARAMETERS,
        notes=(*notes, _drawn(seed)),
    )


def check_longer(length: int, least: int, what: str) -> None:
    """Check that sequences are long enough for a task.

    Args:
        length: Their length.
        least: The least length.
        what: What needs it, for the message.

    Raises:
        InputError: They are shorter, or their length is no whole number.
    """
    _check.positive_integer(length, "length")
    if length < least:
        raise InputError(f"length must be at least {least} for {what}, got {length}.")


def _draw_splits(draw: Draw, sequences: Sizes, seed: int) -> dict[Split, list[Pair]]:
    """Draw each split from a generator of its own."""
    if not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed must be a whole number of at least 0, got {seed!r}.")
    splits: dict[Split, list[Pair]] = {}
    streams = np.random.SeedSequence(seed).spawn(len(SPLITS))
    for split, count, stream in zip(SPLITS, sequences, streams, strict=True):
        _check.positive_integer(count, f"sequences of split '{split}'")
        x, target = draw(np.random.default_rng(stream), count)
        splits[split] = list(zip(torch.from_numpy(x), torch.from_numpy(target), strict=True))
    return splits


def _drawn(seed: int) -> str:
    """Say where the sequences come from."""
    return f"The sequences are drawn from the seed {seed}, each split from a generator of its own."
