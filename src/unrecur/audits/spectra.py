"""Singular values and eigenvalues of recurrent weights, and Lyapunov exponents along the data."""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from unrecur._check import InputError
from unrecur.cells.gated import AbstractTorchCell
from unrecur.certificates.spectrum import lyapunov_exponents
from unrecur.core.cell import AbstractCell
from unrecur.interop.custom import PhiCell

BLOCKS = {1: ("hidden",), 2: ("forget", "candidate"), 3: ("reset", "update", "candidate")}
BLOCKS[4] = ("input", "forget", "candidate", "output")
LARGE = 2048  # rows of a matrix whose eigenvalues are left out
STATES = 512  # numbers of a state whose Lyapunov exponents are measured
EXPONENTS = 32
WORK = 2**32  # multiplications spent on them


@dataclass(frozen=True, eq=False)
class WeightSpectrum:
    """One square block of recurrent weights.

    Attributes:
        name: The gate that it feeds.
        singular: Its singular values, falling; empty where it is too large.
        eigenvalues: Its eigenvalues, [H, 2] as real and imaginary parts; likewise.
    """

    name: str
    singular: Float64[Tensor, " H"]
    eigenvalues: Float64[Tensor, "H 2"]

    @property
    def radius(self) -> float:
        """The spectral radius."""
        return float(self.eigenvalues.norm(dim=1).amax()) if len(self.eigenvalues) else float("nan")


@torch.no_grad()
def weight_spectra(cell: AbstractCell) -> list[WeightSpectrum]:
    """Take the spectra of a cell's recurrent weights.

    Args:
        cell: The cell.

    Returns:
        One a gate; the diagonal of an affine cell does not have recurrent weights.
    """
    if not isinstance(cell, AbstractTorchCell):
        return []
    found = []
    for name, block in zip(BLOCKS[cell.gates], cell.weight_hh_l0.chunk(cell.gates), strict=True):
        matrix = block.detach().double().cpu()
        if len(matrix) > LARGE:
            nothing = torch.zeros(0, dtype=torch.float64)
            found.append(WeightSpectrum(name, nothing, nothing.view(0, 2)))
            continue
        values = torch.linalg.eigvals(matrix)
        order = values.abs().argsort(descending=True)
        pairs = torch.view_as_real(values[order])
        found.append(WeightSpectrum(name, torch.linalg.svdvals(matrix), pairs))
    return found


def exponents(cell: AbstractCell, x: Tensor, state: Tensor) -> list[float] | None:
    """Measure the largest Lyapunov exponents of a cell along its own inputs.

    Args:
        cell: The cell.
        x: The inputs, [B, T, D].
        state: The states before them, [B, S].

    Returns:
        The exponents in nats per step, falling; None where the state is too large, or leaves
        float64.
    """
    size = cell.state_size
    if size > STATES or isinstance(cell, PhiCell):
        return None
    count = min(size, EXPONENTS)
    steps = max(2, min(x.shape[1], WORK // (len(x) * size * size * count)))
    try:
        spectrum = lyapunov_exponents(cell, x[:, :steps], state, count)
    except InputError:
        return None
    return [float(value) for value in spectrum.mean]
