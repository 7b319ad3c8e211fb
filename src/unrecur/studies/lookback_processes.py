"""Processes whose lookback is known, to hold `unrecur.lookback` to: `benchmarks/lookback.py`."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from unrecur.data.datasets import task_from
from unrecur.data.sequences import SPLITS, Split
from unrecur.data.task import Task

STEPS = 4000  # of a series of numbers
SYMBOLS = 20_000  # of a hidden Markov process
SHARES = (0.7, 0.9, 1.0)  # where the splits end
WARM_UP = 500
FAR = 16  # symbols after which a hidden Markov process is taken to have been seen whole


@dataclass(frozen=True)
class Drawn:
    """A task drawn from a process, and the truth.

    Attributes:
        task: The task: the next value, from all so far.
        truth: The number of last inputs that matter.
        rule: Which of lookback's least windows should be it.
    """

    task: Task
    truth: int
    rule: str


def autoregressive(seed: int) -> Drawn:
    """Draw y_t from its last p values, p from 1 to 16, whose partial autocorrelations are random.

    Args:
        seed: Draws it.

    Returns:
        The task; the truth is p.
    """
    random = np.random.default_rng([1, seed])
    order = int(random.choice([1, 2, 3, 4, 6, 8, 12, 16]))
    partial = random.uniform(-0.5, 0.5, order)
    partial[-1] = random.choice([-1, 1]) * random.uniform(0.25, 0.6)
    coefficients = np.zeros(0)
    for value in partial:  # Levinson's recursion: stationary whatever the values below 1
        coefficients = np.append(coefficients - value * coefficients[::-1], value)
    y = _series(random, coefficients)
    return Drawn(_task(y[:, None], y), order, "measurable")


def seasonal(seed: int) -> Drawn:
    """Draw y_t from y_(t - s) alone, with a season s of 7, 12 or 24.

    Args:
        seed: Draws it.

    Returns:
        The task; the truth is s.
    """
    random = np.random.default_rng([2, seed])
    season = int(random.choice([7, 12, 24]))
    coefficients = np.zeros(season)
    coefficients[-1] = random.uniform(0.3, 0.8)
    y = _series(random, coefficients)
    return Drawn(_task(y[:, None], y), season, "measurable")


def delayed(seed: int) -> Drawn:
    """Draw y_t from y_(t - 1) and from x_(t - d), with d from 2 to 20 and x autoregressive.

    Args:
        seed: Draws it.

    Returns:
        The task, which reads y and x; the truth is d.
    """
    random = np.random.default_rng([3, seed])
    delay = int(random.integers(2, 21))
    x = _series(random, np.array([0.5]))
    y, noise = np.zeros(len(x)), random.normal(size=len(x))
    for t in range(delay, len(x)):
        y[t] = 0.4 * y[t - 1] + 0.4 * x[t - delay] + noise[t]
    return Drawn(_task(np.stack([y, x], 1), y), delay, "measurable")


def hidden_markov(seed: int, margin: float = 0.02) -> Drawn:
    """Draw symbols from a hidden Markov process, which depends on all its past.

    Args:
        seed: Draws it.
        margin: What is as good as all inputs.

    Returns:
        The task; the truth is the least k for which the best possible prediction from the last k
        symbols is within the margin of that from all of them, both computed exactly.
    """
    random = np.random.default_rng([4, seed])
    stay, right = random.uniform(0.85, 0.97), random.uniform(0.75, 0.95)
    moves = np.array([[stay, 1 - stay], [1 - stay, stay]])
    shows = np.array([[right, 1 - right], [1 - right, right]])
    state, symbols = 0, np.zeros(SYMBOLS, np.int64)
    for t, (move, show) in enumerate(random.random((SYMBOLS, 2))):
        state = state if move < stay else 1 - state
        symbols[t] = state if show < right else 1 - state
    entropies = conditional_entropies(moves, shows, FAR)
    truth = int(np.argmax(entropies <= (1 + margin) * entropies[-1]))
    ends = [int(share * (SYMBOLS - 1)) for share in SHARES]
    pairs: dict[Split, list[tuple[torch.Tensor, torch.Tensor]]] = {
        split: [(torch.from_numpy(symbols[a:b]), torch.from_numpy(symbols[a + 1 : b + 1]))]
        for split, a, b in zip(SPLITS, [0, *ends], ends, strict=False)
    }
    return Drawn(task_from(pairs, token_ids=2), truth, "margin")


def conditional_entropies(moves: np.ndarray, shows: np.ndarray, longest: int) -> np.ndarray:
    """Compute the entropy of the next symbol of a hidden Markov process given the last k.

    It is the loss of the best possible prediction from k symbols.

    Args:
        moves: The probabilities of the next state [state, next].
        shows: Those of the symbols [state, symbol].
        longest: The largest k.

    Returns:
        The entropies in nats, for k = 0, 1, ..., longest.

    Example:
        >>> seen = np.eye(2)  # states are symbols: one of them says all
        >>> conditional_entropies(np.array([[0.9, 0.1], [0.1, 0.9]]), seen, 2).round(3)
        array([0.693, 0.325, 0.325])
    """
    values, vectors = np.linalg.eig(moves.T)
    first = np.real(vectors[:, np.argmax(np.real(values))])
    joint = (first / first.sum())[None]  # probability of each word so far and the state
    entropies = []
    for _ in range(longest + 1):
        words = joint[:, None, :] * shows.T[None]
        entropies.append(_entropy(words.sum(2)))
        joint = words.reshape(-1, words.shape[2]) @ moves
    return np.diff(entropies, prepend=0.0)


def _entropy(probabilities: np.ndarray) -> float:
    """Give the entropy of a distribution in nats."""
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log(positive)).sum())


def _series(random: np.random.Generator, coefficients: np.ndarray) -> np.ndarray:
    """Draw an autoregressive series."""
    order, noise = len(coefficients), random.normal(size=STEPS + WARM_UP)
    y = np.zeros(len(noise))
    for t in range(order, len(y)):
        y[t] = coefficients @ y[t - order : t][::-1] + noise[t]
    return y[WARM_UP:]


def _task(x: np.ndarray, y: np.ndarray) -> Task:
    """Make the task of the next value."""
    inputs = torch.from_numpy(x[:-1]).float()
    targets = torch.from_numpy(y[1:, None]).float()
    ends = [int(share * len(inputs)) for share in SHARES]
    pairs: dict[Split, list[tuple[torch.Tensor, torch.Tensor]]] = {
        split: [(inputs[a:b], targets[a:b])]
        for split, a, b in zip(SPLITS, [0, *ends], ends, strict=False)
    }
    return task_from(pairs)


PROCESSES: dict[str, Callable[[int], Drawn]] = {
    "autoregressive": autoregressive,
    "seasonal": seasonal,
    "delayed": delayed,
    "hidden Markov": hidden_markov,
}
