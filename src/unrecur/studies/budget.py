"""The matched budget: models of different architectures with the same number of parameters."""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Any

from unrecur import _check
from unrecur._check import InputError
from unrecur.models import MODELS
from unrecur.models.spec import Spec

MATCHED = 0.02
NEAR = 64  # widths beside the nearest one that are tried where it cannot be built
WIDEST = 2**24
FINER, FEWER, MORE = 1.005, 139, 278  # 1.005^-139 is a half, 1.005^278 is 4


class BudgetError(InputError):
    """A model cannot have so many parameters."""


def matched(model: str, options: dict[str, Any], parameters: int) -> Spec:
    """Find the width with which a model comes nearest to a number of parameters.

    Args:
        model: A name of `MODELS` whose builder takes `hidden`.
        options: Its other options.
        parameters: How many parameters it should have.

    Returns:
        The spec, with `hidden` chosen.

    Raises:
        BudgetError: No width comes within 2 %.
        InputError: The number is below 1, or an option is wrong.

    Example:
        >>> spec = matched("lstm", {"in_features": 88, "out_features": 88}, 120_000)
        >>> spec.options["hidden"], spec.parameters
        (126, 120040)
    """
    _check.positive_integer(parameters, "parameters")
    architecture = MODELS[_check.known_name(model, MODELS, "model")]

    def distance(spec: Spec) -> int:
        return abs(spec.formula - parameters)

    def at(hidden: int) -> Spec:
        return Spec(model, {**options, "hidden": hidden})

    crossing = _crossing(at, parameters)
    near = [at(hidden) for hidden in range(max(1, crossing - NEAR), crossing + NEAR)]
    nearest = _first_built(sorted(near, key=distance))
    filler = architecture.filler
    if distance(nearest) > MATCHED * parameters and filler and filler not in options:
        below = [spec for spec in reversed(near) if spec.formula <= parameters]
        base = _first_built(below or near)

        def filled(width: int) -> Spec:
            return Spec(model, {**base.options, filler: width})

        width = _crossing(filled, parameters)
        nearest = min((filled(w) for w in (max(1, width - 1), width)), key=distance)
    if distance(nearest) > MATCHED * parameters:
        raise BudgetError(
            f"no width gives a {model} {parameters} parameters within {MATCHED:.0%}; the nearest "
            f"has {nearest.parameters}. Ask for about that many, or for more."
        )
    return nearest


def common_budget(models: Iterable[tuple[str, dict[str, Any]]], about: int) -> int:
    """Find a number of parameters that all of some models can have.

    Small models have few widths, so that not every number can be met within 2 % by all.

    Args:
        models: The name and the options of each.
        about: The number to be near to.

    Returns:
        The nearest that is found, in steps of 0.5 %, from half as many to 4 times as many.

    Raises:
        InputError: There is none, or an option is wrong.

    Example:
        >>> tcn = {"in_features": 2, "out_features": 1, "levels": 5, "kernel_size": 2}
        >>> common_budget([("lstm", {"in_features": 2, "out_features": 1}), ("tcn", tcn)], 20_000)
        20200
    """
    asked = list(models)
    refused: InputError | None = None
    for steps in sorted(range(-FEWER, MORE), key=abs):
        parameters = round(about * FINER**steps)
        try:
            for name, options in asked:
                matched(name, options, parameters)
        except InputError as error:
            refused = refused or error
        else:
            return parameters
    assert refused is not None  # there is a number to try
    raise refused


def _crossing(at: Callable[[int], Spec], parameters: int) -> int:
    """Find the least width with at least so many parameters."""
    high = 1
    while at(high).formula < parameters and high < WIDEST:
        high *= 2
    return bisect_left(range(high), parameters, lo=1, key=lambda width: at(width).formula)


def _first_built(specs: Iterable[Spec]) -> Spec:
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
