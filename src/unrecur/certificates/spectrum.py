"""How products of Jacobians grow along data: Lyapunov exponents and norms, measured in float64."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from unrecur._check import InputError
from unrecur.certificates.certificate import Evidence
from unrecur.certificates.dynamics import check_range, in_float64, within
from unrecur.core.cell import AbstractCell
from unrecur.layers.recurrent import Recurrent

UNRESOLVED = 64 * torch.finfo(torch.float64).eps  # times S: what rounding leaves of an exact zero


@dataclass(frozen=True)
class LyapunovSpectrum:
    """The exponential rates at which small differences of the state grow, along a trajectory.

    Attributes:
        exponents: For each row of the batch, falling; nats per step, -inf for a direction that
            the state forgets at once (or faster than float64 resolves).
        steps: The number of steps averaged over.
        discarded: The number of steps before them.
        evidence: `MEASURED`.
    """

    exponents: Float64[Tensor, "B C"]
    steps: int
    discarded: int
    evidence: Evidence = Evidence.MEASURED

    @property
    def mean(self) -> Float64[Tensor, " C"]:
        """The mean over the batch, nats per step."""
        return self.exponents.mean(0)

    @property
    def standard_error(self) -> Float64[Tensor, " C"]:
        """The standard error of the mean; NaN for a single row, and where an exponent is -inf."""
        rows = len(self.exponents)
        if rows == 1:
            return torch.full_like(self.exponents[0], math.nan)
        return self.exponents.std(0) / rows**0.5


@dataclass(frozen=True)
class JacobianNorms:
    """How much of a small change of the state is left after a number of steps.

    Attributes:
        lags: The numbers of steps.
        log_norms: log |dh_(s+lag)/dh_s| in the spectral norm, for each row of the batch and each
            start s; -inf where nothing is left. The norms themselves may be beyond float64.
        starts: The steps s.
        evidence: `MEASURED`.
    """

    lags: tuple[int, ...]
    log_norms: Float64[Tensor, "B N L"]
    starts: tuple[int, ...]
    evidence: Evidence = Evidence.MEASURED

    @property
    def largest(self) -> Float64[Tensor, " L"]:
        """The largest logarithm over rows and starts, for each lag."""
        return self.log_norms.amax((0, 1))


@torch.no_grad()
def lyapunov_exponents(
    cell: AbstractCell | Recurrent,
    x: Float[Tensor, "B T D"],
    state: Float[Tensor, "B S"] | None = None,
    count: int | None = None,
    discard: int | None = None,
) -> LyapunovSpectrum:
    """Measure the Lyapunov exponents along the trajectories that a batch of inputs drives.

        J_t Q_(t-1) = Q_t R_t,  exponent_i = mean over t of log |(R_t)_ii|

    (Benettin et al., Lyapunov characteristic exponents, Meccanica 15, 1980; for recurrent networks
    Vogt et al., arXiv 2006.14123), from a random Q_0 of fixed seed. Over all S exponents the sum is
    the mean of log |det J_t|. They are of these inputs and this many steps.

    Args:
        cell: A cell; or a recurrent layer, whose state is that of all its cells side by side.
        x: The inputs.
        state: The states before them; zeros where left out.
        count: How many exponents, the largest first; all S where left out.
        discard: How many steps to run before averaging, for Q to turn to the directions that grow
            most and the state to forget its start; a tenth of them where left out.

    Returns:
        The exponents.

    Raises:
        InputError: A shape is wrong, count or discard is out of range, or a state or Jacobian is
            beyond float64.

    Example:
        >>> from unrecur.cells import Elman
        >>> cell = Elman(1, 2, activation="relu")
        >>> _ = cell.weight_hh_l0.data.copy_(torch.tensor([[0.5, 0.0], [0.1, 0.25]]))
        >>> for name in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0"):
        ...     _ = getattr(cell, name).data.fill_(1.0)
        >>> spectrum = lyapunov_exponents(cell, torch.rand(1, 200, 1))
        >>> [round(float(value), 3) for value in spectrum.mean.exp()]
        [0.5, 0.25]
    """
    dynamics, x, h = in_float64(cell, x, state)
    time, states = x.shape[1], h.shape[1]
    count = within(states if count is None else count, "count", 1, states)
    discard = within(time // 10 if discard is None else discard, "discard", 0, time - 1)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(states, count, generator=generator, dtype=torch.float64)
    q = torch.linalg.qr(start.to(h.device)).Q.expand(len(h), -1, -1)
    total = h.new_zeros(len(h), count)
    for t, x_t in enumerate(x.unbind(1)):
        image = dynamics.jacobian(h, x_t) @ q
        check_range(t, h, image)
        q, r = torch.linalg.qr(image)
        if t >= discard:
            total += _log_stretch(image, r)
        h = dynamics.phi(h, x_t)
    exponents = (total / (time - discard)).sort(descending=True).values
    return LyapunovSpectrum(exponents, time - discard, discard)


@torch.no_grad()
def jacobian_norms(
    cell: AbstractCell | Recurrent,
    x: Float[Tensor, "B T D"],
    state: Float[Tensor, "B S"] | None = None,
    lags: Sequence[int] | None = None,
    starts: int = 1,
) -> JacobianNorms:
    """Measure |dh_(s+lag)/dh_s|, the norms of products of Jacobians along a trajectory.

    Products are kept as a matrix of size about 1 and a logarithm, so that no lag over- or
    underflows.

    Args:
        cell: A cell, or a recurrent layer (see `lyapunov_exponents`).
        x: The inputs.
        state: The states before them; zeros where left out.
        lags: The numbers of steps, from 1 to T; powers of 2 where left out (up to T / 2 with
            several starts).
        starts: How many steps s to start from, evenly spread over those with the longest lag before
            the end; s = 0 alone for 1.

    Returns:
        The norms.

    Raises:
        InputError: A shape is wrong, a lag or starts is out of range, or a state or Jacobian is
            beyond float64.

    Example:
        >>> from unrecur.cells import GRU
        >>> _ = torch.manual_seed(0)
        >>> norms = jacobian_norms(GRU(3, 8), torch.randn(2, 64, 3))
        >>> norms.lags
        (1, 2, 4, 8, 16, 32, 64)
        >>> bool(norms.largest[-1] < norms.largest[0])
        True
    """
    dynamics, x, h = in_float64(cell, x, state)
    batch, time = x.shape[:2]
    chosen = _lags(time if starts == 1 else max(1, time // 2), lags, time)
    longest = chosen[-1]
    within(starts, "starts", 1, time - longest + 1)
    first = [n * (time - longest) // max(1, starts - 1) for n in range(starts)]
    trajectory = dynamics.trajectory(h, x)
    product = torch.eye(h.shape[1], dtype=h.dtype, device=h.device).expand(batch, starts, -1, -1)
    scale = h.new_zeros(batch, starts)
    found = []
    for lag in range(1, longest + 1):
        steps = [s + lag - 1 for s in first]
        jacobian = dynamics.jacobian(trajectory[:, steps].flatten(0, 1), x[:, steps].flatten(0, 1))
        product = jacobian.unflatten(0, (batch, starts)) @ product
        check_range(lag - 1, product)
        size = product.abs().amax((-2, -1))
        scale += size.log()
        product = product / torch.where(size > 0, size, 1.0)[..., None, None]
        if lag in chosen:
            found.append(scale + torch.linalg.matrix_norm(product, 2).clamp(min=1e-300).log())
    return JacobianNorms(chosen, torch.stack(found, -1), tuple(first))


def _log_stretch(image: Tensor, r: Tensor) -> Tensor:
    """Give log |R_ii|; -inf where what is left of a column is no more than rounding."""
    left = r.diagonal(dim1=-2, dim2=-1).abs()
    floor = UNRESOLVED * image.shape[-2] * image.norm(dim=-2)
    return torch.where(left > floor, left, 0.0).log()


def _lags(longest: int, lags: Sequence[int] | None, time: int) -> tuple[int, ...]:
    """Give the lags asked for in rising order; powers of 2 up to the longest by default."""
    if lags is None:
        return tuple(2**power for power in range(longest.bit_length()))
    if len(lags) == 0:
        raise InputError("expected at least one lag, got none.")
    return tuple(within(lag, "a lag", 1, time) for lag in sorted(set(lags)))
