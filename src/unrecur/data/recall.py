"""Tasks of recalling symbols: copy memory, delayed recall, selective copy, n-back."""

import numpy as np

from unrecur import _check
from unrecur.data.losses import IGNORED
from unrecur.data.memory import ALPHABET, SEQUENCES, Sizes, check_longer, symbols_task
from unrecur.data.task import Task

BLANK, DELIMITER = ALPHABET, ALPHABET + 1


def copy_memory(
    length: int = 20, symbols: int = 10, seed: int = 0, sequences: Sizes = SEQUENCES
) -> Task:
    """Make the copy memory task: say the first symbols again, after a wait.

    An input is `symbols` symbols out of 8, `length` - 1 blanks, and `symbols` + 1 delimiters; the
    answers at the last `symbols` steps are the symbols, in order (Arjovsky, Shah, Bengio 2016,
    arXiv 1511.06464, section 4.1, where `symbols` is 10; with delimiters to the end as in Bai,
    Kolter, Koltun 2018, arXiv 1803.01271, section 5.2). Only these steps count: their loss is
    (length + 2 symbols) / symbols times the published one, the mean over all steps, of a model that
    knows when nothing is asked.

    Args:
        length: The wait T.
        symbols: How many symbols are to be kept.
        seed: Where the sequences come from.
        sequences: How many to train, to validate and to test on.

    Returns:
        The task; an answer depends on the input `length + symbols` steps before, exactly.

    Raises:
        InputError: A size is below 1.

    Example:
        >>> task = copy_memory(length=3, symbols=2)
        >>> task.splits["train"][0]  # 8 is the blank, 9 the delimiter
        (tensor([6, 7, 8, 8, 9, 9, 9]), tensor([-100, -100, -100, -100, -100,    6,    7]))
    """
    _check.positive_integer(length, "length")
    _check.positive_integer(symbols, "symbols")

    def draw(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        x = np.full((count, length + 2 * symbols), BLANK)
        x[:, :symbols] = random.integers(ALPHABET, size=(count, symbols))
        x[:, -symbols - 1 :] = DELIMITER
        return x, _asked_at_the_end(x, x[:, :symbols])

    return symbols_task(
        name="copy",
        title=f"Copy memory, {symbols} symbols after {length} steps",
        draw=draw,
        sequences=sequences,
        seed=seed,
        in_features=ALPHABET + 2,
        classes=ALPHABET,
        longest_dependency=length + symbols,
        notes=("Only the steps at which a symbol is to be said count, not the wait.",),
    )


def delayed_recall(
    length: int = 60, delay: int = 10, seed: int = 0, sequences: Sizes = SEQUENCES
) -> Task:
    """Make the task of saying, at each step, the symbol of `delay` steps ago.

    y_t = x_(t - delay), the symbols drawn from 8; the first `delay` steps do not count. A model
    needs to hold `delay + 1` symbols, and no more.

    Args:
        length: The length of a sequence, above `delay`.
        delay: How long a symbol is to be kept.
        seed: Where the sequences come from.
        sequences: How many to train, to validate and to test on.

    Returns:
        The task; an answer depends on the input `delay` steps before, exactly.

    Raises:
        InputError: A size is below 1, or the sequences are too short.

    Example:
        >>> delayed_recall(length=5, delay=2).splits["train"][0]
        (tensor([6, 7, 0, 2, 6]), tensor([-100, -100,    6,    7,    0]))
    """
    _check.positive_integer(delay, "delay")
    check_longer(length, delay + 1, f"a delay of {delay}")

    def draw(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        x = random.integers(ALPHABET, size=(count, length))
        target = np.full_like(x, IGNORED)
        target[:, delay:] = x[:, :-delay]
        return x, target

    return symbols_task(
        name="recall",
        title=f"Delayed recall, the symbol of {delay} steps ago",
        draw=draw,
        sequences=sequences,
        seed=seed,
        in_features=ALPHABET,
        classes=ALPHABET,
        longest_dependency=delay,
        notes=(f"The first {delay} steps, before which there is no symbol, do not count.",),
    )


def selective_copy(
    length: int = 40, symbols: int = 8, seed: int = 0, sequences: Sizes = SEQUENCES
) -> Task:
    """Make the selective copy task: say the symbols among blanks again, in order.

    `symbols` symbols out of 8 stand at random places of the first `length` steps, blanks at the
    others; then come `symbols` delimiters, at which the symbols are to be said (Gu and Dao 2023,
    arXiv 2312.00752, section 3.1). As the wait varies, no fixed convolution does it.

    Args:
        length: How many steps the symbols are scattered over.
        symbols: How many there are.
        seed: Where the sequences come from.
        sequences: How many to train, to validate and to test on.

    Returns:
        The task. The j-th symbol stands at step j at the earliest and is said at step `length + j`:
        no answer depends on an input more than `length` steps before, and some do on that one.

    Raises:
        InputError: A size is below 1, or there are more symbols than steps.

    Example:
        >>> task = selective_copy(length=4, symbols=2)
        >>> task.splits["train"][0]
        (tensor([8, 6, 8, 7, 9, 9]), tensor([-100, -100, -100, -100,    6,    7]))
    """
    _check.positive_integer(symbols, "symbols")
    check_longer(length, symbols, f"{symbols} symbols")

    def draw(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        kept = random.integers(ALPHABET, size=(count, symbols))
        places = np.sort(random.random((count, length)).argsort(1)[:, :symbols], 1)
        x = np.full((count, length + symbols), BLANK)
        np.put_along_axis(x, places, kept, 1)
        x[:, length:] = DELIMITER
        return x, _asked_at_the_end(x, kept)

    return symbols_task(
        name="selective-copy",
        title=f"Selective copy, {symbols} symbols among {length} steps",
        draw=draw,
        sequences=sequences,
        seed=seed,
        in_features=ALPHABET + 2,
        classes=ALPHABET,
        longest_dependency=length,
        notes=("Only the steps at which a symbol is to be said count.",),
    )


def n_back(length: int = 50, n: int = 5, seed: int = 0, sequences: Sizes = SEQUENCES) -> Task:
    """Make the n-back task: is the symbol the one of n steps ago?

    y_t = 1 where x_t = x_(t - n), else 0; the first n steps do not count. Half of the symbols
    repeat, by the toss of a coin; the others are drawn from the 7 that differ.

    Args:
        length: The length of a sequence, above n.
        n: How many steps back the symbol to compare with is.
        seed: Where the sequences come from.
        sequences: How many to train, to validate and to test on.

    Returns:
        The task; an answer depends on the present input and the one n steps before.

    Raises:
        InputError: A size is below 1, or the sequences are too short.

    Example:
        >>> n_back(length=6, n=2).splits["train"][0]
        (tensor([6, 7, 6, 7, 4, 7]), tensor([-100, -100,    1,    1,    0,    1]))
    """
    _check.positive_integer(n, "n")
    check_longer(length, n + 1, f"n = {n}")

    def draw(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        x = random.integers(ALPHABET, size=(count, length))
        target = np.full_like(x, IGNORED)
        target[:, n:] = random.integers(2, size=(count, length - n))
        steps = random.integers(1, ALPHABET, size=(count, length))  # to another symbol
        for t in range(n, length):
            x[:, t] = (x[:, t - n] + np.where(target[:, t] == 1, 0, steps[:, t])) % ALPHABET
        return x, target

    return symbols_task(
        name="n-back",
        title=f"{n}-back, whether the symbol is that of {n} steps ago",
        draw=draw,
        sequences=sequences,
        seed=seed,
        in_features=ALPHABET,
        classes=2,
        longest_dependency=n,
        notes=(
            f"The first {n} steps, before which there is no symbol, do not count.",
            "Half of the symbols are repetitions, by the toss of a coin.",
        ),
    )


def _asked_at_the_end(x: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    """Put the answers at the last steps, and nothing before."""
    target = np.full_like(x, IGNORED)
    target[:, -symbols.shape[1] :] = symbols
    return target
