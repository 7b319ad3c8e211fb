"""Which window is enough: rules on the losses of every window on the same blocks of steps."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

CONFIDENCE = 0.95  # that no window is called too short because of chance
ORDINALS = {1: "st", 2: "nd", 3: "rd"}


@dataclass(frozen=True)
class Curve:
    """The losses of windows of several lengths.

    Attributes:
        sums: For each length k the sum of the losses in each block; k = 0 sees no input.
        counts: How many steps each block has.
    """

    sums: Mapping[int, np.ndarray]
    counts: np.ndarray

    @property
    def lengths(self) -> list[int]:
        """The lengths, rising."""
        return sorted(self.sums)

    def metric(self, k: int) -> float:
        """Give the mean loss of a step.

        Args:
            k: The length of the window.

        Returns:
            The mean over all blocks.
        """
        return float(self.sums[k].sum() / self.counts.sum())

    def standard_error(self, k: int, against: int | None = None) -> float:
        """Give the standard error of a metric, or of the difference of two, from its blocks.

        Args:
            k: The length of the window.
            against: The length of another window, which is subtracted block by block.

        Returns:
            The standard error of the ratio of the sums.
        """
        sums = self.sums[k] - (0 if against is None else self.sums[against])
        total, blocks = self.counts.sum(), int((self.counts > 0).sum())
        rest = sums - self.counts * (sums.sum() / total)
        return float(np.sqrt(blocks / max(1, blocks - 1) * np.square(rest).sum()) / total)

    @property
    def best(self) -> int:
        """The least length of the least metric."""
        return min(self.lengths, key=lambda k: (self.metric(k), k))

    def gains(self, k: int, longer: int, tries: int = 1) -> bool:
        """Say whether a longer window is measurably better.

        Args:
            k: The length of the window.
            longer: That of the longer one.
            tries: How many longer windows are tried; the risk of chance is shared among them.

        Returns:
            Whether the difference, block by block, is above 0 by Student's one-sided test.
        """
        difference = self.metric(k) - self.metric(longer)
        blocks = int((self.counts > 0).sum())
        limit = float(student.ppf(1 - (1 - CONFIDENCE) / tries, max(1, blocks - 1)))
        return difference > limit * self.standard_error(k, longer)


def measurable(curve: Curve) -> int:
    """Give the least window that no longer one is measurably better than.

    Args:
        curve: The losses.

    Returns:
        Its length.
    """
    return next(k for k in curve.lengths if not gaining(curve, k))


def gaining(curve: Curve, k: int) -> list[int]:
    """Find the longer windows that are measurably better.

    Args:
        curve: The losses.
        k: The length of a window.

    Returns:
        Their lengths.
    """
    longer = [length for length in curve.lengths if length > k]
    return [length for length in longer if curve.gains(k, length, len(longer))]


def one_standard_error(curve: Curve) -> int:
    """Give the least window within one standard error of the best (Breiman et al. 1984).

    Args:
        curve: The losses.

    Returns:
        Its length.
    """
    limit = curve.metric(curve.best) + curve.standard_error(curve.best)
    return next(k for k in curve.lengths if curve.metric(k) <= limit)


def within(curve: Curve, margin: float) -> int:
    """Give the least window whose metric is within a margin of the best.

    Args:
        curve: The losses.
        margin: The largest relative difference.

    Returns:
        Its length.
    """
    limit = (1 + margin) * curve.metric(curve.best)
    return next(k for k in curve.lengths if curve.metric(k) <= limit)


def least(curve: Curve, margin: float) -> dict[str, int]:
    """Apply all rules.

    Args:
        curve: The losses.
        margin: The largest relative difference from the best.

    Returns:
        The least windows: "measurable", "one_standard_error" and "margin", and the "best".
    """
    return {
        "measurable": measurable(curve),
        "one_standard_error": one_standard_error(curve),
        "margin": within(curve, margin),
        "best": curve.best,
    }


def unsettled(curve: Curve, margin: float) -> int | None:
    """Find a window to measure next: half way between a least window and the next shorter one.

    Args:
        curve: The losses so far.
        margin: The margin of `within`.

    Returns:
        Its length; None where every least window is known to one input, or to 3 %, and so is the
        next longer than the measurable one.
    """
    for k in sorted({measurable(curve), one_standard_error(curve), within(curve, margin)}):
        shorter = max((length for length in curve.lengths if length < k), default=k)
        if k - shorter > max(1, k // 32):
            return (k + shorter) // 2
    following = measurable(curve) + 1
    return following if 1 < following < curve.lengths[-1] and following not in curve.sums else None


def verdict(curve: Curve, margin: float) -> dict[str, object]:
    """Say in words which window is enough.

    Args:
        curve: The losses.
        margin: The margin of `within`.

    Returns:
        The "headline" and more "sentences".
    """
    found = least(curve, margin)
    k, longest = found["measurable"], curve.lengths[-1]
    if longest and k == longest:
        shorter = max(length for length in curve.lengths if length < longest)
        headline = (
            f"The longest window tried, {_inputs(longest)}, is measurably better than {shorter}: "
            "more may be needed"
        )
    elif k == 0:
        headline = f"No input helps: up to {longest}, they add nothing measurable"
    else:
        headline = f"{_last(k)}: {_next(curve, k)} nothing measurable"
    sentences = [
        f"Within your margin of {100 * margin:.3g} % of the best, {_do(found['margin'])}.",
        f"Within one standard error of the best, {_do(found['one_standard_error'])}.",
    ]
    if k:
        gain = 1 - curve.metric(k) / curve.metric(0) if curve.metric(0) else 0.0
        sentences.append(
            f"With {_inputs(k)} the metric is {100 * gain:.3g} % below that of the best guess "
            "without any."
        )
    return {"headline": headline, "sentences": sentences}


def _inputs(k: int) -> str:
    """Count inputs in words."""
    return "1 input" if k == 1 else f"{k} inputs"


def _last(k: int) -> str:
    """Say that the last inputs do."""
    return "The last input does" if k == 1 else f"The last {k} inputs do"


def _do(k: int) -> str:
    """Say that so many do."""
    return "none is needed" if k == 0 else "1 does" if k == 1 else f"{k} do"


def _next(curve: Curve, k: int) -> str:
    """Say what was measured above k."""
    longer = min(length for length in curve.lengths if length > k)
    if longer > k + 1:
        return f"{longer} add"
    end = "th" if longer % 100 in (11, 12, 13) else ORDINALS.get(longer % 10, "th")
    article = "an" if str(longer).startswith("8") or longer in (11, 18) else "a"
    return f"{article} {longer}{end} adds"
