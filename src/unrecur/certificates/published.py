"""Sufficient conditions for stability that others have published, to compare ours with.

They are computed as published, in float64 and without the model's rounding: they are no proofs
here. Each says how much room is left; it holds where that is above zero. What papers assume of the
inputs (|x| <= 1) is replaced by the given set of inputs. States are within [-1, 1], or started at
zero. The LSTM's condition follows Terzi et al. in the code of one of its authors
(github.com/bonassifabio/ssnet; its second inequality lacks the factor |U_o|) and was derived anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from unrecur.cells import GRU, LSTM, Elman
from unrecur.cells.gated import AbstractTorchCell
from unrecur.certificates.inputs import InputSet


@dataclass(frozen=True)
class Outcome:
    """Whether a condition holds.

    Attributes:
        margin: How much room is left; the scale is the condition's own.
    """

    margin: float

    @property
    def holds(self) -> bool:
        """Whether there is any room; False where the margin is not a number."""
        return self.margin > 0


@dataclass(frozen=True)
class Gate:
    """The weights of one gate in float64.

    Attributes:
        inputs: Its weights for the inputs.
        hidden: Its weights for the hidden state.
        bias: The sum of its biases.
    """

    inputs: Float64[Tensor, "H D"]
    hidden: Float64[Tensor, "H H"]
    bias: Float64[Tensor, " H"]

    def largest(self, given: InputSet) -> float:
        """Bound the pre-activations from above for |h| <= 1."""
        return float((given.largest(self.inputs) + self.bias + self.hidden.abs().sum(1)).max())

    def size(self, given: InputSet) -> float:
        """Bound the magnitude of the pre-activations for |h| <= 1: the sup norm of [W, U, b]."""
        outer = self.inputs.abs() @ given.magnitude + self.bias.abs()
        return float((outer + self.hidden.abs().sum(1)).max())

    def norm(self, order: float) -> float:
        """Give an operator norm of the recurrent weights: 2, or infinity for the sup norm."""
        return float(torch.linalg.matrix_norm(self.hidden, order))


def _gates(cell: AbstractTorchCell) -> list[Gate]:
    """Give a cell's gates in torch's order."""
    w_x, w_h, *biases = (weight.detach().double().cpu() for weight in cell.weights)
    bias = sum(biases, torch.zeros(len(w_x), dtype=torch.float64))
    parts = (part.chunk(cell.gates) for part in (w_x, w_h, bias))
    return [Gate(*gate) for gate in zip(*parts, strict=True)]


def _sigmoid(x: float) -> float:
    """Give the logistic function."""
    return float(torch.sigmoid(torch.tensor(x, dtype=torch.float64)))


def _tanh(x: float) -> float:
    """Give the hyperbolic tangent."""
    return float(torch.tanh(torch.tensor(x, dtype=torch.float64)))


def spectral_elman(cell: Elman, inputs: InputSet) -> Outcome:
    """Check |W|_2 < 1, for an activation with slopes up to 1 (Miller and Hardt 2019).

    Args:
        cell: The cell.
        inputs: Any inputs.

    Returns:
        1 - |W|_2.
    """
    return Outcome(1 - _gates(cell)[0].norm(2))


def miller_hardt_lstm(cell: LSTM, inputs: InputSet) -> Outcome:
    """Check the four conditions of Miller and Hardt (2019, arXiv 1805.10369), in the sup norm.

    |W_i| < 1 - phi, |W_o| < 1 - phi, |W_g| <= (1 - phi) / 4, |W_f| < (1 - phi)^2, for phi the
    largest forget gate on the inputs and |h| <= 1.

    Args:
        cell: The cell.
        inputs: The inputs.

    Returns:
        The least of the four differences; at zero it does not hold, |W_g| included.
    """
    i, f, g, o = _gates(cell)
    room = _sigmoid(-f.largest(inputs))  # 1 - phi
    sides = ((i, room), (o, room), (g, room / 4), (f, room**2))
    return Outcome(min(limit - gate.norm(torch.inf) for gate, limit in sides))


def delta_iss_lstm(cell: LSTM, inputs: InputSet) -> Outcome:
    """Check the incremental stability of Terzi et al. (arXiv 1910.04024), in the 2-norm.

    The spectral radius of [[s_f, a], [s_o s_f, s_o a + tanh(c) |W_o| / 4]] is below 1, with gates
    up to s_i, s_f, s_o, candidates up to p, cells up to c = s_i p / (1 - s_f), and
    a = c |W_f| / 4 + s_i |W_g| + p |W_i| / 4.

    Args:
        cell: The cell.
        inputs: The inputs.

    Returns:
        1 minus the spectral radius; minus infinity where a forget gate can reach 1.
    """
    i, f, g, o = _gates(cell)
    s_i, s_f, s_o = (_sigmoid(gate.size(inputs)) for gate in (i, f, o))
    p, room = _tanh(g.size(inputs)), _sigmoid(-f.size(inputs))
    if room == 0:
        return Outcome(-torch.inf)
    c = s_i * p / room
    a = c * f.norm(2) / 4 + s_i * g.norm(2) + p * i.norm(2) / 4
    rows = [[s_f, a], [s_o * s_f, s_o * a + _tanh(c) * o.norm(2) / 4]]
    if not torch.tensor(rows).isfinite().all():
        return Outcome(-torch.inf)
    values = torch.linalg.eigvals(torch.tensor(rows, dtype=torch.float64))
    return Outcome(1 - float(values.abs().max()))


def delta_iss_gru(cell: GRU, inputs: InputSet) -> Outcome:
    """Check the incremental stability of Bonassi et al. (arXiv 2011.06806), in the sup norm.

    |W_n| (|W_r| / 4 + s_r) < 1 - (1 + p) |W_z| / (4 (1 - s_z)), with gates up to s_r, s_z and
    candidates up to p. The paper resets the state before the product with W_n; torch resets
    W_n h + b_n, so that |W_n| |W_r| / 4 becomes (|W_n| + |b_n|) |W_r| / 4.

    Args:
        cell: The cell.
        inputs: The inputs.

    Returns:
        The right side minus the left; minus infinity where an update gate can reach 1.
    """
    r, z, n = _gates(cell)
    biases = [bias.detach().double().cpu().chunk(3)[2].abs() for bias in cell.weights[2:]]
    n = replace(n, bias=sum(biases, torch.zeros_like(n.bias)))
    s_r, p, room = _sigmoid(r.size(inputs)), _tanh(n.size(inputs)), _sigmoid(-z.size(inputs))
    if room == 0:
        return Outcome(-torch.inf)
    inside = n.norm(torch.inf) + max((float(bias.max()) for bias in biases[1:]), default=0.0)
    left = n.norm(torch.inf) * s_r + inside * r.norm(torch.inf) / 4
    return Outcome(1 - (1 + p) * z.norm(torch.inf) / (4 * room) - left)


CONDITIONS: Mapping[type[AbstractTorchCell], Mapping[str, Callable[[Any, InputSet], Outcome]]] = {
    Elman: {"spectral norm": spectral_elman},
    LSTM: {"Miller and Hardt 2019": miller_hardt_lstm, "Terzi et al. 2019": delta_iss_lstm},
    GRU: {"Bonassi et al. 2020": delta_iss_gru},
}


def check_published(cell: AbstractTorchCell, inputs: InputSet) -> dict[str, Outcome]:
    """Check all published conditions for a cell.

    Args:
        cell: The cell.
        inputs: The inputs.

    Returns:
        The outcome of each by name; empty where there is none for such a cell.

    Example:
        >>> from unrecur.certificates.inputs import read_inputs
        >>> cell = Elman(1, 2)
        >>> _ = cell.weight_hh_l0.data.copy_(torch.tensor([[0.0, 0.5], [-0.5, 0.0]]))
        >>> check_published(cell, read_inputs(1.0, 1))
        {'spectral norm': Outcome(margin=0.5)}
    """
    found = CONDITIONS.get(type(cell), {})
    return {name: condition(cell, inputs) for name, condition in found.items()}
