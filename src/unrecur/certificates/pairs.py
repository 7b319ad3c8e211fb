"""Two runs at once: an interval that holds the numbers of both, and a bound on their gap.

For every operation y = op(x) with low <= x <= high known, the gap |y - y'| of two runs is bounded
by the gap |x - x'| of its operands (mean value theorem on the interval). The operations on gaps are
recorded once, for a fixed box of states, and replayed for many gaps: the replay is the *majorant*,
a monotone map d' = F(d) with |s' - t'| <= F(|s - t|), number by number. Without saturation and
rounding F is positively homogeneous.

Intervals hold the *computed* numbers too: each operation widens them by its rounding in the
model's arithmetic and by that of our own float64.
"""

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn

from unrecur.certificates.numbers import AbstractNumbers, Activation
from unrecur.certificates.rounding import Rounding

SLACK = 1 + 1e-10  # covers the rounding of float64 in sums of positive numbers
OWN = Rounding(2.0**-53)
Values = list[Tensor]


class Tape:
    """The recorded operations on gaps.

    Args:
        arithmetic: The rounding of the model.
        terms: The largest number of products in any of its sums.
        memory: What tapes of the same cell and inputs share, to compute it once.
    """

    def __init__(
        self, arithmetic: Rounding, terms: int, memory: dict[Any, tuple[Tensor, ...]]
    ) -> None:
        self.arithmetic, self.terms, self.memory = arithmetic, terms, memory
        self.operations: list[Callable[[Values], Tensor]] = []
        self.largest: list[Tensor] = []  # above all numbers that come up in each operation
        self.saturated = self.rounded = True

    def record(self, operation: Callable[[Values], Tensor]) -> int:
        """Note an operation.

        Args:
            operation: Gives its gap from all gaps before it.

        Returns:
            Its place.
        """
        self.operations.append(operation)
        return len(self.operations) - 1

    def replay(self, saturated: bool, rounded: bool, *given: Tensor) -> Values:
        """Compute all gaps.

        Args:
            saturated: Whether a gap is cut at the width of its interval.
            rounded: Whether the rounding of both runs is added.
            *given: The gaps that the recorded `variable`s take, in order.

        Returns:
            The gap of every operation.
        """
        self.saturated, self.rounded = saturated, rounded
        values: Values = list(given)
        for operation in self.operations[len(given) :]:
            values.append(operation(values))
        return values

    def remember(self, owner: Tensor, key: Any, make: Callable[[], Values]) -> Values:
        """Compute something once for all tapes of this cell.

        Args:
            owner: The tensor it is made of; kept alive with it, so that the key stays its own.
            key: Names what is made.
            make: Makes it.

        Returns:
            What was made.
        """
        if key not in self.memory:
            self.memory[key] = (owner, *make())
        return list(self.memory[key][1:])

    def weight(self, weight: Tensor) -> Values:
        """Give a weight and its magnitudes in float64, transposed.

        Args:
            weight: W.

        Returns:
            W^T and |W|^T.
        """
        if not _lasting(weight):
            return _magnitudes(weight)
        key = (weight.data_ptr(), weight.shape)
        return self.remember(weight, key, lambda: _magnitudes(weight))

    def cut(self, gap: Tensor, error: Tensor, width: Tensor) -> Tensor:
        """Finish the gap of a result.

        Args:
            gap: What the gaps of the operands make of it.
            error: The rounding of one run.
            width: The width of the result's interval.

        Returns:
            The gap, as this replay wants it.
        """
        if self.rounded:
            gap = gap + 2 * error
        return torch.minimum(gap, width) if self.saturated else gap

    def variable(self, low: Tensor, high: Tensor) -> "Pair":
        """Make numbers whose gap is given at each replay; before any operation.

        Args:
            low: Their least values.
            high: Their largest values.

        Returns:
            The numbers.
        """
        return Pair(self, low, high, self.record(lambda values: values[0]))

    def exact(self, low: Tensor, high: Tensor) -> "Pair":
        """Make numbers that are the same in both runs.

        Args:
            low: Their least values.
            high: Their largest values.

        Returns:
            The numbers.
        """
        return Pair(self, low, high, None)


@final
class Pair(AbstractNumbers):
    """Numbers of two runs; see the head of this file.

    Attributes:
        low: Their least values, [V, N]: one row for each mode of the inputs, or one for all.
        high: Their largest values.
        gap: The place of their gap on the tape; None where both runs have the same.
    """

    def __init__(self, tape: Tape, low: Tensor, high: Tensor, gap: int | None) -> None:
        self.tape, self.low, self.high, self.gap = tape, low, high, gap

    @property
    def size(self) -> Tensor:
        """The largest magnitudes."""
        return torch.maximum(self.low.abs(), self.high.abs())

    def _gap(self, values: Values) -> Tensor:
        """Give the gap at a replay."""
        return self.low.new_zeros(1, 1) if self.gap is None else values[self.gap]

    def _new(
        self, low: Tensor, high: Tensor, unit: Tensor, gap: Callable[[Values], Tensor]
    ) -> "Pair":
        """Make a result whose rounding is `unit` per unit of roundoff."""
        tape = self.tape
        tape.largest.append(unit.max())
        error = tape.arithmetic.unit * unit + tape.terms * tape.arithmetic.least
        own = error + OWN.unit * unit
        low, high = low - own, high + own
        width = high - low
        # Here and below lambdas, as the checker of types in tests compiles every inner def anew.
        return Pair(
            tape, low, high, tape.record(lambda values: tape.cut(gap(values), error, width))
        )

    def linear(self, weight: Tensor, bias: Tensor | None) -> "Pair":
        """See `AbstractNumbers.linear`."""
        exact, absolute = self.tape.weight(weight)
        shift = self.low.new_zeros(1) if bias is None else bias.double().cpu()

        if self.gap is None and _lasting(weight):
            key = (self.low.data_ptr(), weight.data_ptr(), weight.shape)
            low, high, magnitude = self.tape.remember(
                self.low, key, lambda: self._image(exact, absolute, shift)
            )
        else:
            low, high, magnitude = self._image(exact, absolute, shift)
        # The products are summed in any order; a kernel may add others to the sum afterwards, each
        # time with an error of a unit of roundoff of the sum itself. One more for inputs that are
        # given in float64 and rounded to the model's type.
        arithmetic = self.tape.arithmetic
        own, later = (
            arithmetic.gamma(n) / arithmetic.unit for n in (len(exact) + 3, self.tape.terms)
        )
        unit = own * magnitude + later * torch.maximum(low.abs(), high.abs())
        gap: Callable[[Values], Tensor] = (
            (lambda values: torch.zeros_like(low))
            if self.gap is None
            else (lambda values: self._gap(values) @ absolute)
        )
        return self._new(low, high, unit, gap)

    def _image(self, exact: Tensor, absolute: Tensor, shift: Tensor) -> Values:
        """Give the ends of W x + b and the largest sum of the magnitudes of its terms."""
        center = (self.low + self.high) / 2 @ exact + shift
        radius = (self.high - self.low) / 2 @ absolute
        return [center - radius, center + radius, self.size @ absolute + shift.abs()]

    def activate(self, activation: Activation) -> "Pair":
        """See `AbstractNumbers.activate`."""
        low, high = activation.function(self.low), activation.function(self.high)
        _, steepest = activation.slopes(self.low, self.high)
        ulps = self.tape.arithmetic.activation / self.tape.arithmetic.unit
        unit = ulps * torch.maximum(low.abs(), high.abs()).clamp(min=1)
        return self._new(low, high, unit, lambda values: steepest * self._gap(values))

    def __add__(self, other: "Pair") -> "Pair":
        low, high = self.low + other.low, self.high + other.high
        unit = torch.maximum(low.abs(), high.abs())
        return self._new(low, high, unit, lambda values: self._gap(values) + other._gap(values))

    def __mul__(self, other: "Pair") -> "Pair":
        low, high = _product(self.low, self.high, other.low, other.high)
        ours, theirs = self.size, other.size
        return self._new(
            low,
            high,
            ours * theirs,
            lambda values: self._gap(values) * theirs + ours * other._gap(values),
        )

    def mix(self, first: "Pair", second: "Pair") -> "Pair":
        """See `AbstractNumbers.mix`: |z| and |1 - z| are largest together at an end of z."""
        ends = [_product(z, z, first.low, first.high) for z in (self.low, self.high)]
        rest = [_product(1 - z, 1 - z, second.low, second.high) for z in (self.low, self.high)]
        low = torch.minimum(*(a[0] + b[0] for a, b in zip(ends, rest, strict=True)))
        high = torch.maximum(*(a[1] + b[1] for a, b in zip(ends, rest, strict=True)))
        apart = torch.maximum(first.high - second.low, second.high - first.low)
        shares = [(z.abs(), (1 - z).abs()) for z in (self.low, self.high)]

        return self._new(
            low,
            high,
            4.04 * (first.size + second.size),
            lambda values: (
                _mixed(shares, first._gap(values), second._gap(values)) + self._gap(values) * apart
            ),
        )

    def chunk(self, parts: int) -> "list[Pair]":
        """See `AbstractNumbers.chunk`."""
        ends = zip(self.low.chunk(parts, -1), self.high.chunk(parts, -1), strict=True)
        return [
            Pair(
                self.tape,
                low,
                high,
                None
                if self.gap is None
                else self.tape.record(lambda values, n=n: self._gap(values).chunk(parts, -1)[n]),  # type: ignore[misc]
            )
            for n, (low, high) in enumerate(ends)
        ]

    def beside(self, other: "Pair") -> "Pair":
        """See `AbstractNumbers.beside`."""
        modes = max(len(self.low), len(other.low))
        low, high = _cat(self.low, other.low, modes), _cat(self.high, other.high, modes)

        gap = self.tape.record(
            lambda values: _beside(self._gap(values), other._gap(values), self.low, other.low)
        )
        return Pair(self.tape, low, high, gap)

    def negated(self) -> "Pair":
        """See `AbstractNumbers.negated`."""
        return Pair(self.tape, -self.high, -self.low, self.gap)


def _magnitudes(weight: Tensor) -> Values:
    """Give a weight and its magnitudes in float64, transposed."""
    exact = weight.double().cpu().T
    return [exact, exact.abs()]


def _mixed(shares: list[tuple[Tensor, Tensor]], ours: Tensor, theirs: Tensor) -> Tensor:
    """Give the largest z a + (1 - z) b over both ends of z."""
    return torch.maximum(*(share * ours + rest * theirs for share, rest in shares))


def _beside(ours: Tensor, theirs: Tensor, like: Tensor, other: Tensor) -> Tensor:
    """Put gaps side by side, each as wide as its numbers."""
    modes = max(len(ours), len(theirs))
    return _cat(ours.expand(-1, like.shape[-1]), theirs.expand(-1, other.shape[-1]), modes)


def _lasting(weight: Tensor) -> bool:
    """Say whether a tensor is a parameter or a view of one: others may be gone and replaced."""
    owner = weight if weight._base is None else weight._base
    return isinstance(owner, nn.Parameter)


def _cat(first: Tensor, second: Tensor, modes: int) -> Tensor:
    """Put numbers side by side, one row for each mode."""
    return torch.cat([first.expand(modes, -1), second.expand(modes, -1)], -1)


def _product(
    low: Tensor, high: Tensor, other_low: Tensor, other_high: Tensor
) -> tuple[Tensor, Tensor]:
    """Give the range of a b over two intervals."""
    corners = [a * b for a in (low, high) for b in (other_low, other_high)]
    least, largest = corners[0], corners[0]
    for corner in corners[1:]:
        least, largest = torch.minimum(least, corner), torch.maximum(largest, corner)
    return least, largest
