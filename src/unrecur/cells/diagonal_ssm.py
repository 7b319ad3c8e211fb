"""The diagonal state space model S4D, with the flat state [Re h, Im h]."""

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torch.nn.functional import linear

from unrecur import _check
from unrecur.cells.diagonal import AbstractDiagonalCell


class DiagonalSSM(AbstractDiagonalCell):
    """A diagonal state space model of N complex modes for each of H channels, S4D.

    u = W x has H channels; in each of them, mode by mode, dh/dt = A h + u is sampled with step dt
    under a zero-order hold,

        h' = exp(dt A) h + (exp(dt A) - 1) / A u,  output 2 Re(sum_n C_n h_n),

    where 2 Re stands for the modes that are conjugate to these (Gu, Gupta, Goel, Ré, On the
    Parameterization and Initialization of Diagonal State Space Models, 2022, arXiv 2206.11893).
    Re A = -exp(decay_log) is below 0, so that |exp(dt A)| < 1. The paper's B is 1 here: the output
    depends on the product of B and C alone. Its feed-through D u is left out, as a readout sees
    only the state: put a `Residual` around the layer to have it.

    It starts as S4D-Lin: A_n = -1/2 + i pi n, dt log-uniform in [step_min, step_max], C normal.

    Args:
        input_size: The number of input features D.
        hidden_size: The number of channels H.
        modes: The number of modes N of a channel (the paper's state size is 2 N).
        step_min: The least dt at the start.
        step_max: The largest dt at the start.
        device: Where the weights live.
        dtype: Their type.

    Raises:
        InputError: A size is below 1, or not 0 < step_min <= step_max.

    Example:
        >>> import torch
        >>> cell = DiagonalSSM(3, 4, modes=8)
        >>> cell.phi(cell.init_state(2), torch.randn(2, 3)).shape
        torch.Size([2, 64])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        modes: int = 16,
        step_min: float = 0.001,
        step_max: float = 0.1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        _check.positive_integer(input_size, "input_size")
        _check.positive_integer(hidden_size, "hidden_size")
        _check.positive_integer(modes, "modes")
        if not 0 < step_min <= step_max < math.inf:
            raise _check.InputError(
                f"expected 0 < step_min <= step_max, got {step_min} and {step_max}."
            )
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.modes = modes
        channels = torch.empty(hidden_size, device=device, dtype=dtype)
        self.decay_log = nn.Parameter(channels.new_full((hidden_size, modes), math.log(0.5)))
        frequency = math.pi * torch.arange(modes).to(channels)
        self.frequency = nn.Parameter(frequency.repeat(hidden_size, 1))
        steps = torch.empty_like(channels).uniform_(math.log(step_min), math.log(step_max))
        self.step_log = nn.Parameter(steps)
        weight_in = channels.new_empty(hidden_size, input_size)
        self.weight_in = nn.Parameter(weight_in.normal_(std=1 / math.sqrt(input_size)))
        weight_out = channels.new_empty(2, hidden_size, modes)
        #: Re C and Im C
        self.weight_out = nn.Parameter(weight_out.normal_(std=math.sqrt(0.5)))

    @property
    def state_size(self) -> int:
        """Real and imaginary parts of all modes of all channels."""
        return 2 * self.hidden_size * self.modes

    @property
    def poles(self) -> Complex[Tensor, "H N"]:
        """The diagonals A, in continuous time."""
        return torch.complex(-self.decay_log.exp(), self.frequency)

    @property
    def eigenvalues(self) -> Complex[Tensor, " HN"]:
        """exp(dt A), channel by channel."""
        return (self.step_log.exp()[:, None] * self.poles).exp().flatten()

    @property
    def gains(self) -> Complex[Tensor, "H N"]:
        """What a unit of u adds to each mode, (exp(dt A) - 1) / A."""
        return torch.expm1(self.step_log.exp()[:, None] * self.poles) / self.poles

    @property
    def input_map(self) -> Float[Tensor, "S D"]:
        """The gains times W, real parts first."""
        gains = self.gains[..., None] * self.weight_in[:, None]
        return torch.cat([gains.real.flatten(0, 1), gains.imag.flatten(0, 1)])

    @property
    def output_map(self) -> Float[Tensor, "H S"]:
        """2 [Re C, -Im C], each channel on its own modes."""
        real, imaginary = (torch.block_diag(*part.unbind()) for part in self.weight_out)
        return 2 * torch.cat([real, -imaginary], 1)

    def readout(self, h: Float[Tensor, "*B S"]) -> Float[Tensor, "*B H"]:
        """Show 2 Re(C h)."""
        parts = h.unflatten(-1, (2, self.hidden_size, self.modes))
        real, imaginary = (parts * self.weight_out).unbind(-3)
        return 2 * (real - imaginary).sum(-1)

    def coefficients(
        self, x: Float[Tensor, "*B D"]
    ) -> tuple[Complex[Tensor, "*B HN"], Complex[Tensor, "*B HN"]]:
        """Give exp(dt A) and (exp(dt A) - 1) / A u; see `AbstractAffineCell.coefficients`."""
        b = (linear(x, self.weight_in)[..., None] * self.gains).flatten(-2)
        return self.eigenvalues.expand_as(b), b

    def extra_repr(self) -> str:
        """Show the sizes."""
        return f"{self.input_size}, {self.hidden_size}, modes={self.modes}"
