"""What truncation costs on sequences not seen yet: a quantile of its error, with its coverage."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from unrecur import _check
from unrecur._check import InputError
from unrecur.certificates.certificate import Evidence
from unrecur.certificates.conformal import ConformalBound, conformal_bound, sequences_needed
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import valid_steps
from unrecur.data.running import EVALUATION_BATCH
from unrecur.truncation.window import Window


@dataclass(frozen=True)
class ConformalPoint:
    """The truncation error at one window.

    Attributes:
        k: The length of the window.
        bound: The quantile of the largest error in a sequence, in output units, and its coverage.
        exact: How many calibration sequences are no longer than k: their error is 0 exactly.
    """

    k: int
    bound: ConformalBound
    exact: int


@dataclass(frozen=True)
class ConformalCurve:
    """The truncation error against the window, for a new sequence like the calibration sequences.

    Attributes:
        points: One for each window, in rising order.
        coverage: The probability promised.
        simultaneous: Whether it is promised of all windows at once, or of each by itself.
        needed: How many calibration sequences a finite curve takes.
    """

    points: tuple[ConformalPoint, ...]
    coverage: float
    simultaneous: bool
    needed: int

    @property
    def evidence(self) -> Evidence:
        """`STATISTICAL`; `UNKNOWN` where there are too few sequences."""
        return self.points[0].bound.evidence

    def window(self, eps: float) -> int | None:
        """Choose the least window whose error stays at eps or below, at the curve's coverage.

        Args:
            eps: The error allowed, in output units, above 0.

        Returns:
            The least k of the curve whose bound is at most eps; None where none is.

        Raises:
            InputError: eps is not a finite number above 0, or the curve promises each window by
                itself: a window chosen from it by its bound keeps no coverage.
        """
        _check.positive(eps, "eps")
        if len(self.points) > 1 and not self.simultaneous:
            raise InputError(
                "a window chosen from bounds that hold one by one has no coverage left: make the "
                "curve with simultaneous=True."
            )
        return next((point.k for point in self.points if point.bound.quantile <= eps), None)


def conformal_curve(
    model: AbstractSequenceModel,
    sequences: Sequence[Shaped[Tensor, "_ ..."]] | Shaped[Tensor, "N T ..."],
    ks: Sequence[int],
    coverage: float = 0.95,
    simultaneous: bool = True,
) -> ConformalCurve:
    """Bound the error of truncation to each window, for sequences exchangeable with those given.

    The score of a sequence is the largest |y_t - y^k_t| over its steps and outputs. With
    `simultaneous` the promise is of all K windows at once: each is bounded at coverage
    1 - (1 - coverage) / K (Bonferroni), and any choice among them keeps the coverage; it takes
    about K coverage / (1 - coverage) sequences. Without, it is of each window by itself.

    Args:
        model: A causal model with a step form, in evaluation mode.
        sequences: Held-out sequences, [time, features] each (or token ids [time]), of any lengths;
            or one block [batch, time, features]. None may have been trained or tuned on.
        ks: The lengths of windows, chosen before looking at the errors.
        coverage: The probability to promise, above 0 and below 1.
        simultaneous: Whether to promise it of all windows at once.

    Returns:
        The curve; infinite and `UNKNOWN` where there are fewer than `needed` sequences.

    Raises:
        InputError: There is no sequence or no window, a window is no whole number of at least 1,
            the model is in training mode or sees the future, the coverage is not between 0 and 1,
            or an error is not finite.

    Example:
        >>> import torch, unrecur
        >>> _ = torch.manual_seed(0)
        >>> model = unrecur.build("gru", in_features=1, out_features=1, hidden=4).eval()
        >>> held_out = [torch.randn(5 + n % 20, 1) for n in range(60)]
        >>> curve = conformal_curve(model, held_out, ks=[4, 8, 16], coverage=0.9)
        >>> curve.evidence.name, curve.needed, [point.exact for point in curve.points]
        ('STATISTICAL', 29, [0, 12, 36])
        >>> curve.points[2].bound.quantile < curve.points[0].bound.quantile
        True
    """
    windows = sorted(set(ks))
    if not windows or len(sequences) == 0:
        raise InputError(
            f"expected at least one window and one sequence, got {len(windows)} and "
            f"{len(sequences)}."
        )
    if model.training:
        raise InputError(
            "the model is in training mode, where dropout errs too: call eval() on it."
        )
    among = len(windows) if simultaneous else 1
    needed = sequences_needed(coverage, among)
    scores = truncation_errors(model, sequences, windows)
    lengths = [len(x) for x in sequences]
    points = tuple(
        ConformalPoint(
            k, conformal_bound(errors, coverage, among), sum(length <= k for length in lengths)
        )
        for k, errors in zip(windows, scores.unbind(1), strict=True)
    )
    return ConformalCurve(points, coverage, simultaneous, needed)


@torch.no_grad()
def truncation_errors(
    model: AbstractSequenceModel,
    sequences: Sequence[Shaped[Tensor, "_ ..."]] | Shaped[Tensor, "N T ..."],
    ks: Sequence[int],
) -> Shaped[Tensor, "N K"]:
    """Measure the largest |y_t - y^k_t| of each sequence at each window.

    Up to its first k inputs a window holds all of them, so a sequence no longer than k has error 0
    exactly.

    Args:
        model: A causal model with a step form, in evaluation mode.
        sequences: The sequences, [time, features] each (or token ids [time]).
        ks: The lengths of windows.

    Returns:
        The errors in float64, a row for each sequence and a column for each window.
    """
    device = next(model.parameters()).device
    truncated = [Window(model, k) for k in ks]
    errors = torch.zeros(len(sequences), len(truncated), dtype=torch.float64)
    lengths = torch.tensor([len(x) for x in sequences])
    for rows in lengths.argsort().split(EVALUATION_BATCH):
        x = pad_sequence([sequences[int(row)] for row in rows], batch_first=True).to(device)
        full = model(x)[0].double()
        padding = ~valid_steps(lengths[rows], x.shape[1]).to(device)
        for column, window in enumerate(truncated):
            longer = lengths[rows] > window.k
            if longer.any():
                gap = (window(x)[0].double() - full).abs().amax(-1).masked_fill(padding, 0.0)
                errors[rows[longer], column] = gap.amax(1).cpu()[longer]
    return errors
