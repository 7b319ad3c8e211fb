"""How much one step of a recurrence pulls states together, on the states that data visit."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur import _check
from unrecur.certificates.certificate import Evidence
from unrecur.certificates.dynamics import Dynamics, check_range, in_float64
from unrecur.core.cell import AbstractCell
from unrecur.layers.recurrent import Recurrent

NEARBY = 1e-6  # a nearby state's distance, relative to the size of the state
OTHERS = 8  # distant states that each sampled state is paired with


@dataclass(frozen=True)
class OneStepRatio:
    """The largest |phi(h, x) - phi(g, x)| / |h - g| that was seen.

    Attributes:
        norm: The norm of the state, "2" or "sup".
        nearby: Over states 1e-6 apart in the direction that the Jacobian stretches most.
        distant: Over pairs of visited states further apart than that; None where there are none.
        evidence: `MEASURED`: a rate of contraction can only be larger.
    """

    norm: Literal["2", "sup"]
    nearby: float
    distant: float | None
    evidence: Evidence = Evidence.MEASURED

    @property
    def largest(self) -> float:
        """The larger of both."""
        return self.nearby if self.distant is None else max(self.nearby, self.distant)


@torch.no_grad()
def one_step_ratio(
    cell: AbstractCell | Recurrent,
    x: Float[Tensor, "B T D"],
    state: Float[Tensor, "B S"] | None = None,
    norm: Literal["2", "sup"] = "2",
    samples: int = 256,
    seed: int = 0,
) -> OneStepRatio:
    """Measure the largest |phi(h, x) - phi(g, x)| / |h - g| along data.

    The states h and inputs x are those of sampled steps. For nearby pairs g is a small step from h
    in the direction that the Jacobian stretches most; for distant ones g is a state visited at
    another step or in another row. What was seen bounds the rate of contraction from below.

    Args:
        cell: A cell, or a recurrent layer (see `lyapunov_exponents`).
        x: The inputs.
        state: The states before them; zeros where left out.
        norm: The norm of the state, "2" or "sup".
        samples: How many steps of the data to look at; all where there are fewer.
        seed: Which ones.

    Returns:
        The largest ratios.

    Raises:
        InputError: A shape is wrong, the norm unknown, samples below 1, or a state or Jacobian is
            beyond float64.

    Example:
        >>> from unrecur.cells import Elman
        >>> cell = Elman(1, 1, activation="relu")
        >>> for weight in cell.parameters():
        ...     _ = weight.data.fill_(0.5)
        >>> round(one_step_ratio(cell, torch.rand(2, 50, 1)).largest, 6)
        0.5
    """
    _check.known_name(norm, ("2", "sup"), "norm")
    _check.positive_integer(samples, "samples")
    dynamics, x, h = in_float64(cell, x, state)
    states, inputs = dynamics.trajectory(h, x).flatten(0, 1), x.flatten(0, 1)
    generator = torch.Generator().manual_seed(seed)
    index = torch.randperm(len(states), generator=generator)[:samples].to(h.device)
    h, inputs = states[index], inputs[index]
    jacobian = dynamics.jacobian(h, inputs)
    check_range(0, jacobian)
    step = NEARBY * (1 + h.abs().amax(1, keepdim=True))
    nearby = _ratios(dynamics, h, h + step * _steepest(jacobian, norm), inputs, norm)
    others = torch.randint(len(states), (OTHERS, len(h)), generator=generator).to(h.device)
    distant = torch.cat([_ratios(dynamics, h, states[other], inputs, norm) for other in others])
    return OneStepRatio(norm, float(nearby.max()), float(distant.max()) if len(distant) else None)


def _steepest(jacobian: Tensor, norm: str) -> Tensor:
    """Give the direction of norm 1 that each Jacobian stretches most."""
    if norm == "2":
        return torch.linalg.svd(jacobian).Vh[:, 0]
    row = jacobian.abs().sum(-1).argmax(-1)
    steepest = jacobian[torch.arange(len(row), device=row.device), row]
    return torch.where(steepest < 0, -1.0, 1.0).to(jacobian)


def _ratios(dynamics: Dynamics, h: Tensor, g: Tensor, x: Tensor, norm: str) -> Tensor:
    """Give |phi(h, x) - phi(g, x)| / |h - g| of the rows where rounding is no part of it."""
    order = 2.0 if norm == "2" else math.inf
    apart = (h - g).norm(order, dim=-1)
    after = (dynamics.phi(h, x) - dynamics.phi(g, x)).norm(order, dim=-1)
    return (after / apart)[apart > NEARBY / 2 * (1 + h.abs().amax(-1))]
