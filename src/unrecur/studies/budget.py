"""The matched budget: models of different architectures with the same number of parameters."""

from typing import Any

from unrecur import _check
from unrecur._check import InputError
from unrecur.models import MODELS
from unrecur.models.spec import Spec

MATCHED = 0.02
NEAR = 64  # widths beside the nearest one that are tried where it cannot be built
WIDEST = 2**24


def matched(model: str, options: dict[str, Any], parameters: int) -> Spec:
    """Find the width with which a model comes nearest to a number of parameters.

    Args:
        model: A name of `MODELS` whose builder takes `hidden`.
        options: Its other options.
        parameters: How many parameters it should have.

    Returns:
        The spec, with `hidden` chosen.

    Raises:
        InputError: The number is below 1, no width comes within 2 %, or an option is wrong.

    Example:
        >>> spec = matched("lstm", {"in_features": 88, "out_features": 88}, 120_000)
        >>> spec.options["hidden"], spec.parameters
        (126, 120040)
    """
    _check.positive_integer(parameters, "parameters")
    formula = MODELS[_check.known_name(model, MODELS, "model")].parameters

    def count(hidden: int) -> int:
        try:
            return formula(**{**options, "hidden": hidden})
        except TypeError as error:
            raise InputError(f"model '{model}': {error}.") from error

    high = 1
    while count(high) < parameters and high < WIDEST:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < parameters else (low, middle)
    near = range(max(1, low - NEAR), high + NEAR)
    widths = sorted(near, key=lambda hidden: abs(count(hidden) - parameters))
    nearest = _first_built([Spec(model, {**options, "hidden": hidden}) for hidden in widths])
    off = abs(nearest.parameters - parameters) / parameters
    if off > MATCHED:
        raise InputError(
            f"no width gives a {model} {parameters} parameters within {MATCHED:.0%}; the nearest "
            f"has {nearest.parameters}. Ask for about that many, or for more."
        )
    return nearest


def _first_built(specs: list[Spec]) -> Spec:
    """Take the first that can be built: not every width divides into heads or groups."""
    refused = None
    for spec in specs:
        try:
            _ = spec.parameters
        except InputError as error:
            refused = refused or error
        else:
            return spec
    assert refused is not None  # there is always a width to try
    raise refused
