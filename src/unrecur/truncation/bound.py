"""The error of a truncated model, bounded by a certificate; the least window for an error."""

import math
from typing import Any

from torch import nn

from unrecur import _check
from unrecur._check import InputError
from unrecur.certificates.certificate import Certificate, Evidence
from unrecur.certificates.contraction import SLACK, certify
from unrecur.certificates.rounding import rounding_of
from unrecur.core.compose import Pointwise, in_series
from unrecur.core.model import AbstractSequenceModel
from unrecur.layers.recurrent import Recurrent
from unrecur.truncation.window import Window

LONGEST = 2**20  # a window no model is unrolled over


def output_bound(model: AbstractSequenceModel, certificate: Certificate, k: int) -> float:
    """Bound |y_t - y^k_t| in every output, for a certificate of the model's state.

    Behind the recurrent layer only dropout (off) and one linear map W h + b are understood; it
    lets through the largest dual norm of a row of W: its l1 norm for a state error in the sup norm,
    its 2-norm for one in the 2-norm (THEORY, "Inference", L_f).

    Args:
        model: The model that was certified.
        certificate: Its certificate.
        k: The length of the window.

    Returns:
        The bound on each output; infinity where nothing is known.
    """
    if certificate.evidence is Evidence.UNKNOWN:
        return math.inf
    first, *behind = in_series(model)
    if not (isinstance(first, Recurrent) and all(isinstance(part, Pointwise) for part in behind)):
        return math.inf
    error = certificate.bound(k)
    modules = [part.module for part in behind if isinstance(part, Pointwise)]
    maps = [module for module in modules if not isinstance(module, nn.Dropout)]
    if not maps:
        return error
    if len(maps) > 1 or not isinstance(maps[0], nn.Linear):
        return math.inf
    weight = maps[0].weight.detach().double()
    order = 1 if certificate.norm == "sup" else 2
    gain = float(weight.norm(order, dim=1).max()) * SLACK
    bias = 0.0 if maps[0].bias is None else maps[0].bias.detach().double().abs()
    size = float((weight.abs().sum(1) * certificate.start + bias).max())
    gamma = rounding_of(maps[0].weight).gamma(weight.shape[1] + 2)
    return gain * error + 2 * gamma * size


def truncate(
    model: AbstractSequenceModel,
    k: int | None = None,
    eps: float | None = None,
    input_box: Any = None,
) -> Window:
    """Truncate a model to its last k inputs, or to the least k proved to err by at most eps.

    Args:
        model: A causal model with a step form.
        k: The length of the window. Give either this or eps.
        eps: The largest error allowed in any output; needs a model that `certify` can prove.
        input_box: The inputs the proof holds for, with eps: a number B for |x| <= B, or a pair
            (low, high).

    Returns:
        The feed-forward model.

    Raises:
        InputError: Not exactly one of k and eps is given, eps comes without an input box, or no
            window is proved to reach it.

    Example:
        >>> import torch, unrecur
        >>> model = unrecur.build("lstm", in_features=3, out_features=2, hidden=8).eval()
        >>> unrecur.project_(model, (0, 1), rate=0.8)
        >>> unrecur.truncate(model, eps=1e-2, input_box=(0, 1)).k < 60
        True
    """
    if k is not None and eps is None:
        return Window(model, k)
    if k is not None or eps is None:
        raise InputError("give either k (a window) or eps (an error), not both and not neither.")
    if input_box is None:
        raise InputError(
            "eps needs input_box, the inputs it shall hold for: (low, high) or a number."
        )
    certificate = certify(model, input_box)
    return Window(model, least_window(model, certificate, eps))


def least_window(model: AbstractSequenceModel, certificate: Certificate, eps: float) -> int:
    """Find the least k whose proved output error is at most eps.

    Args:
        model: The model that was certified.
        certificate: Its certificate.
        eps: The largest error allowed in any output.

    Returns:
        The least k, at least 1.

    Raises:
        InputError: eps is not a finite number above 0, or no window below 2^20 inputs is proved
            to reach it.
    """
    _check.positive(eps, "eps")
    high = 1
    while output_bound(model, certificate, high) > eps:
        high *= 2
        if high > LONGEST:
            why = "; ".join(certificate.reasons)
            raise InputError(
                f"no window is proved to err by at most {eps:g} ({why}). Give k and measure the "
                "error, or train the model to be stable."
            )
    low = high // 2  # does not reach it, or is 0
    while high - low > 1:
        middle = (low + high) // 2
        if output_bound(model, certificate, middle) > eps:
            low = middle
        else:
            high = middle
    return high
