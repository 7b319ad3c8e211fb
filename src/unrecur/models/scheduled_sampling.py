"""Scheduled sampling: a decoder that is trained on more and more of its own tokens."""

import math

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from unrecur import _check
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, zero_padding


def teacher_forced(
    model: AbstractSequenceModel,
    state: State | None,
    target_in: Integer[Tensor, "B T"],
    probability: float,
    generator: torch.Generator | None = None,
    lengths: Integer[Tensor, " B"] | None = None,
) -> Float[Tensor, "B T E"]:
    """Run a decoder over a target, with some tokens replaced by those that it finds likeliest.

    At each step after the first, each row reads the true token with the given probability, and
    else the likeliest token by the scores of the step before (Bengio, Vinyals, Jaitly, Shazeer
    2015, arXiv 1506.03099, section 2.4). The choice itself has no gradient.

    Args:
        model: Any model from token ids to scores of tokens.
        state: The state to begin with; None for the state before the first input.
        target_in: The true inputs, the start token first.
        probability: How likely a true token is, from 0 to 1.
        generator: Where the randomness comes from, on the CPU; torch's own where left out.
        lengths: How many steps of each row are valid; None when all are.

    Returns:
        The scores of every step.

    Raises:
        InputError: The probability is out of range.
    """
    if not 0 <= probability <= 1:
        raise _check.InputError(f"probability must lie between 0 and 1, got {probability}.")
    target_in = zero_padding(target_in, lengths)
    draws = torch.rand(target_in.shape, generator=generator).to(target_in.device)
    outputs: list[Tensor] = []
    for true, draw in zip(target_in.unbind(1), draws.unbind(1), strict=True):
        own = outputs[-1].argmax(-1) if outputs else true
        y, state = model.step(torch.where(draw < probability, true, own), state)
        outputs.append(y)
    return torch.stack(outputs, 1)


def linear_decay(update: int, slope: float, offset: float = 1.0, least: float = 0.0) -> float:
    """Give max(least, offset - slope i) after i updates, at most 1.

    Args:
        update: The number i of updates so far.
        slope: How much the probability falls with each.
        offset: Where it begins.
        least: Where it stays.

    Returns:
        The probability of a true token (Bengio et al. 2015, section 2.4).

    Example:
        >>> [linear_decay(i, slope=0.25, least=0.1) for i in range(6)]
        [1.0, 0.75, 0.5, 0.25, 0.1, 0.1]
    """
    return min(1.0, max(least, offset - slope * update))


def inverse_sigmoid_decay(update: int, speed: float) -> float:
    """Give k / (k + exp(i / k)) after i updates.

    Args:
        update: The number i of updates so far.
        speed: The number k, at least 1; the larger, the later the decay.

    Returns:
        The probability of a true token (Bengio et al. 2015, section 2.4).

    Raises:
        InputError: The speed is below 1.

    Example:
        >>> [round(inverse_sigmoid_decay(i, speed=10), 2) for i in (0, 20, 40, 80)]
        [0.91, 0.58, 0.15, 0.0]
    """
    if not speed >= 1:
        raise _check.InputError(f"speed must be at least 1, got {speed}.")
    # 1 / (1 + exp(i / k - log k)), written so that nothing overflows.
    return (1 - math.tanh((update / speed - math.log(speed)) / 2)) / 2
