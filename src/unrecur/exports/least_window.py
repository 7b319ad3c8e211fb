"""The least window whose error is at most eps, and what says so."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unrecur import _check
from unrecur._check import InputError
from unrecur.audits.curve import windows_to
from unrecur.audits.subject import Subject
from unrecur.audits.tiers import (
    COVERAGE,
    LONGEST_WINDOW,
    MODEL,
    RECURRENCE,
    UNREAD,
    Proofs,
    Stack,
    least_where,
)
from unrecur.certificates.certificate import Evidence, unknown
from unrecur.certificates.conformal import sequences_needed
from unrecur.certificates.contraction import certify
from unrecur.exports.sight import Sight

TIERS = (Evidence.PROVED, Evidence.STATISTICAL, Evidence.MEASURED)
Prove = Callable[[], Proofs]
LARGER = 1.25  # by how much a window grows that turned out too short


@dataclass(frozen=True)
class LeastWindow:
    """A window with what is said of its error.

    Attributes:
        k: The length of the window.
        bound: The error stated: the largest difference of any output.
        evidence: What it rests on: `PROVED`, `STATISTICAL` or `MEASURED`.
        holds_for: What it holds for, in words.
    """

    k: int
    bound: float
    evidence: Evidence
    holds_for: tuple[str, ...]


def prove_weights(subject: Subject, input_box: Any) -> Proofs:
    """Bound the outputs of a recurrence from its weights.

    Args:
        subject: The recurrence on its inputs.
        input_box: The inputs to prove it for, as for `certify`.

    Returns:
        What is proved, if anything; of the model's outputs only where they are the recurrence's.
    """
    of = MODEL if subject.bare else RECURRENCE
    if subject.initial is not None:
        why = "the model does not start its sequences from the zero state"
        return Proofs(unknown(why), None, why, None, "", of)
    certificate = certify(Stack(subject.layers), input_box)
    return Proofs(certificate, None, "; ".join(certificate.reasons), None, "", of)


def least_window(
    sight: Sight, prove: Prove, eps: float, longest: int, evidence: Evidence | None
) -> LeastWindow:
    """Find the least window for an error, by the strongest evidence that reaches it.

    Args:
        sight: The recurrence on its inputs.
        prove: Gives what is proved of it, if that is asked for.
        eps: The largest error allowed in any output.
        longest: The longest window that can be written.
        evidence: The one kind of evidence that counts; None for the strongest there is.

    Returns:
        The window.

    Raises:
        InputError: No window reaches eps; the message gives the error that can be reached.
    """
    _check.positive(eps, "eps")
    ways: dict[Evidence, Callable[[], LeastWindow]] = {
        Evidence.PROVED: lambda: _proved(prove(), eps, longest),
        Evidence.STATISTICAL: lambda: _statistical(sight, eps, longest),
        Evidence.MEASURED: lambda: _measured(sight, eps, longest),
    }
    reasons = []
    for tier in TIERS if evidence is None else (evidence,):
        try:
            return ways[tier]()
        except InputError as error:
            reasons.append(f"{tier}: {error}")
    raise InputError(f"no window is known to err by at most {eps:g}. " + " ".join(reasons))


def given_window(sight: Sight, prove: Prove, k: int, evidence: Evidence | None) -> LeastWindow:
    """State the error of a given window, by the strongest evidence there is.

    Args:
        sight: The recurrence on its inputs.
        prove: Gives what is proved of it, if that is asked for.
        k: The length of the window.
        evidence: The one kind of evidence that counts; None for the strongest there is.

    Returns:
        The window.

    Raises:
        InputError: There is no evidence of that kind.
    """
    if evidence in (None, Evidence.PROVED):
        proofs = prove()
        bound = proofs.output_bound(k) if proofs.of == MODEL else math.inf
        if math.isfinite(bound):
            return LeastWindow(k, bound, Evidence.PROVED, proofs.certificate.assumptions)
        if evidence is not None:
            raise InputError(f"nothing is proved of these outputs ({proofs.why or UNREAD}).")
    if evidence in (None, Evidence.STATISTICAL) and (why := _too_few(sight, 1)) == "":
        return LeastWindow(k, sight.error(k), Evidence.STATISTICAL, _of_new(sight))
    if evidence is Evidence.STATISTICAL:
        raise InputError(f"a statement about a new sequence {why}.")
    return LeastWindow(k, sight.error(k), Evidence.MEASURED, _of_data(sight))


def _proved(proofs: Proofs, eps: float, longest: int) -> LeastWindow:
    """Find the window by the proof from the weights."""
    if proofs.of != MODEL:
        raise InputError(f"{UNREAD}.")
    if (k := least_where(lambda k: proofs.output_bound(k) <= eps)) is None:
        least = proofs.output_bound(LONGEST_WINDOW)
        why = f"the least bound is {least:.3g}" if math.isfinite(least) else proofs.why
        raise InputError(f"{why}.")
    if k > longest:
        raise InputError(f"takes a window of {k}, and {longest} is the longest here.")
    bound = proofs.output_bound(k)
    return LeastWindow(k, bound, Evidence.PROVED, proofs.certificate.assumptions)


def _statistical(sight: Sight, eps: float, longest: int) -> LeastWindow:
    """Find the window by conformal prediction, among 1, 2, 4, ..., all of them at once."""
    grid = windows_to(sight.longest)
    if why := _too_few(sight, len(grid)):
        raise InputError(f"{why}.")
    limit = min(longest, sight.curve.output.limit)
    from_here = sight.curve.output.least(eps) or limit + 1
    for k in grid:
        if from_here <= k <= limit and (error := sight.error(k)) <= eps:
            return LeastWindow(k, error, Evidence.STATISTICAL, _of_new(sight))
    raise InputError(f"no window of 1, 2, 4, ... up to {limit} inputs.")


def _measured(sight: Sight, eps: float, longest: int) -> LeastWindow:
    """Find the window by the data: every window of exactly k inputs."""
    worst = sight.curve.output
    limit = max(1, min(longest, worst.limit))
    known: dict[int, float] = {}

    def enough(k: int) -> bool:
        known[k] = sight.error(k)
        return known[k] <= eps

    high = min(worst.least(eps) or limit, limit)
    low = 0 if sight.outputs.pointwise else high // 2  # too short, as far as the curve says
    while not enough(high):
        if high == limit:
            raise InputError(
                f"the least error on these data is {known[limit]:.3g}, with {limit} inputs."
            )
        low, high = high, min(limit, math.ceil(high * LARGER) + 1)
    if low:
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle, high)
    return LeastWindow(high, known[high], Evidence.MEASURED, _of_data(sight))


def _too_few(sight: Sight, among: int) -> str:
    """Say why nothing can be said about a new sequence; empty where it can."""
    count, needed = len(sight.subject.sequences.lengths), sequences_needed(COVERAGE, among)
    if sight.drawn or sight.subject.stretches:
        return "takes whole sequences drawn like the ones to come"
    return "" if count >= needed else f"takes {needed} sequences, got {count}"


def _of_new(sight: Sight) -> tuple[str, ...]:
    """Say what a statistical statement holds for."""
    count = len(sight.subject.sequences.lengths)
    return (
        f"a new sequence, with probability {COVERAGE:g}",
        f"drawn as the {count} sequences given were, none of which the model was trained on",
    )


def _of_data(sight: Sight) -> tuple[str, ...]:
    """Say what a measurement holds for."""
    lengths = sight.subject.sequences.lengths
    drawn = "drawn at random" if sight.drawn else "given"
    return (f"the {len(lengths)} sequence(s) {drawn}, {int(lengths.sum()):,} steps, no others",)
