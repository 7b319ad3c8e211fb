"""Affine cells whose factors are constants: a complex diagonal, driven by linear maps."""

from abc import abstractmethod

from jaxtyping import Complex, Float
from torch import Tensor

from unrecur.cells.affine import AbstractAffineCell


class AbstractDiagonalCell(AbstractAffineCell):
    """h' = lambda h + B x with N complex numbers h, output Re(C h); state [Re h, Im h].

    With E = [Re B; Im B] and F = [Re C, -Im C] it is a linear map of real numbers,
    output = F [Re h, Im h]: what a proof needs to know of the cell.
    """

    @property
    @abstractmethod
    def eigenvalues(self) -> Complex[Tensor, " N"]:
        """The diagonal lambda."""

    @property
    @abstractmethod
    def input_map(self) -> Float[Tensor, "S D"]:
        """The matrix E."""

    @property
    @abstractmethod
    def output_map(self) -> Float[Tensor, "H S"]:
        """The matrix F."""
