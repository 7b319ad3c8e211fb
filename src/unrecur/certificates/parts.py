"""The set of a cell's Jacobians over its reachable box, with its structure kept.

Every Jacobian on the box is J = sum_g diag(k_g) L_g + D with fixed matrices L_g, numbers k_g in
known intervals, and, where a product stands inside a linear map (MGU), a matrix D known by
intervals. Signs cancel in products and norms of such sets, as they do not in a majorant.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import final

import torch
from torch import Tensor

from unrecur.certificates.expressions import advance
from unrecur.certificates.numbers import AbstractNumbers, Activation
from unrecur.certificates.pairs import Pair, _product
from unrecur.certificates.reach import Reach

Interval = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Part:
    """One term diag(k) L.

    Attributes:
        low: The least k, [V, N].
        high: The largest k.
        matrix: L, [N, S].
    """

    low: Tensor
    high: Tensor
    matrix: Tensor

    def scaled(self, low: Tensor, high: Tensor) -> "Part":
        """Multiply each row by a number of an interval."""
        return Part(*_product(self.low, self.high, low, high), self.matrix)

    @property
    def exact(self) -> bool:
        """Whether k is one number, the same in all modes."""
        return bool((self.low == self.high).all() and (self.low == self.low[:1]).all())

    @property
    def hull(self) -> Interval:
        """The interval of k over all modes."""
        return self.low.amin(0), self.high.amax(0)


@final
class Parts(AbstractNumbers):
    """Numbers with their values' intervals and the set of their derivatives.

    Attributes:
        values: The intervals.
        parts: The terms of the derivative; none where it is zero.
        dense: A matrix known by intervals, [N, S] both; None where it is zero.
    """

    def __init__(
        self, values: Pair, parts: Sequence[Part] = (), dense: Interval | None = None
    ) -> None:
        self.values, self.parts, self.dense = values, tuple(parts), dense

    def linear(self, weight: Tensor, bias: Tensor | None) -> "Parts":
        """See `AbstractNumbers.linear`: exact terms stay terms, the others become dense."""
        values, exact = self.values.linear(weight, bias), weight.double().cpu()
        one = torch.ones(1, len(exact), dtype=torch.float64)
        kept = [
            Part(one, one, (exact * part.low[:1]) @ part.matrix)
            for part in self.parts
            if part.exact
        ]
        loose = [part for part in self.parts if not part.exact]
        dense = Parts(self.values, loose, self.dense).interval()
        return Parts(values, kept, None if dense is None else _times(exact, dense))

    def interval(self) -> Interval | None:
        """Give the derivative's entries by intervals, or None for zero."""
        dense = self.dense
        for part in self.parts:
            low, high = (end[:, None] for end in part.hull)
            entry = _product(low, high, part.matrix, part.matrix)
            dense = entry if dense is None else (dense[0] + entry[0], dense[1] + entry[1])
        return dense

    def _scaled(self, by: Interval) -> tuple[list[Part], Interval | None]:
        """Multiply the derivative's rows by numbers of intervals."""
        parts = [part.scaled(*by) for part in self.parts]
        if self.dense is None:
            return parts, None
        low, high = by[0].amin(0)[:, None], by[1].amax(0)[:, None]
        return parts, _product(low, high, *self.dense)

    def activate(self, activation: Activation) -> "Parts":
        """See `AbstractNumbers.activate`."""
        slopes = activation.slopes(self.values.low, self.values.high)
        return Parts(self.values.activate(activation), *self._scaled(slopes))

    def __add__(self, other: "Parts") -> "Parts":
        parts = [*self.parts, *other.parts]
        return Parts(self.values + other.values, parts, _sum(self.dense, other.dense))

    def __mul__(self, other: "Parts") -> "Parts":
        ours, dense = self._scaled((other.values.low, other.values.high))
        theirs, other_dense = other._scaled((self.values.low, self.values.high))
        return Parts(self.values * other.values, ours + theirs, _sum(dense, other_dense))

    def mix(self, first: "Parts", second: "Parts") -> "Parts":
        """See `AbstractNumbers.mix`: z a' + (1 - z) b' + z' (a - b)."""
        z = self.values
        terms = (
            first._scaled((z.low, z.high)),
            second._scaled((1 - z.high, 1 - z.low)),
            self._scaled(
                (
                    first.values.low - second.values.high,
                    first.values.high - second.values.low,
                )
            ),
        )
        dense: Interval | None = None
        for _, more in terms:
            dense = _sum(dense, more)
        parts = [part for found, _ in terms for part in found]
        return Parts(z.mix(first.values, second.values), parts, dense)

    def chunk(self, parts: int) -> "list[Parts]":
        """See `AbstractNumbers.chunk`."""
        found = []
        for n, values in enumerate(self.values.chunk(parts)):
            own = [
                Part(
                    part.low.chunk(parts, -1)[n],
                    part.high.chunk(parts, -1)[n],
                    part.matrix.chunk(parts)[n],
                )
                for part in self.parts
            ]
            dense = (
                None
                if self.dense is None
                else (self.dense[0].chunk(parts)[n], self.dense[1].chunk(parts)[n])
            )
            found.append(Parts(values, own, dense))
        return found

    def beside(self, other: "Parts") -> "Parts":
        """See `AbstractNumbers.beside`: terms of different rows share a matrix."""
        sizes = [numbers.values.low.shape[-1] for numbers in (self, other)]
        parts = [
            _stacked(ours, theirs, sizes) for ours, theirs in zip_longest(self.parts, other.parts)
        ]
        dense: Interval | None = None
        if self.dense is not None or other.dense is not None:
            states = next(d for d in (self.dense, other.dense) if d is not None)[0].shape[1]
            ends = [
                numbers.dense or (torch.zeros(size, states).double(),) * 2
                for numbers, size in zip((self, other), sizes, strict=True)
            ]
            dense = torch.cat([ends[0][0], ends[1][0]]), torch.cat([ends[0][1], ends[1][1]])
        return Parts(self.values.beside(other.values), parts, dense)

    def negated(self) -> "Parts":
        """See `AbstractNumbers.negated`."""
        one = torch.full((1, 1), -1.0, dtype=torch.float64)
        return Parts(self.values.negated(), *self._scaled((one, one)))


def _stacked(ours: Part | None, theirs: Part | None, sizes: list[int]) -> Part:
    """Put two terms of different rows into one."""
    states = next(part for part in (ours, theirs) if part is not None).matrix.shape[1]
    ends = [
        part
        or Part(
            torch.zeros(1, size, dtype=torch.float64),
            torch.zeros(1, size, dtype=torch.float64),
            torch.zeros(size, states, dtype=torch.float64),
        )
        for part, size in zip((ours, theirs), sizes, strict=True)
    ]
    modes = max(len(part.low) for part in ends)
    low, high = (
        torch.cat([getattr(part, end).expand(modes, -1) for part in ends], -1)
        for end in ("low", "high")
    )
    return Part(low, high, torch.cat([part.matrix for part in ends]))


def _times(weight: Tensor, dense: Interval) -> Interval:
    """Multiply a matrix known by intervals from the left."""
    center, radius = (dense[0] + dense[1]) / 2, (dense[1] - dense[0]) / 2
    middle, spread = weight @ center, weight.abs() @ radius
    return middle - spread, middle + spread


def _sum(first: Interval | None, second: Interval | None) -> Interval | None:
    """Add two matrices known by intervals, None for zero."""
    if first is None or second is None:
        return first or second
    return first[0] + second[0], first[1] + second[1]


@dataclass(frozen=True)
class JacobianSet:
    """All Jacobians d phi / d h on the reachable box: center + sum_g diag(e_g) L_g + E.

    Attributes:
        center: A matrix in their middle, [S, S].
        terms: For each g the largest |e_g|, [S], and L_g, [S, S].
        dense: The largest |E|, entry by entry; None for zero.
    """

    center: Tensor
    terms: tuple[tuple[Tensor, Tensor], ...]
    dense: Tensor | None

    @property
    def radius(self) -> Tensor:
        """How far an entry can be from that of the center, [S, S]."""
        zero = torch.zeros_like(self.center) if self.dense is None else self.dense
        return sum(((e[:, None] * matrix.abs()) for e, matrix in self.terms), zero)


def jacobians(reach: Reach) -> JacobianSet:
    """Find the set of a cell's Jacobians.

    Args:
        reach: The cell with its reachable box.

    Returns:
        The set, the modes of the inputs merged.
    """
    tape, size = reach.tape(), reach.cell.state_size
    one = torch.ones(1, size, dtype=torch.float64)
    values = tape.variable(reach.low[None], reach.high[None])
    h = Parts(values, [Part(one, one, torch.eye(size, dtype=torch.float64))])
    new = advance(reach.cell, h, Parts(tape.exact(*reach.inputs)))
    center, terms = torch.zeros(size, size, dtype=torch.float64), []
    for part in new.parts:
        low, high = part.hull
        center = center + ((low + high) / 2)[:, None] * part.matrix
        if bool((high > low).any()):
            terms.append(((high - low) / 2, part.matrix))
    if new.dense is None:
        return JacobianSet(center, tuple(terms), None)
    low, high = new.dense
    return JacobianSet(center + (low + high) / 2, tuple(terms), (high - low) / 2)
