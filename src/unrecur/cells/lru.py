"""The linear recurrent unit, with the flat state [Re h, Im h]."""

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torch.nn.functional import linear

from unrecur import _check
from unrecur.cells.diagonal import AbstractDiagonalCell


class LRU(AbstractDiagonalCell):
    """The linear recurrent unit: a complex diagonal recurrence and a linear readout.

    h' = lambda h + exp(gamma_log) B x with lambda = exp(-exp(nu_log) + i exp(theta_log)), output
    Re(C h), for as many complex numbers h as units; state [Re h, Im h] (Orvieto et al.,
    Resurrecting Recurrent Neural Networks for Long Sequences, 2023). |lambda| < 1 for every
    nu_log. The paper adds D x to the output; here it is left out, as a readout sees only the state.

    As in the paper, lambda starts uniform on the ring r_min <= |lambda| <= r_max, gamma_log (which
    is trained like the rest) at log sqrt(1 - |lambda|^2), and the real and imaginary parts of B
    and C normal, with variances 1 / (2 D) and 1 / H. `weight_in` [2 H, D] is [Re B; Im B] and
    `weight_out` [H, 2 H] is [Re C, -Im C], so that Re(C h) = weight_out [Re h, Im h].

    Args:
        input_size: The number of input features D.
        hidden_size: The number of units H.
        r_min: The ring's inner radius, at least 0.
        r_max: Its outer radius, above r_min and at most 1.
        device: Where the weights live.
        dtype: Their type.

    Raises:
        InputError: A size is below 1, or not 0 <= r_min < r_max <= 1.

    Example:
        >>> import torch
        >>> cell = LRU(3, 4)
        >>> cell.phi(cell.init_state(2), torch.randn(2, 3)).shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        r_min: float = 0.0,
        r_max: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        _check.positive_integer(input_size, "input_size")
        _check.positive_integer(hidden_size, "hidden_size")
        if not 0 <= r_min < r_max <= 1:
            raise _check.InputError(
                f"a ring needs 0 <= r_min < r_max <= 1, got r_min={r_min}, r_max={r_max}."
            )
        self.input_size = input_size
        self.hidden_size = hidden_size
        units = torch.empty(hidden_size, device=device, dtype=dtype)
        # Away from the ends of the ranges, so that no logarithm is infinite.
        eps = torch.finfo(units.dtype).eps
        modulus = (
            torch.empty_like(units).uniform_(r_min**2, r_max**2).clamp(eps, 1 - eps)
        )  # squared
        phase = torch.empty_like(units).uniform_(0, 2 * math.pi).clamp(min=eps)
        self.nu_log = nn.Parameter((-modulus.log() / 2).log())
        self.theta_log = nn.Parameter(phase.log())
        self.gamma_log = nn.Parameter((-modulus).log1p() / 2)
        weight_in = units.new_empty(2 * hidden_size, input_size)
        weight_out = units.new_empty(hidden_size, 2 * hidden_size)
        self.weight_in = nn.Parameter(weight_in.normal_(std=1 / math.sqrt(2 * input_size)))
        self.weight_out = nn.Parameter(weight_out.normal_(std=1 / math.sqrt(hidden_size)))

    @property
    def state_size(self) -> int:
        """Real and imaginary parts."""
        return 2 * self.hidden_size

    @property
    def eigenvalues(self) -> Complex[Tensor, " H"]:
        """The diagonal lambda."""
        return torch.polar(torch.exp(-self.nu_log.exp()), self.theta_log.exp())

    @property
    def input_map(self) -> Float[Tensor, "S D"]:
        """exp(gamma_log) B, real parts first."""
        return self.gamma_log.exp().repeat(2)[:, None] * self.weight_in

    @property
    def output_map(self) -> Float[Tensor, "H S"]:
        """[Re C, -Im C]."""
        return self.weight_out

    def readout(self, h: Float[Tensor, "*B S"]) -> Float[Tensor, "*B H"]:
        """Show Re(C h)."""
        return linear(h, self.weight_out)

    def coefficients(
        self, x: Float[Tensor, "*B D"]
    ) -> tuple[Complex[Tensor, "*B H"], Complex[Tensor, "*B H"]]:
        """Give lambda and exp(gamma_log) B x; see `AbstractAffineCell.coefficients`."""
        gamma = self.gamma_log.exp()
        real, imaginary = linear(x, self.weight_in).chunk(2, -1)
        b = torch.complex(gamma * real, gamma * imaginary)
        return self.eigenvalues.expand_as(b), b

    def extra_repr(self) -> str:
        """Show the sizes."""
        return f"{self.input_size}, {self.hidden_size}"
