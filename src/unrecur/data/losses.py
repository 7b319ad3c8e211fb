"""Losses of a step: what a task adds up. Targets that are not known give 0 and no gradient."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Integer, Shaped
from torch import Tensor
from torch.nn import functional

from unrecur._check import InputError
from unrecur.core.state import valid_steps

IGNORED = -100
"""A class that is not to be predicted, as torch's `ignore_index`; among real numbers NaN is."""


def counted(
    target: Shaped[Tensor, "B T ..."], lengths: Integer[Tensor, " B"]
) -> Bool[Tensor, "B T"]:
    """Mark the steps of a padded block at which something is to be predicted.

    Args:
        target: The targets; of classes some may be `IGNORED`, of real numbers NaN.
        lengths: How many steps of each row are valid.

    Returns:
        True where a step counts: it is valid, and some number of its target is known.
    """
    known = ~target.isnan() if target.is_floating_point() else target != IGNORED
    known = known.flatten(2).any(2) if known.dim() > 2 else known
    return known & valid_steps(lengths, target.shape[1])


def bernoulli_nll(
    scores: Float[Tensor, "*B E"], target: Float[Tensor, "*B E"]
) -> Float[Tensor, "*B"]:
    """Give the negative log-likelihood of frames of independent zeros and ones.

    -sum_j [target_j log p_j + (1 - target_j) log(1 - p_j)], p = sigmoid(scores), in nats.

    Args:
        scores: The log-odds.
        target: The frames.

    Returns:
        The sum over the features, for each frame.
    """
    unknown = target.isnan()
    if not unknown.any():
        return _bernoulli(scores, target).sum(-1)
    losses = _bernoulli(scores, torch.where(unknown, 0, target))
    return torch.where(unknown, 0, losses).sum(-1)


def categorical_nll(
    scores: Float[Tensor, "*B E"], target: Integer[Tensor, "*B"]
) -> Float[Tensor, "*B"]:
    """Give the negative log-likelihood of a class: -log softmax(scores)_target, in nats.

    Args:
        scores: The unnormalised log-probabilities of the classes.
        target: The classes, from 0.

    Returns:
        The loss of each step.
    """
    rows = scores.reshape(-1, scores.shape[-1])
    losses = functional.cross_entropy(
        rows, target.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view(target.shape)


def categorical_bits(
    scores: Float[Tensor, "*B E"], target: Integer[Tensor, "*B"]
) -> Float[Tensor, "*B"]:
    """Give the negative log-likelihood of a class in bits; see `categorical_nll`.

    Args:
        scores: The unnormalised log-probabilities of the classes.
        target: The classes, from 0.

    Returns:
        The loss of each step.
    """
    return categorical_nll(scores, target) / math.log(2)


def absolute_error(
    scores: Float[Tensor, "*B F"], target: Float[Tensor, "*B F"]
) -> Float[Tensor, "*B"]:
    """Give the mean of |scores_j - target_j| over the known numbers of a step.

    Args:
        scores: The predictions.
        target: What comes.

    Returns:
        The mean, for each step, in the target's unit.
    """
    gaps, known = _gaps(scores, target)
    return gaps.abs().sum(-1) / known


def squared_error(
    scores: Float[Tensor, "*B F"], target: Float[Tensor, "*B F"]
) -> Float[Tensor, "*B"]:
    """Give the mean of (scores_j - target_j)^2 over the known numbers of a step.

    Args:
        scores: The predictions.
        target: What comes.

    Returns:
        The mean, for each step, in the target's unit, squared.
    """
    gaps, known = _gaps(scores, target)
    return gaps.square().sum(-1) / known


@dataclass(frozen=True)
class QuantileLoss:
    """The pinball loss: the mean of max(q e, (q - 1) e) over quantiles q, e = target - prediction.

    It is least where a share q of the targets lies below the prediction of the quantile q (Koenker
    and Bassett 1978).

    Attributes:
        quantiles: Each above 0 and below 1, rising.

    Raises:
        InputError: There is none, or they are out of range or order.

    Example:
        >>> loss = QuantileLoss((0.1, 0.5, 0.9))
        >>> round(float(loss(torch.tensor([0.0, 1.0, 3.0]), torch.tensor([2.0]))), 3)
        0.267
    """

    quantiles: tuple[float, ...]

    def __post_init__(self) -> None:
        inside = all(0 < q < 1 for q in self.quantiles)
        if not self.quantiles or not inside or list(self.quantiles) != sorted({*self.quantiles}):
            raise InputError(
                f"expected quantiles above 0 and below 1, rising, got {list(self.quantiles)}."
            )

    def __call__(
        self, scores: Float[Tensor, "*B G"], target: Float[Tensor, "*B F"]
    ) -> Float[Tensor, "*B"]:
        """Give the loss of each step.

        Args:
            scores: The quantiles of each number of the target side by side, F times Q of them.
            target: What comes.

        Returns:
            The mean over quantiles and known numbers.
        """
        levels = torch.tensor(self.quantiles, dtype=scores.dtype, device=scores.device)
        levels = levels.view(-1, *(1,) * target.dim())
        by_quantile = scores.unflatten(-1, (target.shape[-1], -1)).movedim(-1, 0)
        above, known = _gaps(by_quantile, target)
        return torch.maximum(-levels * above, (1 - levels) * above).mean(0).sum(-1) / known


def _bernoulli(scores: Tensor, target: Tensor) -> Tensor:
    """Give the negative log-likelihood of each number."""
    return functional.binary_cross_entropy_with_logits(scores, target, reduction="none")


def _gaps(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor | int]:
    """Give scores - target, 0 where a target is not known, and how many are known in each step."""
    # Most batches are known throughout, and then a third of the work is enough.
    unknown = target.isnan()
    if not unknown.any():
        return scores - target, target.shape[-1]
    # A NaN that is left out does not reach the gradient of a difference.
    return torch.where(unknown, 0, scores - target), (~unknown).sum(-1).clamp(min=1)
