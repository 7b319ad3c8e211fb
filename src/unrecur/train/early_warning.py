"""Early warnings: which layer's gradient explodes or vanishes, where, and what to change."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from torch import nn

from unrecur.cells.elman import Elman
from unrecur.core.cell import AbstractCell
from unrecur.layers.initialize import keeping
from unrecur.train.monitor import Measurement

GROWTH = 100.0  # of the gradient over the lags: it explodes
LEFT = 1e-3  # of the gradient: it has vanished
SHORT = 3  # lags: a model whose gradient is gone by then learns next to nothing from the past
RISE = 100.0  # of a layer's gradient over its median so far
EARLIER = 5  # measurements that make a median
IN_A_ROW = 3  # measurements


@dataclass(frozen=True)
class GradientWarning:
    """What is wrong with the gradients of a layer, and what to do about it.

    Attributes:
        layer: The name of the layer.
        kind: What its gradient does.
        lag: How many steps back it does, for a recurrent layer; None where it does from one batch
            to others.
        epoch: When it was first seen: the epoch, counted from 1.
        batch: The batch of it, counted from 1.
        proposal: What was seen and what to change, in one sentence.
    """

    layer: str
    kind: Literal["explodes", "vanishes"]
    lag: int | None
    epoch: int
    batch: int
    proposal: str


def warnings_of(
    history: Sequence[Measurement], model: nn.Module, needed: int | None = None
) -> list[GradientWarning]:
    """Draw warnings from the measurements of a run.

    The gradient of a recurrent layer explodes at the first lag at which it is over 100 times that
    at the output; it vanishes at the lag from which on it is less than a thousandth, if inputs
    matter that are as far back: `needed` steps, or, where that is not known, 3 in three
    measurements in a row. Of layers that explode at about the same lag the uppermost is named, as
    gradients reach those below through it. Any layer explodes where its gradient is not finite, or
    over 100 times its median so far and larger than its weights.

    Args:
        history: The measurements, in order.
        model: The model they are of.
        needed: How many steps back inputs matter, if that is known.

    Returns:
        The first warning of each layer and kind, in order.
    """
    modules = dict(model.named_modules())
    found: dict[tuple[str, str], GradientWarning] = {}
    for number, now in enumerate(history):
        vanishing = _vanishing_lags(now, modules, needed)
        if needed is None:  # a gate that is shut for a moment is nothing to speak of
            recent = history[max(0, number - IN_A_ROW + 1) : number + 1]
            every = [_vanishing_lags(one, modules, needed).keys() for one in recent]
            lasting = set.intersection(*map(set, every)) if len(recent) == IN_A_ROW else set()
            vanishing = {layer: vanishing[layer] for layer in vanishing if layer in lasting}
        of_lags = [*_exploding_lags(now, modules), *vanishing.values()]
        # Where lags say which layer it is, the layers that only suffer from it are not named.
        others = [] if of_lags else _rising(now, history[:number], modules)
        for warning in chain(of_lags, others):
            found.setdefault((warning.layer, warning.kind), warning)
    return list(found.values())


def _exploding_lags(now: Measurement, modules: dict[str, nn.Module]) -> list[GradientWarning]:
    """Find the recurrent layers whose own gradient grows with the lag, from the uppermost down."""
    warnings, above = [], math.inf
    for layer, norms in reversed(now.lags.items()):
        start = max(norms[:2])  # an LSTM's loss reaches its memory one step back
        over = (lag for lag, norm in enumerate(norms) if not norm <= GROWTH * start)
        lag = next(over, None) if start > 0 else None
        # A layer passes on what the layers above it amplify; growth of its own makes it faster.
        if lag is None or lag > 0.75 * above:
            continue
        above = lag
        cell = modules[layer]
        start_so = "initialization='orthogonal', " if isinstance(cell, Elman) else ""
        proposal = (
            f"The gradient of {_called(layer, cell)} is over 100 times larger {lag} steps back: "
            f"clip it, lower learning_rate, or take {start_so}a look_back below {lag}, or --stable."
        )
        warnings.append(GradientWarning(layer, "explodes", lag, now.epoch, now.batch, proposal))
    return warnings


def _vanishing_lags(
    now: Measurement, modules: dict[str, nn.Module], needed: int | None
) -> dict[str, GradientWarning]:
    """Find the recurrent layers whose gradient does not reach back as far as inputs matter."""
    warnings = {}
    for layer, norms in now.lags.items():
        start = max(norms[:2])
        left = [lag for lag, norm in enumerate(norms) if not norm < LEFT * start]
        # Without any gradient at the output there is nothing to compare with.
        lag = left[-1] + 1 if start > 0 else len(norms)
        if lag == len(norms) or lag > (SHORT if needed is None else needed):
            continue
        far = "" if needed is None else f", and inputs matter {needed} steps back"
        proposal = (
            f"The gradient of {_called(layer, modules[layer])} is less than a thousandth {lag} "
            f"steps back{far}: {_cure(modules[layer], needed)}."
        )
        warnings[layer] = GradientWarning(layer, "vanishes", lag, now.epoch, now.batch, proposal)
    return warnings


def _cure(cell: nn.Module, needed: int | None) -> str:
    """Say how to let a gradient reach further back."""
    if isinstance(cell, Elman):
        return (
            "take an lstm or a gru, initialization='orthogonal', or activation='relu' with "
            "initialization='identity'"
        )
    if isinstance(cell, AbstractCell) and keeping(cell)[1]:
        if needed is None:
            return "open its gates with initialization='forget_bias' if inputs further back matter"
        return (
            "open its gates with initialization='chrono' and initialization_options="
            f"{{'longest': {max(needed, 3)}}}, or 'forget_bias'"
        )
    return "lower learning_rate, or take an lstm with initialization='chrono'"


def _rising(
    now: Measurement, before: Sequence[Measurement], modules: dict[str, nn.Module]
) -> list[GradientWarning]:
    """Find the layer whose gradient has risen most, if far above what it was."""
    rises: dict[str, float] = {}
    for layer, norm in now.norms.items():
        earlier = sorted(past.norms[layer] for past in before if layer in past.norms)
        if not math.isfinite(norm):
            rises[layer] = math.inf
        elif len(earlier) >= EARLIER and now.relative[layer] > 1:
            rises[layer] = norm / max(earlier[len(earlier) // 2], 1e-30)
    # The uppermost of equals: gradients that are not finite spread downward.
    layer = max(reversed(rises), key=lambda name: rises[name], default="")
    if rises.get(layer, 0) <= RISE:
        return []
    size = "not finite" if math.isinf(rises[layer]) else f"{rises[layer]:.0f} times its median"
    proposal = (
        f"The gradient of {_called(layer, modules[layer])} is {size}: lower learning_rate or clip."
    )
    return [GradientWarning(layer, "explodes", None, now.epoch, now.batch, proposal)]


def _called(layer: str, module: nn.Module) -> str:
    """Name a layer with its kind."""
    return f"{layer or 'the model'} ({type(module).__name__})"
