"""Tasks of adding up: adding two marked numbers, parity, a sum that decays."""

import math

import numpy as np

from unrecur import _check
from unrecur._check import InputError
from unrecur.data.memory import SEQUENCES, Sizes, check_longer, numbers_task, symbols_task
from unrecur.data.task import Task


def adding(length: int = 50, seed: int = 0, sequences: Sizes = SEQUENCES) -> Task:
    """Make the adding problem: the sum of the two numbers that are marked.

    An input is [number, mark]: the numbers uniform in [0, 1], the marks 0 but for two that are 1,
    at random steps. The answer, at the last step, is the sum of the two numbers (Hochreiter and
    Schmidhuber 1997, section 5.4; numbers and marks as in Bai, Kolter, Koltun 2018, arXiv
    1803.01271, section 5.2).

    Args:
        length: The length T of a sequence, at least 2.
        seed: Where the sequences come from.
        sequences: How many to train, to validate and to test on.

    Returns:
        The task; the answer depends on the first input where that is marked, `length - 1` steps
        before. Chance, always saying 1, is the variance of the sum, 1/6.

    Raises:
        InputError: The length is below 2, or another size below 1.

    Example:
        >>> task = adding(length=3)
        >>> x, target = task.splits["train"][0]
        >>> bool(target[-1, 0] == (x[:, 0] * x[:, 1]).sum()), target[:2, 0]
        (True, tensor([nan, nan]))
    """
    check_longer(length, 2, "two marked numbers")

    def draw(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        x = np.zeros((count, length, 2), np.float32)
        x[..., 0] = random.random((count, length), np.float32)
        marked = random.random((count, length)).argsort(1)[:, :2]
        np.put_along_axis(x[..., 1], marked, 1, 1)
        target = np.full((count, length, 1), np.nan, np.float32)
        target[:, -1, 0] = np.take_along_axis(x[..., 0], marked, 1).sum(1)
        return x, target

    return numbers_task(
        name="adding",
        title=f"Adding problem, {length} steps",
        draw=draw,
        sequences=sequences,
        seed=seed,
        input_box=(0.0, 1.0),
        in_features=2,
        variance=1 / 6,
        longest_dependency=length - 1,
        notes=("Only the last step counts.",),
    )


def parity(length: int = 20, seed: int = 0, sequences: Sizes = SEQUENCES) -> Task:
    """Make the parity task: is the number of ones so far odd?

    y_t = (x_0 + ... + x_t) mod 2, the bits drawn by the toss of a coin. One bit of memory does it,
    yet every input matters for ever, so that no window does.

    Args:
        length: The length of a sequence.
        seed: Where the sequences come from.
        sequences: How many to train, to validate and to test on.

    Returns:
        The task; the last answer depends on the first input, `length - 1` steps before.

    Raises:
        InputError: A size is below 1.

    Example:
        >>> parity(length=6).splits["train"][0]
        (tensor([1, 1, 0, 0, 1, 1]), tensor([1, 0, 0, 0, 1, 0]))
    """
    _check.positive_integer(length, "length")

    def draw(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        x = random.integers(2, size=(count, length))
        return x, x.cumsum(1) % 2

    return symbols_task(
        name="parity",
        title=f"Parity of the bits so far, {length} steps",
        draw=draw,
        sequences=sequences,
        seed=seed,
        in_features=2,
        classes=2,
        longest_dependency=length - 1,
        notes=("Every input matters to the end: the longest dependency is a sequence's length.",),
    )


def decay(
    length: int = 100, rate: float = 0.9, seed: int = 0, sequences: Sizes = SEQUENCES
) -> Task:
    """Make the task of a sum that decays at a known rate.

    y_t = rate y_(t-1) + x_t from y_(-1) = 0, the inputs uniform in [-1, 1]. A model that sees the
    last k inputs errs by rate^k / (1 - rate) at the most, and can get that close.

    Args:
        length: The length of a sequence.
        rate: The rate, above 0 and below 1.
        seed: Where the sequences come from.
        sequences: How many to train, to validate and to test on.

    Returns:
        The task. Every input matters for ever, but less and less, so that `longest_dependency` is
        None; the notes give the half-life. Chance, always saying 0, is the mean variance of the
        sums.

    Raises:
        InputError: A size is below 1, or the rate out of range.

    Example:
        >>> round(decay(rate=0.5).chance_level, 3)  # 1/3 / (1 - 1/4), less at the start
        0.443
    """
    _check.positive_integer(length, "length")
    if not 0 < rate < 1:
        raise InputError(f"rate must be above 0 and below 1, got {rate}.")

    def draw(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        x = random.uniform(-1, 1, (count, length, 1)).astype(np.float32)
        y, sums = np.zeros_like(x), np.zeros((count, 1))
        for t in range(length):
            sums = rate * sums + x[:, t]
            y[:, t] = sums
        return x, y

    half_life = math.log(2) / -math.log(rate)
    return numbers_task(
        name="decay",
        title=f"A sum that decays at the rate {rate:g}",
        draw=draw,
        sequences=sequences,
        seed=seed,
        input_box=(-1.0, 1.0),
        in_features=1,
        variance=_mean_variance(rate, length),
        longest_dependency=None,
        notes=(
            f"An input of k steps ago weighs {rate:g}^k: it halves every {half_life:.3g} steps, "
            "and matters for ever.",
        ),
    )


def _mean_variance(rate: float, length: int) -> float:
    """Average Var(y_t) = Var(x) (1 - rate^(2 (t + 1))) / (1 - rate^2) over t = 0 ... length - 1."""
    kept = rate**2
    lost = kept * (1 - kept**length) / (1 - kept)  # the sum of rate^(2 (t + 1))
    return (1 - lost / length) / (1 - kept) / 3  # uniform in [-1, 1]: Var(x) = 1/3
