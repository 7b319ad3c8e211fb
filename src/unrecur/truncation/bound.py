"""The error of a truncated model, bounded by a certificate; the least window for an error."""

import math
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from unrecur import _check
from unrecur._check import InputError
from unrecur.certificates.certificate import Certificate, Evidence
from unrecur.certificates.contraction import certify
from unrecur.certificates.pairs import SLACK
from unrecur.certificates.rounding import rounding_of
from unrecur.core.compose import Pointwise, in_series
from unrecur.core.model import AbstractSequenceModel
from unrecur.layers.recurrent import Recurrent
from unrecur.truncation.chunked import ChunkedWindow
from unrecur.truncation.window import Window

Form = Literal["exact", "chunked", "cheaper"]
LONGEST = 2**20  # a window no model is unrolled over
# Nowhere steeper than 1, and |rho(x)| <= max(|x|, 1).
ACTIVATIONS = (nn.Identity, nn.Tanh, nn.Sigmoid, nn.ReLU, nn.LeakyReLU, nn.Softsign)


def output_bound(model: AbstractSequenceModel, certificate: Certificate, k: int) -> float:
    """Bound |y_t - y^k_t| in every output, for a certificate of the model's recurrence.

    Behind the recurrent layer linear maps, activations that are at most as steep as the identity
    (`ACTIVATIONS`) and dropout (off) are understood: an error e per unit goes through W h + b as
    |W| e (THEORY, "Inference", L_f). The rounding of both runs is added.

    Args:
        model: The model that was certified.
        certificate: Its certificate.
        k: The length of the window.

    Returns:
        The bound on each output; infinity where nothing is known.
    """
    if certificate.evidence is Evidence.UNKNOWN:
        return math.inf
    models = in_series(model)
    layers = [place for place, part in enumerate(models) if isinstance(part, Recurrent)]
    if not layers:
        return math.inf
    behind = models[layers[-1] + 1 :]
    if not all(isinstance(part, Pointwise) for part in behind):
        return math.inf
    error = certificate.output(k)
    if error is None:
        error = torch.full((models[layers[-1]].out_features,), certificate.bound(k)).double()
    largest = [float(torch.maximum(-low, high).max()) for low, high in certificate.state_box]
    size = torch.full_like(error, max(largest, default=certificate.start))
    for part in behind:
        module = cast("Pointwise", part).module
        if isinstance(module, nn.Linear):
            error, size = _through(module, error, size)
        elif type(module) in ACTIVATIONS and _slope(module) <= 1:
            error = error + 2 * rounding_of(next(model.parameters())).activation * size.clamp(min=1)
        elif not isinstance(module, nn.Dropout):
            return math.inf
    return float(error.max())


def _slope(module: nn.Module) -> float:
    """Give the slope below zero where it is the user's."""
    return abs(module.negative_slope) if isinstance(module, nn.LeakyReLU) else 1.0


def _through(linear: nn.Linear, error: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Send an error and the largest magnitudes through W h + b, rounded in both runs."""
    weight = linear.weight.detach().double().cpu().abs()
    bias = torch.zeros(1) if linear.bias is None else linear.bias.detach().double().cpu().abs()
    gamma = rounding_of(linear.weight).gamma(weight.shape[1] + 2)
    largest = weight @ size + bias
    return weight @ error * SLACK + 2 * gamma * largest, largest


def truncate(
    model: AbstractSequenceModel,
    k: int | None = None,
    eps: float | None = None,
    input_box: Any = None,
    form: Form = "exact",
) -> Window | ChunkedWindow:
    """Truncate a model to its last k inputs, or to the least k proved to err by at most eps.

    Args:
        model: A causal model with a step form.
        k: The length of the window. Give either this or eps.
        eps: The largest error allowed in any output; needs a model that `certify` can prove.
        input_box: The inputs the proof holds for: a number B for |x| <= B, or a pair (low, high).
            Needed with eps; with k, the bound is attached where there is one.
        form: "exact": every output from exactly k inputs, a feed-forward model (`Window`, k steps
            of the model for each output). "chunked": from at least k, for 1 + (k - 1) / C of a step
            (`ChunkedWindow`). "cheaper": whichever costs less; its type and `cost` say.

    Returns:
        The truncated model; its `bound` is what is proved of any output's error, None where
        nothing is.

    Raises:
        InputError: Not exactly one of k and eps is given, eps comes without an input box, no
            window is proved to reach it, or the form is unknown.

    Example:
        >>> import torch, unrecur
        >>> model = unrecur.build("lstm", in_features=3, out_features=2, hidden=8).eval()
        >>> unrecur.project_(model, (0, 1), rate=0.8)
        >>> short = unrecur.truncate(model, eps=1e-2, input_box=(0, 1))
        >>> short.k < 60, short.bound <= 1e-2
        (True, True)
    """
    _check.known_name(form, get_args(Form), "form")
    if (k is None) == (eps is None):
        raise InputError("give either k (a window) or eps (an error), not both and not neither.")
    if eps is not None and input_box is None:
        raise InputError(
            "eps needs input_box, the inputs it shall hold for: (low, high) or a number."
        )
    bound: float | None = None
    if input_box is not None:
        certificate = certify(model, input_box)
        if eps is not None:
            k = least_window(model, certificate, eps)
        assert k is not None
        _check.positive_integer(k, "k")
        bound = output_bound(model, certificate, k)
        bound = bound if math.isfinite(bound) else None
    assert k is not None
    exact, chunked = Window(model, k, bound), ChunkedWindow(model, k, bound=bound)
    if form == "cheaper":
        return exact if exact.cost <= chunked.cost else chunked
    return exact if form == "exact" else chunked


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
    while not output_bound(model, certificate, high) <= eps:
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
        if not output_bound(model, certificate, middle) <= eps:
            low = middle
        else:
            high = middle
    return high
