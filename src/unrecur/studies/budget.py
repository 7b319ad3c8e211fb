"""The matched budget: models of different architectures with the same number of parameters."""

from typing import Any

from unrecur import _check
from unrecur._check import InputError
from unrecur.models.spec import Spec

MATCHED = 0.02


def matched(model: str, options: dict[str, Any], parameters: int) -> Spec:
    """Find the width with which a model comes nearest to a number of parameters.

    Args:
        model: A name of `MODELS` whose builder takes `hidden`.
        options: Its other options.
        parameters: How many parameters it should have.

    Returns:
        The spec, with `hidden` chosen.

    Raises:
        InputError: The number is below 1, or no width comes within 2 %.

    Example:
        >>> spec = matched("lstm", {"in_features": 88, "out_features": 88}, 120_000)
        >>> spec.options["hidden"], spec.parameters
        (126, 120040)
    """
    _check.positive_integer(parameters, "parameters")

    def at(hidden: int) -> Spec:
        return Spec(model, {**options, "hidden": hidden})

    high = 1
    while at(high).parameters < parameters:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at(middle).parameters < parameters else (low, middle)
    nearest = min(
        (at(hidden) for hidden in (low, high) if hidden),
        key=lambda spec: abs(spec.parameters - parameters),
    )
    off = abs(nearest.parameters - parameters) / parameters
    if off > MATCHED:
        raise InputError(
            f"no width gives a {model} {parameters} parameters within {MATCHED:.0%}; the nearest "
            f"has {nearest.parameters}. Ask for about that many, or for more."
        )
    return nearest
