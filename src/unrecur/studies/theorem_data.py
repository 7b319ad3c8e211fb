"""The theorem's experiment: its settings, its models, and its data, all from one seed."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from unrecur import _check
from unrecur.cells import LSTM, Elman
from unrecur.core.cell import AbstractCell
from unrecur.core.compose import Pointwise, Serial
from unrecur.layers.recurrent import Recurrent

WINDOWS = (1, 2, 3, 5, 8, 12, 18, 24, 30, 36, 42, 48, 54, 60, 66, 72, 78)
CHECKPOINTS = (1, 2, 5, 10, 20, 50)


@dataclass(frozen=True)
class TheoremConfig:
    """The settings of the experiment.

    Attributes:
        seeds: Each case is run so many times, with seeds 0, 1, ...
        windows: The lengths k, in rising order.
        checkpoints: After how many steps N gaps are measured, in rising order; the last is the end.
        rate: The rate that stable models are projected to.
        step_size: alpha, the size of the first step; the unstable model's is a tenth of it.
        units: The number of units of each model.
        sequences: The number of sequences.
        counted: How many steps of each sequence count, the last ones; before them are as many
            inputs as the longest window needs, so that no window is cut short.

    Raises:
        InputError: A number is out of range or a list does not rise.
    """

    seeds: int = 3
    windows: tuple[int, ...] = WINDOWS
    checkpoints: tuple[int, ...] = CHECKPOINTS
    rate: float = 0.7
    step_size: float = 0.3
    units: int = 8
    sequences: int = 8
    counted: int = 20

    def __post_init__(self) -> None:
        for name in ("seeds", "units", "sequences", "counted"):
            _check.positive_integer(getattr(self, name), name)
        _check.positive(self.step_size, "step_size")
        _check.positive(self.rate, "rate")
        _check.fraction(self.rate, "rate")
        for name in ("windows", "checkpoints"):
            numbers = getattr(self, name)
            for number in numbers:
                _check.positive_integer(number, f"an entry of {name}")
            if list(numbers) != sorted(set(numbers)) or not numbers:
                raise _check.InputError(f"{name} must be numbers in rising order, got {numbers}.")

    @property
    def length(self) -> int:
        """The number of inputs of a sequence: the longest window has another input before it."""
        return self.counted + self.windows[-1]


SMOKE = TheoremConfig(
    seeds=1, windows=(1, 3, 5, 7, 9, 11), checkpoints=(1, 3), units=4, sequences=2, counted=4
)
"""An experiment of seconds that shows that everything runs; its fits mean nothing."""


@dataclass(frozen=True)
class Case:
    """One model of the experiment.

    Attributes:
        name: What it is called.
        cell: Its cell, "elman" or "lstm".
        stable: Whether it is projected after each step.
        scale: The largest input.
        claim: What is claimed of its gaps: that they fall at the certified rate ("attained"), at
            that rate or faster ("bounded"), or not at all ("flat").
        about: What it is, in a sentence.
        longest: The longest window that is tried; all of the settings' if left out.
        step_share: Its step size, as a share of the settings'.
    """

    name: str
    cell: Literal["elman", "lstm"]
    stable: bool
    scale: float
    claim: Literal["attained", "bounded", "flat"]
    about: str
    longest: int | None = None
    step_share: float = 1.0

    def windows(self, config: TheoremConfig) -> tuple[int, ...]:
        """Give the windows that are tried.

        Args:
            config: The settings.

        Returns:
            Their lengths.
        """
        return tuple(k for k in config.windows if k <= (self.longest or k))


CASES = (
    Case(
        "stable",
        "elman",
        True,
        0.02,
        "attained",
        "An Elman network projected to the rate. Its inputs are so small that tanh is nearly "
        "straight: the rate that is proved for all inputs is then the one that these inputs see.",
    ),
    Case(
        "unstable",
        "elman",
        False,
        1.0,
        "flat",
        "An Elman network from the same start without projection: recurrent weights of spectral "
        "radius 1.5, and inputs up to 1. Each unit has two places to rest at, and which it took "
        "was decided by inputs long past.",
        # With longer steps the order of the sums decides where its training ends, whatever k is.
        step_share=0.1,
    ),
    Case(
        "stable, wide inputs",
        "elman",
        True,
        1.0,
        "bounded",
        "The stable network on the data of the unstable one. Where tanh bends it forgets faster "
        "than its weights prove.",
    ),
    Case(
        "stable LSTM",
        "lstm",
        True,
        1.0,
        "bounded",
        "An LSTM on the data of the unstable network, projected to the rate by the sum condition, "
        "which no trained LSTM attains. Its set of stable weights is not convex, so that the "
        "theorem on training does not cover it.",
        longest=24,  # beyond is rounding only
    ),
)
GAIN = 1.5  # the recurrent weights start from this times the identity (Le et al. 2015)
FORGET_BIAS = 1.0  # as is usual; the projection lowers it


@dataclass(frozen=True)
class Problem:
    """What one run starts from; the same for the full recurrence and for every window.

    Attributes:
        model: The model at its start: a cell under a fixed readout of norm 1, float64.
        x: The inputs.
        target: The targets of the steps that count.
    """

    model: Serial
    x: Float64[Tensor, "B T 1"]
    target: Float64[Tensor, "B C 1"]

    @property
    def cell(self) -> AbstractCell:
        """The cell."""
        return next(each for each in self.model.modules() if isinstance(each, AbstractCell))

    @property
    def readout(self) -> Float64[Tensor, " H"]:
        """The readout's weights."""
        return next(w for w in self.model.parameters() if not w.requires_grad)[0]


def draw(case: Case, config: TheoremConfig, seed: int) -> Problem:
    """Draw data and start: the target is the sum of all inputs so far, over sqrt(T).

    Every input matters as much as the last, so that a model that forgets is drawn to the edge of
    the stable set, and the gradient through what a window cuts off does not vanish by itself.

    Args:
        case: The case.
        config: The settings.
        seed: The seed; cases with the same cell and seed start from the same weights, and all have
            the same data up to their scale.

    Returns:
        The problem; nothing is projected yet.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    shape = (config.sequences, config.length, 1)
    uniform = 2 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1
    x = case.scale * uniform
    make = Elman if case.cell == "elman" else LSTM
    cell = make(1, config.units, bias=case.cell == "lstm", dtype=torch.float64)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.copy_(normal(*weight.shape) / math.sqrt(config.units))
        if isinstance(cell, Elman):
            cell.weight_hh_l0.copy_(GAIN * torch.eye(config.units))
        elif cell.bias_ih_l0 is not None:
            cell.bias_ih_l0[config.units : 2 * config.units] = FORGET_BIAS
    head = nn.Linear(config.units, 1, bias=False, dtype=torch.float64).requires_grad_(False)
    readout = normal(1, config.units)
    head.weight.copy_(readout / readout.norm())
    model = Serial(Recurrent([cell]), Pointwise(head, config.units, 1))
    sums = x.cumsum(1)[:, -config.counted :] / math.sqrt(config.length)
    return Problem(model, x, sums)
